"""Two scenarios with common random numbers: what differs, how sure that is, and what pairing them was worth.

Replication k of A and of B has the same seed, so what chance does to both alike goes out of the difference:
Var(B - A) = Var(A) + Var(B) - 2 Cov(A, B). The pairs are independent of each other, so Student's t interval
of the mean difference needs nothing of the covariance. Independent runs would leave Var(A) + Var(B); how
many of them would give an interval as narrow follows from the sample variances. Where a change makes the
two *negatively* correlated, pairing costs instead of saving; the numbers say so.

Source:
    Law, Simulation Modeling and Analysis, 5th ed. (2015): 10.2.1 paired-t interval, 10.2.2 modified
    two-sample-t interval, 9.7 Bonferroni's inequality, 11.2 common random numbers. Welch, The significance
    of the difference between two means when the population variances are unequal, Biometrika 29 (1938): the
    degrees of freedom of the unpaired interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from meshsim.measure.intervals import Interval, interval, replications_for
from meshsim.measure.result import Result

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""Of a number: what adding up in another order may change."""


@dataclass(frozen=True)
class Difference(Result):
    """What one metric does when A becomes B: means over the pairs, and the interval of B - A.

    Attributes:
        told, told_jointly: whether it is significant (its interval leaves out 0); together with all others.
        identical: whether no pair differs at all.
        correlation: of A and B over the pairs; None where one of them does not vary.
        variance_ratio: (Var(A) + Var(B)) / Var(B - A), what pairing saves; None where B - A does not vary.
        unpaired_replications: of each that independent runs would need for an interval as narrow, by
            the variances of the sample; None if no number would do.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    half_width: float
    told: bool
    told_jointly: bool
    identical: bool
    correlation: float | None
    variance_ratio: float | None
    unpaired_replications: int | None


def difference(metric: str, a: Sequence[float], b: Sequence[float], family: int = 1) -> Difference:
    """Compares (n,) paired values, at least 2 (ValueError), of one of a `family` of metrics (Bonferroni)."""
    change = changes(a, b)
    own, spread = interval(change, CONFIDENCE), statistics.variance(change)
    alone = statistics.variance(a) + statistics.variance(b)
    return Difference(
        metric=metric,
        a=math.fsum(a) / len(a),
        b=math.fsum(b) / len(b),
        difference=own.mean,
        low=own.low,
        high=own.high,
        half_width=own.half_width,
        told=_leaves_out_zero(own),
        told_jointly=_leaves_out_zero(interval(change, 1.0 - (1.0 - CONFIDENCE) / family)),
        identical=own.mean == 0.0 and own.half_width == 0.0,
        correlation=_correlation(a, b),
        variance_ratio=alone / spread if spread > 0.0 else None,
        unpaired_replications=unpaired_replications(a, b, own.half_width),
    )


def changes(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """B - A of each pair; 0 where only the last digits differ: sums in another order are no finding."""
    return [
        0.0 if abs(second - first) <= ROUNDING * max(abs(first), abs(second)) else second - first
        for first, second in zip(a, b, strict=True)
    ]


def _leaves_out_zero(found: Interval) -> bool:
    return found.low > 0.0 or found.high < 0.0


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    try:
        return max(-1.0, min(1.0, statistics.correlation(a, b)))
    except statistics.StatisticsError:  # one of them is constant
        return None


def unpaired_replications(a: Sequence[float], b: Sequence[float], half_width: float) -> int | None:
    """How many replications of each would give an interval as narrow if A and B had seeds of their own.

    The least m with t(f) · sqrt((Var(A) + Var(B)) / m) at most `half_width`; Welch's degrees of freedom for m
    of each are f = (m - 1) · (Var(A) + Var(B))² / (Var(A)² + Var(B)²). At least 2; None: no number would do.
    """
    of_a, of_b = statistics.variance(a), statistics.variance(b)
    alone = of_a + of_b
    if alone == 0.0:
        return 2
    if half_width == 0.0:
        return None
    welch = alone * alone / (of_a * of_a + of_b * of_b)
    return replications_for(
        half_width, math.sqrt(alone), lambda m: max(1, math.floor((m - 1) * welch)), CONFIDENCE
    )
