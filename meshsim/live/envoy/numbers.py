"""How Envoy writes numbers: durations in ms, shares in millionths, integer weights, token buckets.

Each is exact or says that it is not (`whole`, `exact_...`): no scenario runs with other numbers than its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
"""A JSON object as Envoy reads it; the only place for dicts is this edge."""

UINT32 = 0xFFFFFFFF
"""Envoy's largest count, which stands for unlimited."""

MILLION = 1_000_000
TINY = 1e-9
LONGEST_FILL = 100_000
"""The longest `fill_interval` to try, s: a rate such as 1/h needs 3600."""


def duration(seconds: float) -> str:
    """A duration as protobuf's JSON has it: ``0.025`` -> ``"0.025s"``."""
    return f"{seconds:.3f}s"


def count(number: int) -> int:
    """A count; what is unlimited, or more than Envoy can count, is its largest."""
    return min(number, UINT32)


def share(ratio: float) -> Json:
    """A share of requests, in millionths."""
    return {"numerator": round(ratio * MILLION), "denominator": "MILLION"}


def weights(given: Iterable[float]) -> list[int]:
    """Weights as integers in the same proportions: as given if they are integers, else in millionths."""
    given = list(given)
    if all(weight == int(weight) for weight in given) and sum(given) <= UINT32:
        return [int(weight) for weight in given]
    return [round(weight / sum(given) * MILLION) for weight in given]


def fill(rate: float) -> tuple[int, int]:
    """A refill rate as Envoy's bucket has it: so many tokens in so many whole seconds."""
    near = Fraction(rate).limit_denominator(LONGEST_FILL)
    return near.numerator, near.denominator


def whole(number: float) -> bool:
    """Whether a number of ms, millionths or percents is an integer, but for rounding."""
    return abs(number - round(number)) < 1e-6


def exact_weights(given: Iterable[float]) -> bool:
    """Whether `weights` keeps the proportions."""
    given = list(given)
    made = weights(given)
    return all(
        math.isclose(weight * sum(made), integer * sum(given), rel_tol=1e-9, abs_tol=TINY)
        for weight, integer in zip(given, made, strict=True)
    )


def exact_fill(rate: float) -> bool:
    """Whether `fill` keeps the rate, and Envoy can count its tokens."""
    tokens, seconds = fill(rate)
    return 0 < tokens <= UINT32 and math.isclose(tokens / seconds, rate, rel_tol=1e-9)
