"""The keys that can be set, and those that are: for whoever must know every one of them, such as theory.

A key is named by its pattern, as it stands in a file with `*` for names and positions: `services.*.workers`,
`load[*].rate`. A choice is a key with its value (`policies.*.balance.kind=random`), and so is a part that
silence leaves out (`policies.*.retries`). A random time is one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from meshsim.scenario.fields import Model, keyed_fields
from meshsim.scenario.times import KINDS

TIMES = tuple(KINDS.values())


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


def set_keys(model: Model, pattern: str = "", place: str = "") -> Iterator[tuple[str, str]]:
    """The pattern of every key of a model that is not as silence leaves it, and its place.

    Of the model itself `pattern` and `place` end with a dot; they are empty for a scenario.
    """
    for key, name, field in keyed_fields(type(model)):
        value = getattr(model, name)
        if value != field.get_default(call_default_factory=True, validated_data=model.__dict__):
            if isinstance(value, Model) and field.default is None:
                yield f"{pattern}{key}", f"{place}{key}"
            yield from _set(value, f"{pattern}{key}", f"{place}{key}", choice=_chosen(field.annotation))


def _set(value: Any, pattern: str, place: str, *, choice: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, Model) and not isinstance(value, TIMES):
        yield from set_keys(value, f"{pattern}.", f"{place}.")
    elif isinstance(value, dict) and all(isinstance(entry, Model) for entry in value.values()):
        for name, entry in value.items():
            yield from _set(entry, f"{pattern}.*", f"{place}.{name}", choice=choice)
    elif isinstance(value, tuple) and all(isinstance(entry, Model | tuple) for entry in value):
        for index, entry in enumerate(value):
            yield from _set(entry, f"{pattern}[*]", f"{place}[{index}]", choice=choice)
    elif choice:
        for each in value if isinstance(value, tuple) else (value,):
            yield f"{pattern}={each}", place
    else:
        yield pattern, place


def _chosen(kind: Any) -> bool:
    """Whether a type is a choice, or a list of choices."""
    return get_origin(kind) is Literal or (get_origin(kind) is tuple and _chosen(get_args(kind)[0]))
