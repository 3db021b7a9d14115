"""The JSON Schema of scenario files, for editors and for programs that write scenarios.

It knows the forms and the names of keys; that names refer to things that exist is the loader's to check.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any

from meshsim import units

if TYPE_CHECKING:
    from meshsim.scenario.fields import Model

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ATTRIBUTE = re.compile(r"^    (\w[\w, ]*): (.+(?:\n {8,}.+)*)", re.MULTILINE)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario, in every form the YAML may take."""
    return copy.deepcopy(cached_schema())


@functools.cache
def cached_schema() -> dict[str, Any]:
    """The same, shared: for those who only read it."""
    from meshsim.scenario.model import Scenario  # models describe themselves with this module  # noqa: PLC0415

    whole = Scenario.model_json_schema(by_alias=True)
    parts = whole["$defs"]
    _write_mixture_part(parts)
    _tidy(whole)
    return {"$schema": DIALECT, "title": "meshsim scenario", **whole}


def _write_mixture_part(parts: dict[str, Any]) -> None:
    """A mixture's part has its weight beside the distribution: `{weight: 1, exponential: 5ms}`."""
    from meshsim.scenario.times import KINDS  # noqa: PLC0415

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
        for entry in node.values():
            _tidy(entry)
    elif isinstance(node, list):
        for entry in node:
            _tidy(entry)


def _write_default(node: dict[str, Any]) -> None:
    """The default in the form of a file, or none where it has no short one."""
    default = node.pop("default")
    if default == units.UNLIMITED:
        node["default"] = "unlimited"
    elif isinstance(default, float):  # every other float with a default is a time
        node["default"] = default if node.get("$ref", "").endswith("Ratio") else units.show_duration(default)
    elif isinstance(default, bool | int | str):
        node["default"] = default


def described(model: type[Model], parsed: dict[str, Any]) -> dict[str, Any]:
    """A model's JSON Schema in the words of its docstring.

    Args:
        model: its docstring's `Attributes` describe the keys.
        parsed: pydantic's schema, which is changed.
    """
    text = inspect.getdoc(model) or ""
    parsed["description"] = " ".join(text.split("\n\n")[0].split()).replace("`", "")
    words = {
        name.strip(): " ".join(about.split())
        for names, about in ATTRIBUTE.findall(text.partition("Attributes:")[2])
        for name in names.split(",")
    }
    for name, field in model.model_fields.items():
        key = field.alias or name
        entry = parsed["properties"].get(key)
        if entry is None:
            continue
        if name in words and "description" not in entry:
            entry["description"] = re.sub(r"^`\w+`; ", "", words[name]).replace("`", "")
    return parsed
