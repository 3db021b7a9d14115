"""Frees what is still under way when a run ends, at its limit or because it was cut short.

A call knows its attempts, and each of them its call: cycles that end with the request, so a cut run leaves
some. Python's cycle collector does not look at compiled objects of requests (`meshsim.compiler.pool`), so
what they refer to is taken out of them here.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from types import GetSetDescriptorType
from typing import Any

from meshsim.forms import FORM
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.call import Call, HedgeTimer
from meshsim.mesh.clock import Event
from meshsim.mesh.journey import Notice
from meshsim.mesh.load import ClientRequest
from meshsim.mesh.request import Request
from meshsim.mesh.station import Pass
from meshsim.mesh.visit import Nap, Visit

PASSING = (Attempt, Call, ClientRequest, HedgeTimer, Nap, Notice, Pass, Request, Visit)


def take_apart(*roots: object) -> None:
    """Has everything that can be reached let go of all objects of requests, which are then freed.

    Args:
        roots: where to begin: the mesh, and what was on the clock.
    """
    if not FORM.compiled:
        return
    found: dict[int, object] = {}
    todo = list(roots)
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += one.values()
        elif id(one) not in found and (isinstance(one, list | deque) or references(one)):
            found[id(one)] = one
            todo += one if isinstance(one, list | deque) else [value for _, value in references(one)]
    for one in found.values():
        if isinstance(one, list | deque):
            for place, value in enumerate(one):
                if isinstance(value, PASSING):
                    one[place] = None
        for name, value in references(one):
            if isinstance(value, PASSING):
                setattr(one, name, None)


def references(one: object) -> list[tuple[str, object]]:
    """The attributes of a compiled object, and what they are; none of an object of Python's."""
    kind: Any = type(one)
    return [(name, getattr(one, name, None)) for name in _attributes(kind)]


@cache
def _attributes(kind: type) -> tuple[str, ...]:
    return tuple(
        name
        for above in kind.__mro__
        if above.__module__ == Event.__module__ and above.__name__ != "memoryview"  # a column's own
        for name, value in vars(above).items()
        if isinstance(value, GetSetDescriptorType)
    )
