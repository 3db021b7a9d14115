"""The keys that can be set, by the patterns of `meshsim.scenario.settings`."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from meshsim.scenario.fields import Model, keyed_fields
from meshsim.scenario.settings import TIMES


def every_key(model: type[Model], above: str = "") -> Iterator[str]:
    """The pattern of every key of a model but of those whose mechanism is not built yet."""
    for key, _, field in keyed_fields(model):
        if field.annotation is not NoneType:
            yield from _keys(field.annotation, f"{above}{key}")


def _keys(kind: Any, key: str) -> Iterator[str]:
    kind = getattr(kind, "__value__", kind)  # of a named alias
    parts = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Model) and kind not in TIMES:
        yield from every_key(kind, f"{key}.")
    elif get_origin(kind) is Literal:
        yield from (f"{key}={choice}" for choice in parts)
    elif not any(_nested(part) for part in parts):
        yield key
    else:
        if NoneType in parts:
            yield key
        within = {dict: ".*", tuple: "[*]"}.get(get_origin(kind), "")
        for part in filter(_nested, parts):
            yield from _keys(part, key if get_origin(part) is Literal else f"{key}{within}")


def _nested(kind: Any) -> bool:
    """Whether a type holds models or choices."""
    kind = getattr(kind, "__value__", kind)
    if isinstance(kind, type) and not get_args(kind):
        return issubclass(kind, Model) and kind not in TIMES
    return get_origin(kind) is Literal or any(map(_nested, get_args(kind)))
