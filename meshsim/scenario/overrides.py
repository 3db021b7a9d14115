"""Overrides of single keys: ``--set load[0].rate=100/s``, and the points of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from meshsim.errors import Problem, ScenarioError, halves, shown
from meshsim.plain import LONE, joined, native
from meshsim.scenario.document import LARGEST_INTEGER, Document, parse_value
from meshsim.scenario.dump import flow
from meshsim.scenario.findings import Findings, mapping
from meshsim.scenario.keys import put, resolve
from meshsim.scenario.names import Path
from meshsim.scenario.outline import Outline
from meshsim.scenario.yaml_nodes import MOST_DEPTH, TOO_DEEP

SET = "--set"
"""What the place of an override is called."""

Overrides = Sequence[str] | Mapping[str, object]


def with_override(overrides: Overrides, key: str, value: object) -> Overrides:
    """The overrides and one more."""
    if isinstance(overrides, Mapping):
        return {**overrides, key: value}
    return [*overrides, f"{key}={flow(value)}"]


def apply(document: Document, overrides: Overrides, findings: Findings) -> None:
    """Replace the values of keys in a document; problems with them have the place ``--set``.

    Overrides are ``"key=value"`` texts, or values by key; text values are read as YAML in both. They may add
    a service; but to set one key of one that there is not, and nobody calls, is a mistake in its name.
    """
    services = set(mapping(document.value.get("services")))
    known = set(services)
    for key, value in _pairs(overrides, findings):
        try:
            replacement = parse_value(value, SET) if isinstance(value, str) else plain(value)
            path = resolve(document.value, key)
            put(document.value, path, replacement)
        except ScenarioError as error:
            for problem in error.problems:
                findings.place(Problem(SET, 0, key, problem.message, problem.remedy))
        except ValueError as error:
            findings.place(Problem(SET, 0, key, *halves(error)))
        else:
            mark(document, path, (SET, 0))
            if path == ("services",):
                known |= mapping(document.value["services"]).keys()
            elif path[:-1] == ("services",):
                known.add(str(path[-1]))
    outline = Outline(document.value)
    known |= {callee for _, callee in outline.edges}
    for name in outline.services:
        if name not in known:
            findings.add_unknown(("services", name), "service", name, services)


def _pairs(overrides: Overrides, findings: Findings) -> Iterable[tuple[str, object]]:
    if isinstance(overrides, Mapping):
        return [(str(key), value) for key, value in overrides.items()]
    if not isinstance(overrides, Iterable) or getattr(overrides, "shape", None) == ():
        remedy = "give texts such as seed=7, or values by key"
        findings.place(Problem(SET, 0, "", f"{shown(overrides)} are no overrides", remedy))
        return []
    pairs = []
    for text in [overrides] if isinstance(overrides, str) else overrides:
        key, equals, value = str(text).partition("=")
        if equals:
            pairs.append((key.strip(), value))
        else:
            findings.place(Problem(SET, 0, "", f"{shown(text)} has no =", "write KEY=VALUE, such as seed=7"))
    return pairs


def mark(document: Document, path: Path, place: tuple[str, int]) -> None:
    """Give a changed path, what it replaced and what it had to make the place of what changed it."""
    depth = len(path)
    for below in [below for below in document.places if below[:depth] == path]:
        del document.places[below]
    for end in range(1, depth + 1):
        document.places.setdefault(path[:end], place)


def plain(value: object, depth: int = 0) -> object:
    """A Python value as YAML would give it, tuples and arrays too; a ValueError where it has no such one."""
    if depth > MOST_DEPTH:
        raise ValueError(f"the value {TOO_DEEP}")
    value = native(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if joined(value) is None:
            raise ValueError("; ".join(LONE))
        return joined(value)
    if isinstance(value, int | float):
        if abs(value) >= LARGEST_INTEGER if isinstance(value, int) else not math.isfinite(value):
            raise ValueError(f"{shown(value)} is not a number that a scenario can use")
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry, depth + 1) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()  # numpy's arrays
    if isinstance(value, list | tuple):
        return [plain(entry, depth + 1) for entry in value]
    name = type(value).__name__
    raise ValueError(f"a {name} can't stand in a scenario; give text, numbers, lists or mappings")
