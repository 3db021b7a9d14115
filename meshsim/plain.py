"""What callers hand over, as plain Python values: numpy's numbers, `Decimal`, `Fraction` and paths included.

This is the only place where they are converted. A number that is integral becomes an int, whatever its type
was, so that `numpy.linspace(1, 8, 8)` serves as numbers of workers; everything else keeps its value or is
refused, before anything is run.
"""

from __future__ import annotations

import inspect
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from meshsim.errors import MeshsimError, shown

P = ParamSpec("P")
R = TypeVar("R")

LARGEST_FLOAT = 1 << 53
"""Up to here floats distinguish whole numbers."""
LARGEST_WHOLE = 1 << 63
"""More than any argument may be."""

LONE = ("one half of a surrogate pair is no character", "write the character itself, or both halves")
"""What is wrong with text that `joined` refuses, and what to do."""


def joined(text: str) -> str | None:
    r"""Text with each surrogate pair made the character that it stands for; None where a half stands alone.

    JSON writes characters beyond the first 65,536 as such pairs: ``\ud83d\ude80``.
    """
    try:
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def native(value: object) -> object:
    """A number, truth, text or path as Python's own int, float, bool or str; anything else as it is."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = math.nan if getattr(value, "mask", False) else value.item()  # numpy's; masked is not a number
    if isinstance(value, bool):
        return value
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        return str(path) if isinstance(path, str) else value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real | Decimal):
        return _number(value)
    return value


def _number(value: Any) -> int | float:
    """A real number: an int if it is whole."""
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a huge fraction, a signalling NaN
        return math.nan
    if not number.is_integer() or (isinstance(value, float) and abs(number) > LARGEST_FLOAT):
        return number
    return int(value) if value == int(value) else number


def whole(name: str, value: object) -> int:
    """A whole number, of any type of numbers; a MeshsimError, with the argument's name, for anything else."""
    number = native(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise MeshsimError(f"{name}: {shown(number)} is not a whole number; give one such as 7")
    if abs(number) > LARGEST_WHOLE:
        raise MeshsimError(f"{name}: {shown(number)} is too large; give a smaller one")
    return number


def real(name: str, value: object) -> float:
    """A finite number; a MeshsimError, with the argument's name, for anything else."""
    number = native(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not -math.inf < number < math.inf:
        raise MeshsimError(f"{name}: {shown(number)} is not a number; give one such as 0.5")
    if abs(number) > LARGEST_WHOLE:
        raise MeshsimError(f"{name}: {shown(number)} is too large; give a smaller one")
    return float(number)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise MeshsimError(f"{name}: {shown(native(value))} is not text; give a name")
    return str(value)


def _texts(name: str, value: object) -> list[str]:
    return [_text(name, entry) for entry in _several(value)]


def _several(value: object) -> Iterable[object]:
    """What there is several of; one alone is a list of one."""
    single = isinstance(value, str | bytes) or getattr(value, "shape", None) == ()  # numpy's are "iterable"
    return value if isinstance(value, Iterable) and not single else [value]


def _path(name: str, value: object) -> Path:
    path = native(value)
    if not isinstance(value, str | os.PathLike) or not isinstance(path, str):
        raise MeshsimError(f"{name}: {shown(path)} is not a path; give the name of a folder")
    return Path(path)


def _paths(name: str, value: object) -> list[str]:
    paths = [native(path) if isinstance(path, str | os.PathLike) else path for path in _several(value)]
    for path in paths:
        if not isinstance(path, str):
            raise MeshsimError(f"{name}: {shown(native(path))} is not a path; give names of files or folders")
    return [str(path) for path in paths]


def _truth(name: str, value: object) -> bool:
    truth = native(value)
    if not isinstance(truth, bool):
        raise MeshsimError(f"{name}: {shown(truth)} is neither true nor false; give True or False")
    return truth


def _function(name: str, value: object) -> object:
    if not callable(value):
        raise MeshsimError(f"{name}: {shown(native(value))} can't be called; give a function")
    return value


def _functions(name: str, value: object) -> list[object]:
    return [_function(name, entry) for entry in _several(value)]


def _overrides(name: str, value: object) -> object:
    return value if isinstance(value, Mapping) else _texts(name, value)


def _mapping(name: str, value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise MeshsimError(f"{name}: {shown(native(value))} is not a mapping; give values by name")
    return value


def _reals(name: str, value: object) -> dict[str, float]:
    return {str(key): real(f"{name}[{key}]", entry) for key, entry in _mapping(name, value).items()}


ARGUMENTS: dict[str, Callable[[str, Any], object]] = {
    **dict.fromkeys(("seed", "replications", "at_most", "jobs", "count"), whole),
    **dict.fromkeys(("window", "confidence", "resolution"), real),
    **dict.fromkeys(("until", "start", "stop"), lambda name, value: native(value)),  # may have a unit
    **dict.fromkeys(("engine", "metric", "keep", "proxy", "host", "cluster"), _text),
    **dict.fromkeys(("save", "fresh"), _truth),
    **dict.fromkeys(("progress", "looked", "interrupted", "say", "ready", "watch"), _function),
    "processes": _functions,
    "paths": _paths,
    **dict.fromkeys(("find", "objectives"), _texts),
    **dict.fromkeys(("out", "access_log"), _path),
    **dict.fromkeys(("overrides", "changes"), _overrides),
    **dict.fromkeys(("vary", "balancers", "retry_rules", "roles"), _mapping),
    "costs": _reals,
}
"""What converts an argument, by its name: a name means the same in every verb."""


def converted(function: Callable[P, R]) -> Callable[P, R]:
    """Has a public function get its arguments as plain values, by `ARGUMENTS`; a default None stays.

    A call with an argument that can't be converted raises a MeshsimError.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if name in ARGUMENTS and not (value is None and signature.parameters[name].default is None):
                given.arguments[name] = ARGUMENTS[name](name, value)
        return function(*given.args, **given.kwargs)

    return call
