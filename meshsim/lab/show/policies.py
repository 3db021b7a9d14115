"""The policies in force, and who says each of their values: what ``meshsim check --explain`` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from meshsim.lab.show import permissions
from meshsim.scenario.document import Document
from meshsim.scenario.dump import flow
from meshsim.scenario.model import Scenario
from meshsim.scenario.origins import Origin, Place, in_force
from meshsim.scenario.presets import PRESETS, Default
from meshsim.units import show_duration

RUN = 5
"""So many whole numbers in a row are shown as their range."""
VALUE = 16
"""Characters that values have room for; longer ones push what follows to the right."""
SECONDS = re.compile(r"[0-9.e-]+s")


def facts(scenario: Scenario, document: Document) -> dict[str, Any]:
    """As ``--json`` has them: the preset, the policies of the start by route, and what pushes change."""
    preset = PRESETS.get(scenario.mesh.preset)
    found: dict[str, Any] = {"preset": None, "policies": {}, "policies_pushed": []}
    if preset is not None:
        file, line = document.place(("mesh", "preset"))
        about = {"version": preset.version, "lacking": list(preset.lacking)}
        found["preset"] = {"name": preset.name, **about, "file": file, "line": line}
    for each in in_force(scenario, document):
        values = {
            key: {"value": value, "from": _origin(origin, scenario)}
            for key, (value, origin) in each.values.items()
        }
        if each.since == 0.0 and each.route not in found["policies"]:
            found["policies"][each.route] = values
        else:
            found["policies_pushed"].append({"route": each.route, "since": each.since, "policies": values})
    return found | permissions.facts(scenario, document)


def _origin(origin: Origin, scenario: Scenario) -> dict[str, Any] | str:
    if isinstance(origin, Place):
        return {"file": origin.file, "line": origin.line, "key": origin.key}
    if isinstance(origin, Default):
        preset = PRESETS[scenario.mesh.preset]
        return {"preset": preset.name, "version": preset.version, "source": origin.source}
    return "silence"


def lines(facts: dict[str, Any]) -> Iterator[str]:
    """A block for each policy, titled by all that have it, for each push, and for what is not modelled."""
    alike: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for route, values in facts["policies"].items():
        alike.setdefault(repr(values), ([], values))[0].append(route)
    for routes, values in alike.values():
        yield from _block(", ".join(routes), values)
    for push in facts["policies_pushed"]:
        yield from _block(f"{push['route']}, from {show_duration(push['since'])}", push["policies"])
    yield from permissions.lines(facts)
    if preset := facts["preset"]:
        whose = f"preset {preset['name']} {preset['version']}"
        line = f" (line {preset['line']})" if preset["line"] else ""
        yield f"{whose}{line}, not modelled:"
        yield from (f"  {each}" for each in preset["lacking"])


def _block(title: str, values: dict[str, Any]) -> Iterator[str]:
    yield title
    rows = [(key, shown_value(said["value"]), _said(said["from"])) for key, said in values.items()]
    wide = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        yield f"  {key:{wide}}  {value:{VALUE}}  {origin}"
    yield ""


def shown_value(value: Any) -> str:
    """A value as a file could have it, on one line; None is off, and whole numbers in a row are a range."""
    if value is None:
        return "off"
    if isinstance(value, str) and SECONDS.fullmatch(value):
        return show_duration(float(value[:-1]))
    if isinstance(value, list) and len(value) >= RUN and _in_a_row(value):
        return f"{value[0]}-{value[-1]}"
    return flow(value, top=True)


def _in_a_row(values: Sequence[Any]) -> bool:
    return all(type(value) is int for value in values) and all(b - a == 1 for a, b in pairwise(values))


def _said(origin: dict[str, Any] | str) -> str:
    if isinstance(origin, str):
        return "nobody: meshsim's default"
    if "preset" in origin:
        return f"preset {origin['preset']} {origin['version']}: {origin['source'].rpartition('/')[2]}"
    where = f"line {origin['line']}" if origin["line"] else origin["file"]
    return f"{where}: {origin['key']}"
