"""What an importer writes is a scenario that can be run: names are made to fit, all else is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from meshsim.errors import ScenarioError
from meshsim.scenario import dump, loads
from meshsim.scenario.names import LONGEST_NAME, Distinct
from meshsim.scenario.references import RESERVED, is_name

ROOM = 10
"""Characters that are left for what distinguishes alike names."""


def renamed(names: Sequence[str]) -> dict[str, str]:
    """A name that meshsim takes for each name, no two alike; one that it takes already stays.

    The same names, each given once, always give the same result; of alike ones the first keeps the bare form.
    """
    found = {name: name for name in names if is_name(name)}
    distinct = Distinct(found)
    for name in names:
        if name not in found:
            found[name] = distinct.name(_near(name))
    return found


def _near(name: str) -> str:
    """A name that meshsim takes, as much like another one as may be."""
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[: LONGEST_NAME - ROOM] or "service"
    return f"{near}-service" if near in RESERVED else near


def refuse_unfit(document: dict[str, object], file: str) -> None:
    """Refuse what `meshsim check` would refuse in an importer's scenario, such as calls in a circle.

    The ScenarioError names the `file` that was imported.
    """
    try:
        loads(dump(document))
    except ScenarioError as error:
        raise ScenarioError([replace(problem, file=file, line=0) for problem in error.problems]) from None
