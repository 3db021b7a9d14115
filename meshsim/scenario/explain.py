"""Pydantic's errors as people write them: the key as it stands in the file, the value, what to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from meshsim import units
from meshsim.errors import halves, shown
from meshsim.scenario.findings import MOST_REPORTED, Finding
from meshsim.scenario.keys import lookup
from meshsim.scenario.names import Path, listed, suggestion
from meshsim.scenario.schema import cached_schema
from meshsim.scenario.synonyms import meant, unknown_key

NO_SUCH_KIND = {
    "int_type": ("not a whole number", "write one such as 3"),
    "int_from_float": ("not a whole number", "write one such as 3"),
    "float_type": ("not a number", "write one such as 1.5"),
    "string_type": ("not text", "put it in quotes"),
    "tuple_type": ("not a list", "write [...] or lines that begin with -"),
    "list_type": ("not a list", "write [...] or lines that begin with -"),
    "bool_type": ("neither true nor false", ""),
}
ENDS = ("connect_timeout", "idle_timeout", "max_age")
"""Keys of a policy's connection that are looked for elsewhere too."""
POLICY_BLOCKS = {("policies",), ("policies", "connection")}
"""Where among policies a server's key is looked for."""
LIMITS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
LIMIT_WORDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def explain(error: ValidationError, config: object, above: Path = ()) -> list[Finding]:
    """Say what is wrong with a document, or the part of it at the path `above`, by the keys that it has."""
    found = []
    for details in error.errors(include_url=False, include_input=False)[: 2 * MOST_REPORTED]:
        path = _path(details, config)
        value, present = lookup(config, path)
        fewest = details.get("ctx", {}).get("min_length", 0)
        if details["type"] == "too_short" and not (isinstance(value, dict | list) and len(value) < fewest):
            continue  # pydantic counts only entries without errors of their own, and those are reported
        if details["type"] == "default_factory_not_called":
            continue  # a default that depends on a field with an error of its own
        found.append(Finding(path, *_described(details, (*above, *path), value, present)))
    return found


def _path(details: Any, config: object) -> Path:
    """An error's place as keys of the file: without union tags and without keys that validators made up."""
    path: list[str | int] = []
    here = config
    location = details["loc"]
    for depth, part in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(part, str) and part.startswith("<") and not last:
            continue
        inside, present = lookup(here, (part,))
        if present:
            path.append(part)
            here = inside
        elif last and details["type"] == "missing":
            path.append(part)
    return tuple(path)


def _described(details: Any, path: Path, value: object, present: bool) -> tuple[str, str]:
    kind = details["type"]
    context = details.get("ctx", {})
    if kind == "missing":
        return "is missing", f"add {path[-1]}"
    if kind == "extra_forbidden":
        of = _of_policy(path) or _of_mesh(path) or _of_step(path) or _of_other_end(path)
        return of or unknown_key(str(path[-1]), _names(path[:-1]))
    if kind == "value_error":
        message, remedy = halves(context["error"])
        return ("is empty" if message.startswith("nothing is no") else message), remedy
    if kind == "literal_error":
        allowed = _choices(path) or [str(context.get("expected", ""))]
        return f"{shown(value)} is not known here", suggestion(str(value), allowed)
    if kind in LIMITS:
        return _limit(LIMITS[kind], context, value)
    if kind == "too_short":
        return "is too short" if value else "is empty", f"give at least {context.get('min_length', 1)}"
    if kind.startswith(("model", "dict")):
        if value is None:
            return "is empty", "write {} for all defaults"
        names = listed(_names(path))
        return f"{shown(value)} is not a mapping", f"its keys: {names}" if names else "write names and values"
    if value is None and present:
        return "is empty", "write its value"
    what, remedy = NO_SUCH_KIND.get(kind, ("not valid here", ""))
    if kind == "string_type" and isinstance(value, dict | list):
        remedy = "write text"
    return f"{shown(value)} is {what}", remedy


def _of_policy(path: Path) -> tuple[str, str] | None:
    """Of a key that a policy has, and that stands at a service or an endpoint: where it belongs."""
    if path[0] != "services" or path[-1] not in _names(("policies", "*")) or len(path) not in (3, 5):
        return None
    name = f'"{path[1]}/{path[3]}"' if path[2] == "endpoints" else path[1]
    return "unknown key", f"write it under policies.{name}"


def _of_mesh(path: Path) -> tuple[str, str] | None:
    """Of a key of the mesh that stands at the top."""
    if len(path) == 1 and path[0] in _names(("mesh",)):
        return "unknown key", f"write mesh.{path[0]}"
    return None


def _of_step(path: Path) -> tuple[str, str] | None:
    """Of an endpoint that is named beside the call that it belongs to."""
    if path[-1] == "endpoint" and "script" in path:
        return "unknown key", "name it in the call, such as cart/add"
    return None


def _of_other_end(path: Path) -> tuple[str, str] | None:
    """Of how connections open and how long they last: link, caller and server have keys of their own."""
    if len(path) < 3:
        return None
    here, at, *inside = map(str, path)
    service = at.rpartition(" -> ")[2].partition("/")[0]
    link = (here, at) == ("links", "default")
    own = (meant(inside[-1], ["keep_alive", "connect", *ENDS]) or [""])[0]
    if own == "keep_alive" and (here == "links" or (here, *inside[:-1]) in POLICY_BLOCKS):
        server = f"write services.{service}.keep_alive, which is the server's"
        return "unknown key", "write it under a service" if link else server
    if here == "services" and inside == ["idle_timeout"]:
        caller = f"policies.{service}.connection.idle_timeout"
        return "unknown key", f"write keep_alive; the caller's is {caller}"
    if own == "connect" and here == "services" and len(inside) == 1:
        return "unknown key", "write links.default.connect"
    if own in ENDS and here in ("links", "services") and len(inside) == 1:
        where = "the connection of a policy" if link else f"policies.{service}.connection"
        return "unknown key", f"write {own} under {where}"
    return None


def _limit(key: str, context: Any, value: object) -> tuple[str, str]:
    limit = context[key]
    if isinstance(value, str) and units.DURATION.fullmatch(value.strip()):
        limit = units.show_duration(limit)
    elif isinstance(limit, float) and limit == int(limit):
        limit = int(limit)
    return f"{shown(value)} is out of range", f"write {LIMIT_WORDS[key]} {limit}"


def _names(path: Path) -> list[str]:
    """The keys that the mapping at a path may have."""
    return [name for form in _forms(path) for name in form.get("properties", {})]


def _choices(path: Path) -> list[str]:
    """The words that may stand at a path."""
    return [word for form in _forms(path) for word in form.get("enum", ()) if isinstance(word, str)]


def _forms(path: Path) -> list[dict[str, Any]]:
    """What may stand at a path, read off the JSON Schema."""
    schema = cached_schema()

    def flat(forms: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The forms with references followed and alternatives side by side."""
        for form in forms:
            if "$ref" in form:
                yield from flat([schema["$defs"][form["$ref"].rpartition("/")[2]]])
            elif "anyOf" in form:
                yield from flat(form["anyOf"])
            else:
                yield form

    found = list(flat([schema]))
    for part in path:
        found = list(flat(inside for form in found for inside in _inside(form, part)))
    return found


def _inside(form: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    """What the mapping or list of one form has at a key or position."""
    if isinstance(part, int):
        if isinstance(form.get("items"), dict):
            yield form["items"]
    elif part in form.get("properties", {}):
        yield form["properties"][part]
    elif isinstance(form.get("additionalProperties"), dict):
        yield form["additionalProperties"]
