"""Durations, rates and ratios as people write them: ``"25ms"`` -> 0.025.

Parsed once, at the YAML edge; inside meshsim everything is float seconds, per second, or 0-1.
"""

from __future__ import annotations

import math
import re

from meshsim.errors import shown

UNLIMITED = 1 << 62
"""A count that nothing reaches: what ``unlimited`` in a scenario means."""

RESOLUTION = 1e-9
"""The shortest time that a scenario can say, s: what is less than that apart is at the same time."""
SHORTEST = 1e-100
"""What is shorter is refused, s: the squares of such times, which variances are made of, are no numbers."""
LONGEST = RESOLUTION * 2.0**52
"""How long a run can be, s: at later times a float would not resolve so short a time."""

NO_NUMBER = "\N{EN DASH}"
"""What a table shows where there is no number."""

SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NUMBER = r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
DURATION = re.compile(rf"{NUMBER}\s*(ns|us|µs|ms|s|m|h|d)")
RATE = re.compile(rf"{NUMBER}\s*/\s*(ms|s|m|h)")
PERCENT = re.compile(rf"{NUMBER}\s*%")


def _checked(value: float, text: object) -> float:
    """The parsed value, refused where no simulation could use it."""
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)} is too large; write a finite value")
    if value < 0:
        raise ValueError(f"{shown(text)} is negative; write at least 0")
    return value


def _bare(value: object) -> bool:
    """Whether this is a number without a unit that a remedy can repeat (``true`` is an int in Python)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


def duration(value: object) -> float:
    """Seconds in a duration such as ``250us``, ``25ms``, ``2s``, ``5m``, ``24h``, or in a bare 0.

    A ValueError says what is missing, such as the unit of any other bare number.
    """
    if isinstance(value, str):
        match = DURATION.fullmatch(value.strip())
        if match:
            seconds = _checked(float(match[1]) * SECONDS[match[2]], value)
            if 0.0 < seconds < SHORTEST:
                raise ValueError(f"{shown(value)} is too short; write 0s, or a time that a clock can measure")
            return seconds
    elif value == 0 and not isinstance(value, bool):
        return 0.0
    if _bare(value):
        raise ValueError(f"{value} has no unit; write a duration such as {value}ms or {value}s")
    raise ValueError(f"{shown(value)} is not a valid duration; write one such as 250us, 25ms, 2s, 5m or 24h")


def rate(value: object) -> float:
    """Events per second in a rate such as ``200/s`` or ``12/m``; a ValueError says what is missing."""
    if isinstance(value, str):
        match = RATE.fullmatch(value.strip())
        if match:
            return _checked(float(match[1]) / SECONDS[match[2]], value)
    if _bare(value):
        raise ValueError(f"{value} has no unit; write a rate such as {value}/s")
    raise ValueError(f"{shown(value)} is not a valid rate; write one such as 200/s or 12/m")


def ratio(value: object) -> float:
    """A share between 0 and 1, from ``5%`` or ``0.05``; a ValueError for anything else."""
    if isinstance(value, str) and (match := PERCENT.fullmatch(value.strip())):
        share = _checked(float(match[1]), value) / 100.0
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(min(max(value, -1), 2))  # an int may be too large for a float
    else:
        raise ValueError(f"{shown(value)} is not a valid ratio; write one such as 5% or 0.05")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{shown(value)} is outside 0-100%; write a ratio such as 5% or 0.05")
    return share


def count(value: object) -> int:
    """A whole number of at least 0, or ``unlimited``; a ValueError for anything else."""
    if value == "unlimited":
        return UNLIMITED
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return min(value, UNLIMITED)
    raise ValueError(f"{shown(value)} is no count; write a whole number of at least 0, or unlimited")


def show_duration(seconds: float) -> str:
    """Seconds as a scenario has them: ``0.0125`` -> ``12.5ms``, ``86400.0`` -> ``24h``."""
    if not math.isfinite(seconds):
        return NO_NUMBER
    if seconds == 0:
        return "0s"
    hours = seconds / SECONDS["h"]
    if 1.0 <= hours < 1000.0 and hours.is_integer():
        return f"{hours:.0f}h"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.4g}{unit}"
    return f"{seconds / 1e-9:.3g}ns"


def show_rate(per_s: float) -> str:
    """A rate as a scenario has it, and as people read it: ``200.0`` -> ``200/s``."""
    return f"{per_s:.4g}/s"


def show_ratio(share: float) -> str:
    """A ratio as a scenario has it: ``0.0512`` -> ``5.12%``."""
    return f"{100 * share:.4g}%"


def duration_text(seconds: float) -> str:
    """Seconds as people read them: ``0.0125`` -> ``12.5 ms``."""
    text = show_duration(seconds)
    digits = text.rstrip("smunh")
    return f"{digits} {text[len(digits) :]}".rstrip()


def ratio_text(share: float) -> str:
    """A ratio as people read it: ``0.0512`` -> ``5.12 %``."""
    return f"{100 * share:.4g} %"


def change_text(share: float) -> str:
    """A change as a share of what it was: ``0.0123`` -> ``+1.23 %``."""
    return f"{100 * share:+.2f} %"


def points_text(difference: float) -> str:
    """A difference of two ratios: ``0.0123`` -> ``1.23 pp``."""
    return f"{100 * difference:.3g} pp"
