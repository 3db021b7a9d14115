"""The points of a sweep: a scenario for each combination of values, every one checked before any is run."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshsim.errors import Problem, halves, shown
from meshsim.scenario.document import Document
from meshsim.scenario.dump import flow
from meshsim.scenario.findings import SWEEP, VARY, Findings, mapping
from meshsim.scenario.keys import lookup, put, resolve
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import Path, suggestion
from meshsim.scenario.overrides import mark, plain
from meshsim.scenario.variation import values

MOST_POINTS, FEW_POINTS = 100_000, 200
UNFIT = {
    "seed": "every point has the same seeds; ask for replications instead",
    "engine": "choose one for all points with --engine",
    "schema": "it is the version of the file's format; leave it out",
    SWEEP: "a sweep can't vary itself; leave it out",
}

NAMED: dict[str | int, str] = {"services": "service", "versions": "version"}
"""Mappings whose keys are names of the user's."""

Check = Callable[[Document, Findings], Scenario | None]
"""Reads a document as a scenario; None, and findings, where it is not valid."""
Choice = tuple[tuple[str, object], ...]
"""One point's values by key."""


@dataclass(frozen=True)
class Point:
    """One combination of values, as in the file, in the order of the grid's keys, and what it is called."""

    values: tuple[object, ...]
    scenario: Scenario
    label: str


@dataclass(frozen=True)
class Grid:
    """A scenario, and all combinations of the values of some keys; those of the last key change fastest."""

    scenario: Scenario
    keys: dict[str, tuple[object, ...]]
    points: tuple[Point, ...]


def label(choice: Choice) -> str:
    """What a point is called, such as ``load[0].rate=200/s, services.cart.workers=4``."""
    return ", ".join(f"{key}={text(value)}" for key, value in choice)


def text(value: object) -> str:
    """A value as it could stand in the file."""
    return value if isinstance(value, str) else flow(value)


def check_sweep(document: Document, findings: Findings, check: Check) -> None:
    """Check what a document's `sweep` says: its keys, and its points if they are few.

    Reading a scenario to run it once must not take long; who runs the sweep checks all points. A value can't
    be checked alone: another key's value may be what it needs. Problems of the document itself are in the
    findings already.
    """
    keys = _keys(document, findings)
    if math.prod(map(len, keys.values())) <= FEW_POINTS:
        points(document, findings, check)


def points(document: Document, findings: Findings, check: Check) -> tuple[Point, ...]:
    """The scenarios of all combinations of a document's `sweep`; not all of them if any has a problem."""
    keys = _keys(document, findings)
    if not keys:
        return ()
    count = math.prod(map(len, keys.values()))
    if count > MOST_POINTS:
        findings.add((SWEEP,), f"has {count} points", f"vary fewer values: at most {MOST_POINTS}")
        return ()
    found, known = [], set[tuple[str, str]]()
    for combination in itertools.product(*keys.values()):
        choice = tuple(zip(keys, combination, strict=True))
        scenario, problems = _problems(document, choice, findings, check)
        for problem in problems:  # which many combinations may share
            if (problem.key, problem.message) not in known:
                findings.place(_by_values(problem, choice, document))
                known.add((problem.key, problem.message))
        if scenario is not None:
            found.append(Point(combination, scenario, label(choice)))
    return tuple(found)


def _keys(document: Document, findings: Findings) -> dict[str, tuple[object, ...]]:
    """The values by key; problems with keys are reported, values that are none left to the model."""
    found: dict[str, tuple[object, ...]] = {}
    paths: dict[Path, str] = {}
    for key, config in mapping(document.value.get(SWEEP)).items():
        try:
            path = resolve(document.value, key)
            if path[0] in UNFIT:
                raise ValueError(f"can't be varied: {UNFIT[str(path[0])]}")
            _refuse_new_names(document.value, path)
            put(copy.deepcopy(document.value), path, None)
        except ValueError as error:
            findings.add((SWEEP, key), *halves(error))
            continue
        for other, name in paths.items():
            if path[: len(other)] == other or other[: len(path)] == path:
                findings.add((SWEEP, key), f"overlaps {name}", "vary one of them, with whole values")
        paths[path] = key
        try:
            found[key] = values(config)
        except ValueError:
            continue  # which the model says
    return found


def _refuse_new_names(document: dict[str, Any], path: Path) -> None:
    """Refuse a service or version that the scenario lacks: a key would make one that nobody calls."""
    here: Any = document
    for above, name in itertools.pairwise(path):
        here, _ = lookup(here, (above,))
        if above in NAMED and isinstance(here, dict) and name not in here:
            raise ValueError(f"no {NAMED[above]} {shown(name)}; {suggestion(str(name), here)}")


def _problems(
    document: Document, choice: Choice, findings: Findings, check: Check
) -> tuple[Scenario | None, list[Problem]]:
    """The scenario of one point, and what is wrong with it and not with the document itself."""
    value = copy.deepcopy({name: entry for name, entry in document.value.items() if name != SWEEP})
    changed = replace(document, value=value, places=dict(document.places), problems=[])
    for key, entry in choice:
        path = resolve(value, key)
        put(value, path, copy.deepcopy(entry))
        mark(changed, path, document.place((SWEEP, key)))
    own = Findings(changed)
    return check(changed, own), [problem for problem in own if problem not in findings]


def _by_values(problem: Problem, choice: Choice, document: Document) -> Problem:
    """A point's problem; one that is elsewhere is reported by the values that bring it in."""
    places = [document.place((SWEEP, key)) for key, _ in choice]
    if (problem.file, problem.line) in places:
        return problem
    key = "" if problem.message.startswith(problem.key) else f"{problem.key} "
    return Problem(*places[0], label(choice), f"then {key}{problem.message}", problem.remedy)


def put_sweep(document: Document, vary: Mapping[str, object], findings: Findings) -> None:
    """Have a document sweep other keys than it says; problems with them have the place ``--vary``."""
    document.value[SWEEP] = {}
    for key, listed in vary.items():
        if isinstance(listed, Iterable) and not isinstance(listed, str | Mapping):
            listed = list(listed)  # numpy's arrays and Python's ranges, too  # noqa: PLW2901
        try:
            document.value[SWEEP][str(key)] = plain(listed)
        except ValueError as error:
            findings.place(Problem(VARY, 0, str(key), *halves(error)))
    mark(document, (SWEEP,), (VARY, 0))
    if not document.value[SWEEP]:
        del document.value[SWEEP]
