"""The keys that a scenario sets: for whoever must know every one of them, such as theory.

A key is named by its pattern, as it stands in a file with `*` for names and positions: `services.*.workers`,
`load[*].rate`. A choice is a key with its value (`policies.*.balance.kind=random`), and so is a part that
silence leaves out (`policies.*.retries`). A random time is one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from meshsim.scenario.fields import Model, keyed_fields
from meshsim.scenario.times import KINDS

TIMES = tuple(KINDS.values())


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
