"""Frees what is still under way in a run that nobody wants any more: it was cut short, or ended at its limit.

A call knows its attempts, and each of them its call: cycles that end with the request, so a cut run leaves
some. Python's cycle collector does not look at compiled objects of requests (`meshsim.compiler.pool`), so
what they refer to is taken out of them here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import attrgetter
from types import GetSetDescriptorType

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
NUMBER = (int, float)

Attributes = Callable[[object], tuple[object, ...]]


def take_apart(*roots: object) -> None:
    """Has all objects of requests that can be reached let go of what they refer to; then they are freed.

    Args:
        roots: where to begin: the mesh, and what was on the clock.
    """
    if not FORM.compiled:
        return
    kinds: dict[type, tuple[tuple[str, ...], Attributes | None]] = {}
    seen: set[int] = set()
    passing: list[object] = []
    todo = list(roots)
    while todo:
        one = todo.pop()
        kind = type(one)
        if kind not in kinds:
            kinds[kind] = _objects(one)
        values = kinds[kind][1]
        if values is not None:
            place = id(one)
            if place not in seen:
                seen.add(place)
                todo += values(one)
                if issubclass(kind, PASSING):
                    passing.append(one)
        elif isinstance(one, list | deque):
            todo += one
        elif isinstance(one, dict):
            todo += one.values()
    for one in passing:
        for name in kinds[type(one)][0]:
            setattr(one, name, None)


def _objects(one: object) -> tuple[tuple[str, ...], Attributes | None]:
    """The attributes of a compiled class that are objects, and what reads them; of another class, none."""
    names = tuple(
        name
        for above in type(one).__mro__
        if above.__module__ == Event.__module__ and above.__name__ != "memoryview"  # a column's own
        for name, value in vars(above).items()
        if isinstance(value, GetSetDescriptorType)
        and not name.startswith("__")
        and not isinstance(getattr(one, name, None), NUMBER)
    )
    return names, attrgetter("__class__", "__class__", *names) if names else None
