"""Durations, rates and ratios as people write them: ``"25ms"`` -> 0.025.

Parsed once, at the YAML edge; inside meshsim everything is float seconds, per second, or 0-1.
"""

from __future__ import annotations

import math
import re

UNLIMITED = 1 << 62
"""A count that nothing reaches: what ``unlimited`` in a scenario means."""

SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
DURATION = re.compile(rf"{NUMBER}\s*(ns|us|µs|ms|s|m|h|d)")
RATE = re.compile(rf"{NUMBER}\s*/\s*(ms|s|m|h)")
PERCENT = re.compile(rf"{NUMBER}\s*%")


def _finite(text: str, what: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite")
    if value < 0:
        raise ValueError(f"{what} can't be negative")
    return value


def duration(value: object) -> float:
    """Seconds in a duration such as ``250us``, ``25ms``, ``2s``, ``5m``, ``24h``.

    Args:
        value: the text; a bare 0 is taken, any other bare number lacks a unit.

    Returns:
        Seconds, at least 0.

    Raises:
        ValueError: not a duration; the message says what is missing.
    """
    if isinstance(value, str):
        match = DURATION.fullmatch(value.strip())
        if match:
            return _finite(match[1], "a duration") * SECONDS[match[2]]
    elif value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value!r} has no unit; write a duration such as {value:g}ms or {value:g}s")
    raise ValueError(f"{value!r} is no duration; write one such as 250us, 25ms, 2s, 5m or 24h")


def rate(value: object) -> float:
    """Events per second in a rate such as ``200/s`` or ``12/m``.

    Raises:
        ValueError: not a rate; the message says what is missing.
    """
    if isinstance(value, str):
        match = RATE.fullmatch(value.strip())
        if match:
            return _finite(match[1], "a rate") / SECONDS[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value!r} has no unit; write a rate such as {value:g}/s")
    raise ValueError(f"{value!r} is no rate; write one such as 200/s or 12/m")


def ratio(value: object) -> float:
    """A share between 0 and 1, from ``5%`` or ``0.05``.

    Raises:
        ValueError: not a ratio, or outside 0-100 %.
    """
    if isinstance(value, str) and (match := PERCENT.fullmatch(value.strip())):
        share = _finite(match[1], "a ratio") / 100.0
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = _finite(str(value), "a ratio")
    else:
        raise ValueError(f"{value!r} is no ratio; write one such as 5% or 0.05")
    if share > 1.0:
        raise ValueError(f"{value!r} is more than 100%; write a ratio such as 5% or 0.05")
    return share


def count(value: object) -> int:
    """A whole number of at least 0, or ``unlimited``.

    Raises:
        ValueError: anything else.
    """
    if value == "unlimited":
        return UNLIMITED
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return min(value, UNLIMITED)
    raise ValueError(f"{value!r} is no count; write a whole number of at least 0, or unlimited")


def show_duration(seconds: float) -> str:
    """Seconds for people: ``0.0125`` -> ``12.5ms``."""
    if not math.isfinite(seconds):
        return "–"
    if seconds == 0:
        return "0s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.4g}{unit}"
    return f"{seconds / 1e-9:.3g}ns"


def show_rate(per_s: float) -> str:
    """A rate for people: ``200.0`` -> ``200/s``."""
    return f"{per_s:.4g}/s"


def show_ratio(share: float) -> str:
    """A ratio for people: ``0.0512`` -> ``5.12%``."""
    return f"{100 * share:.4g}%"
