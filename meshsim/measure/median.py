"""The median over replications and how sure it is, without supposing a shape.

Latencies near saturation are skewed: one replication in ten may take five times as long as the others. A mean
with Student's t would follow that one; the median with an interval of order statistics does not.

Source:
    Conover, Practical Nonparametric Statistics, 3rd ed. (1999), 3.2: the interval from the k-th smallest to
    the k-th largest of n values misses the median with probability 2 P(Binomial(n, 1/2) < k).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from meshsim.measure.result import Result


@dataclass(frozen=True, slots=True)
class Median(Result):
    """A median of replications and its interval, whose ends are among the values.

    `confidence`, 0-1, is how often such an interval covers the true median; 0 for a single value.
    """

    median: float
    low: float
    high: float
    confidence: float
    replications: int


def median(values: Sequence[float], confidence: float = 0.95) -> Median:
    """The median with the narrowest interval of order statistics that is at least this sure.

    Fewer than 6 values never reach 95 %: then the interval is their whole range, and says how sure that is.
    ValueError without values.
    """
    if not values:
        raise ValueError("a median needs at least one value")
    ordered, count = sorted(values), len(values)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2.0
    missed, inside = 2.0 * 0.5**count, 1  # by the interval from the smallest to the largest
    while 2 * (inside + 1) <= count:
        more = missed + 2.0 * math.comb(count, inside) * 0.5**count
        if 1.0 - more < confidence:
            break
        missed, inside = more, inside + 1
    return Median(middle, ordered[inside - 1], ordered[-inside], max(0.0, 1.0 - missed), count)
