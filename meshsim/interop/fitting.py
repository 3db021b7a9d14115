"""What an importer writes is a scenario that can be run: names are made to fit, all else is checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from meshsim.errors import ScenarioError
from meshsim.scenario import dump, loads
from meshsim.scenario.references import LONGEST_NAME, RESERVED, is_name

ROOM = 10
"""Characters that are left for what tells alike names apart."""


def renamed(names: Sequence[str]) -> dict[str, str]:
    """A name that meshsim takes for each name, no two alike; one that it takes already stays.

    The same names always give the same result.

    Args:
        names: each once; of names that become alike the first keeps the bare form.
    """
    found = {name: name for name in names if is_name(name)}
    taken, tried = set(found), Counter[str]()
    for name in names:
        if name not in found:
            near = _near(name)
            free, tried[near] = _free(near, tried[near], taken)
            found[name] = free
            taken.add(free)
    return found


def _near(name: str) -> str:
    """A name that meshsim takes, as much like another one as may be."""
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[: LONGEST_NAME - ROOM] or "service"
    return f"{near}-service" if near in RESERVED else near


def _free(name: str, number: int, taken: set[str]) -> tuple[str, int]:
    """The first of ``name``, ``name-2``, ``name-3``, … after a number that is not taken; and its number."""
    free = name
    while not number or free in taken:
        number += 1
        free = name if number == 1 else f"{name}-{number}"
    return free, number


def refuse_unfit(document: dict[str, object], file: str) -> None:
    """Refuse what `meshsim check` would refuse in an importer's scenario: calls in a circle, for example.

    Args:
        document: the scenario.
        file: that was imported, for messages.

    Raises:
        ScenarioError: no such scenario can be run.
    """
    try:
        loads(dump(document))
    except ScenarioError as error:
        raise ScenarioError([replace(problem, file=file, line=0) for problem in error.problems]) from None
