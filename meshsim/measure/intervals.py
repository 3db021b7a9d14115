"""How sure a mean or a median over replications is.

One run is one sample, however long: its requests wait in the same queues and are not independent. Runs
with different seeds are independent, so the spread *between replications* is what an interval may be made of.

A mean has Student's t interval. Latencies near saturation are skewed: one replication in ten may take five
times as long as the others, and a mean would follow that one. The median with an interval of order statistics
does not, and supposes no shape.

Source:
    Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4: the distribution
    of t for whole degrees of freedom as a finite sum; 26.7.5: its quantile for many of them. Law, Simulation
    Modeling and Analysis, 5th ed. (2015), 9.4: replication-deletion. Conover, Practical Nonparametric
    Statistics, 3rd ed. (1999), 3.2: the interval from the k-th smallest to the k-th largest of n values
    misses the median with probability 2 P(Binomial(n, 1/2) < k).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshsim.measure.result import Result

MANY = 1000
"""From so many degrees of freedom on the quantile of t is the normal one with four corrections."""
MOST = 10**9
"""Nobody makes so many replications."""


@dataclass(frozen=True, slots=True)
class Interval(Result):
    """A mean over replications, 0-1 `confidence` of its interval, and the interval's ends."""

    mean: float
    low: float
    high: float
    half_width: float
    confidence: float
    replications: int


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The t interval of a mean of one value per replication, at least two (ValueError)."""
    count = len(values)
    if count < 2:
        raise ValueError("an interval needs at least two replications")
    mean = math.fsum(values) / count
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = t_quantile(0.5 + confidence / 2.0, count - 1) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, half, confidence, count)


def t_quantile(probability: float, freedom: int) -> float:
    """The value that Student's t stays below with this probability, to about 12 digits.

    Inverts the distribution by bisection over the angle whose tangent is t / sqrt(freedom), which maps the
    infinite range to a finite one. ValueError: a probability not between 0 and 1, or `freedom` below 1.
    """
    if not 0.0 < probability < 1.0 or freedom < 1:
        raise ValueError("a t quantile needs a probability between 0 and 1, and a degree of freedom")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, freedom)
    if freedom > MANY:
        return _expanded(statistics.NormalDist().inv_cdf(probability), freedom)
    low, high = 0.0, math.pi / 2.0
    for _ in range(60):  # halves the range below the spacing of floats
        middle = (low + high) / 2.0
        if _within(middle, freedom) < 2.0 * probability - 1.0:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2.0)


def replications_for(
    half_width: float, deviation: float, freedom: Callable[[int], int], confidence: float = 0.95
) -> int | None:
    """The least number of replications whose t interval would be this narrow: at least 2; None above `MOST`.

    `deviation` is of what is averaged, such as the sample's standard deviation so far; `freedom` gives the
    degrees of freedom by the number of replications, and grows with it.
    """

    def narrow(count: int) -> bool:
        quantile = t_quantile(0.5 + confidence / 2.0, freedom(count))
        return quantile * deviation / math.sqrt(count) <= half_width * (1.0 + 1e-9)

    low, high = 1, 2
    while not narrow(high):
        low, high = high, 2 * high
        if low > MOST:
            return None
    while high - low > 1:  # `high` would do, `low` would not
        middle = (low + high) // 2
        low, high = (low, middle) if narrow(middle) else (middle, high)
    return high


def _expanded(normal: float, freedom: int) -> float:
    """The quantile of t from that of the normal distribution: A&S 26.7.5."""
    x, square = normal, normal * normal
    corrections = (
        (square + 1.0) / 4.0,
        ((5.0 * square + 16.0) * square + 3.0) / 96.0,
        (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0,
        ((((79.0 * square + 776.0) * square + 1482.0) * square - 1920.0) * square - 945.0) / 92160.0,
    )
    return x + math.fsum(x * each / freedom**power for power, each in enumerate(corrections, 1))


def _within(angle: float, freedom: int) -> float:
    """The probability of |t| < sqrt(freedom) · tan(angle): A&S 26.7.3 (odd) and 26.7.4 (even)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total


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
    ordered, count = sorted(values), len(values)
    missed, inside = 2.0 * 0.5**count, 1  # by the interval from the smallest to the largest
    while 2 * (inside + 1) <= count:
        more = missed + 2.0 * math.comb(count, inside) * 0.5**count
        if 1.0 - more < confidence:
            break
        missed, inside = more, inside + 1
    middle, low, high = statistics.median(ordered), ordered[inside - 1], ordered[-inside]
    return Median(middle, low, high, max(0.0, 1.0 - missed), count)
