"""The JSON Schema of scenario files, for editors and for programs that write scenarios.

It knows the forms and the names of keys; that names refer to things that exist is the loader's to check.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from meshsim import units
from meshsim.scenario.keys import children
from meshsim.scenario.model import Scenario
from meshsim.scenario.times import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario, in every form the YAML may take."""
    return copy.deepcopy(cached_schema())


@functools.cache
def cached_schema() -> dict[str, Any]:
    """The same, shared: for those who only read it."""
    whole = Scenario.model_json_schema(by_alias=True)
    _write_mixture_part(whole["$defs"])
    _tidy(whole)
    return {"$schema": DIALECT, "title": "meshsim scenario", **whole}


def _write_mixture_part(parts: dict[str, Any]) -> None:
    """A mixture's part has its weight beside the distribution: `{weight: 1, exponential: 5ms}`."""
    part = parts["Part"]
    kinds = {name: parts[kind.__name__]["properties"][name] for name, kind in KINDS.items()}
    part["properties"] = {**part["properties"], **kinds}
    part.update(required=["weight"], minProperties=2, maxProperties=2)


def _tidy(node: Any) -> None:
    """Drop pydantic's titles, which say nothing, and say defaults as a file would."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        if "default" in node:
            _write_default(node)
    for _, entry in children(node):
        _tidy(entry)


def _write_default(node: dict[str, Any]) -> None:
    """The default in the form of a file, or none where it has no short one."""
    default = node.pop("default")
    if default == units.UNLIMITED:
        node["default"] = "unlimited"
    elif isinstance(default, float):  # every other float with a default is a time
        bare = node.get("type") == "number" or node.get("$ref", "").endswith("Ratio")
        node["default"] = default if bare else units.show_duration(default)
    elif isinstance(default, bool | int | str):
        node["default"] = default
