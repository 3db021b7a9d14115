"""What a verb finds: frozen dataclasses of plain values, and the one way from them to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

LEFT_OUT = {"left_out": True}
"""Metadata of a field that is no key of the JSON where it is None."""


@dataclass(frozen=True)
class Result:
    """Base of frozen dataclasses whose fields are the keys of the JSON.

    A field's value is a plain value, a `Result`, or a list, tuple or mapping of such.
    """

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, in the order of the fields; without those left out."""
        found = ((place, getattr(self, place.name)) for place in fields(self))
        return {
            place.name: plain(value)
            for place, value in found
            if not (value is None and place.metadata.get("left_out"))
        }


def plain(value: Any) -> Any:
    """A value of a result as `json` takes it."""
    if isinstance(value, Result):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def at(result: Result | Mapping[str, Any], path: str) -> Any:
    """The value at the end of a path of names: ``latency.p99``, ``services.cart.utilisation``.

    A name in a mapping, such as a service's, may have dots of its own. KeyError: there is no such name.
    """
    value: Any = result
    if not path:
        return value
    if not isinstance(value, Mapping):
        name, _, rest = path.partition(".")
        if not hasattr(value, name):
            raise KeyError(path)
        return at(getattr(value, name), rest)
    for name in sorted(value, key=len, reverse=True):
        if path == name or path.startswith(f"{name}."):
            with suppress(KeyError):
                return at(value[name], path[len(name) + 1 :])
    raise KeyError(path)
