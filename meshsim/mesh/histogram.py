"""Latencies counted in buckets: memory that depends on their range, not on their number.

Buckets are equally wide in the logarithm, 100 to each factor of e, so that each upper edge is about 1 % above
the lower one. A bucket stands for the value in it that is off both edges by the same share of them:

    2 · low · high / (low + high),  at most (high - low) / (high + low) = tanh(1/200) < 0.5 % off.

So a quantile of the histogram is within 0.5 % of the same quantile of the latencies themselves; their number,
their mean and their extremes are exact. All histograms have the same buckets, so the sum of two is what one
would have counted.

Where it ends: a latency below 1 ns counts as 0, off by less than 1 ns; of those beyond 0.99 · 10^9 s (31
years) only the longest is known.

Source:
    Tene, HdrHistogram (hdrhistogram.org): the idea. Masson, Rim and Lee, DDSketch: A Fast and Fully-Mergeable
    Quantile Sketch with Relative-Error Guarantees, VLDB 2019, section 2: the buckets and what they stand for.
    Kahan, Further remarks on reducing truncation errors, CACM 8 (1965): the sum.
"""

from __future__ import annotations

from array import array
from math import exp, log
from typing import final

from meshsim.mesh.columns import integers

RELATIVE_ERROR = 0.005
"""Of a quantile, at most."""
LEAST = 1e-9
"""What is shorter counts as 0, s."""
PER_NEPER = 100.0
"""Buckets to a factor of e: tanh(1 / (2 · 100)) is the relative error."""
BUCKETS = 4146
"""Number 0 is for what counts as 0; the last one, from 0.99 · 10^9 s, has no upper edge."""
MARGIN = 64
"""Buckets of a new histogram, and how much further than asked for one is widened."""


def bucket(value: float) -> int:
    """The number of the bucket that a latency belongs to, s."""
    if value < LEAST:
        return 0
    number = 1 + int(PER_NEPER * log(value / LEAST))
    return number if number < BUCKETS else BUCKETS - 1


def representative(number: int) -> float:
    """The value that a bucket stands for, s."""
    if number == 0:
        return 0.0
    low = LEAST * exp((number - 1) / PER_NEPER)
    high = LEAST * exp(number / PER_NEPER)
    return 2.0 * low * high / (low + high)


@final
class Histogram:
    """How many latencies fell into each bucket; as wide as what was seen.

    Attributes:
        low: the bucket that `counts` begins with.
        counts: of each bucket from there on.
        count: of all.
        total: their sum, s, as exact as a float can be.
        rest: what rounding has added to `total` too much.
        least, most: the shortest and the longest, s; 0 where there are none.
    """

    counts: array[int]

    def __init__(self) -> None:
        self.low = 0
        self.counts = integers(0)
        self.count = 0
        self.total = 0.0
        self.rest = 0.0
        self.least = 0.0
        self.most = 0.0

    def add(self, number: int, value: float) -> None:
        """Counts a latency whose bucket is known."""
        place = number - self.low
        if place < 0 or place >= len(self.counts):
            self.widen(number)
            place = number - self.low
        self.counts[place] += 1
        if self.count == 0 or value < self.least:
            self.least = value
        if value > self.most:
            self.most = value
        self.count += 1
        more = value - self.rest
        total = self.total + more
        self.rest = (total - self.total) - more
        self.total = total

    def widen(self, number: int) -> None:
        """Makes room for a bucket, and some on that side of it."""
        old = self.counts
        low = self.low if len(old) > 0 else number
        high = low + len(old)
        if number <= low:
            low = number - MARGIN if number > MARGIN else 0
        if number >= high:
            high = number + MARGIN if number < BUCKETS - MARGIN else BUCKETS
        counts = integers(high - low)
        start = self.low - low
        for place in range(len(old)):
            counts[start + place] = old[place]
        self.low = low
        self.counts = counts

    def clear(self) -> None:
        """Forgets everything but how wide it is."""
        if self.count > 0:
            for place in range(bucket(self.least) - self.low, bucket(self.most) - self.low + 1):
                self.counts[place] = 0
        self.count = 0
        self.total = 0.0
        self.rest = 0.0
        self.least = 0.0
        self.most = 0.0
