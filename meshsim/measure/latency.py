"""Latencies in a few numbers.

Percentiles are numpy's and pandas' default, ``linear``: of n sorted values the q-quantile lies at
position q · (n - 1), between two neighbours in proportion. So ``run.requests.latency.quantile(0.99)``
gives the number in the summary. Percentiles of percentiles mean nothing: over replications and bins
the values are pooled first.

Of a run that kept histograms the two neighbours are known to 0.5 % (`meshsim.mesh.histogram`), and so is what
lies between them; number, mean and maximum are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.measure.grid import Floats, Ints
from meshsim.measure.result import Result

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
LATENCY_KEYS = ("mean", *QUANTILES, "max")
FEWEST = {key: round(1.0 / (1.0 - quantile)) for key, quantile in QUANTILES.items()}
"""Of fewer latencies a percentile is only the greatest of them: it is neither drawn nor printed."""
LEAST_BEYOND = 10
"""With fewer requests beyond it, a percentile is a few slow requests and not a property of the mesh."""
VERY_LATE = 1e18
"""The latency of what never came, s."""
ROUNDING = 1e-9
"""Values that differ by no more than this share are all the same."""


@dataclass(frozen=True, slots=True)
class LatencySummary(Result):
    """Mean, percentiles and maximum of some latencies, s; None where there are none."""

    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, latencies: Latencies) -> LatencySummary:
        """Of latencies, however they are kept."""
        if not latencies.count:
            return cls()
        quantiles = latencies.quantiles(list(QUANTILES.values()))
        return cls(*map(float, (latencies.mean, *quantiles, latencies.most)))

    def columns(self, name: str = "latency") -> dict[str, float | None]:
        """As columns of a table: ``latency_p99``."""
        return {f"{name}_{key}": value for key, value in self.as_dict().items()}


@dataclass(frozen=True, slots=True)
class Each:
    """(n,) latencies, each by itself, s."""

    values: Floats

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Of at least one, s."""
        return float(self.values.mean())

    @property
    def most(self) -> float:
        """The longest of at least one, s."""
        return float(self.values.max())

    def quantiles(self, quantiles: Sequence[float]) -> Floats:
        """(q,) quantiles, 0-1, of at least one, s."""
        return np.quantile(self.values, quantiles)

    def within(self, limit: float) -> int:
        """How many are at most this long, s."""
        return int(np.count_nonzero(self.values <= limit))

    @property
    def independent(self) -> float:
        """How many independent latencies would say as much.

        Requests that follow each other wait in the same queues: thousands may be worth a dozen.
        """
        return self.count / inflation(self.values) if self.count else 0.0

    def with_missing(self, missing: int) -> Each:
        """These, and so many that never came: `VERY_LATE`."""
        return Each(np.concatenate([self.values, np.full(missing, VERY_LATE)]))


@dataclass(frozen=True, slots=True)
class Buckets:
    """The same counted in a histogram: (n,) `values`, s, some of them repeated, and `counts`.

    `total` is the sum of all latencies, s; all, and so their quantiles, lie between `shortest` and `most`.
    """

    values: Floats
    counts: Ints
    total: float
    shortest: float
    most: float

    @property
    def count(self) -> int:
        """How many there are in all buckets."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Of at least one, s; exact."""
        return self.total / self.count

    def quantiles(self, quantiles: Sequence[float]) -> Floats:
        """(q,) quantiles, 0-1, of at least one, s, by the buckets' values."""
        values = np.clip(self.values, self.shortest, self.most)
        one_group = np.zeros(len(values), np.int64)
        return grouped_quantiles(values, one_group, 1, quantiles, self.counts)[:, 0]

    def within(self, limit: float) -> int:
        """How many are at most this long, s, by the buckets' values."""
        return int(self.counts[np.clip(self.values, self.shortest, self.most) <= limit].sum())

    @property
    def independent(self) -> float:
        """All of them: their order is not known."""
        return float(self.count)

    def with_missing(self, missing: int) -> Buckets:
        """These, and so many in a bucket of `VERY_LATE`."""
        return Buckets(
            np.append(self.values, VERY_LATE),
            np.append(self.counts, missing),
            self.total + missing * VERY_LATE,
            self.shortest if self.count else VERY_LATE,
            VERY_LATE,
        )


Latencies = Each | Buckets


def enough(requests: int, quantile: float) -> bool:
    """Whether `LEAST_BEYOND` of so many requests lie beyond a percentile."""
    return requests * (1.0 - quantile) >= LEAST_BEYOND - 1e-6


def pool(parts: Sequence[Latencies]) -> Latencies:
    """All latencies of several, all of which are kept in the same way."""
    each = [part for part in parts if isinstance(part, Each)]
    if len(each) == len(parts):
        return Each(np.concatenate([part.values for part in each]))
    counted = [part for part in parts if isinstance(part, Buckets)]
    assert len(counted) == len(parts), "rows and histograms are not put together"
    some = [part for part in counted if part.count] or counted[:1]
    return Buckets(
        np.concatenate([part.values for part in some]),
        np.concatenate([part.counts for part in some]),
        sum(part.total for part in some),
        min(part.shortest for part in some),
        max(part.most for part in some),
    )


def inflation(values: Floats) -> float:
    """By how much the variance of the mean of (n,) ordered values exceeds that of independent ones.

    At least 1: 2 (p0 + p1 + ...) - 1, with pairs of autocorrelations, p0 = r0 + r1, p1 = r2 + r3, ..., up to
    the first pair that is not positive: from there on they are noise. A single one may be negative and yet
    not noise.

    Source: Law, Simulation Modeling and Analysis, 5th ed. (2015), 4.4, eq. 4.7; where to stop: Geyer,
        Practical Markov Chain Monte Carlo, Statistical Science 7 (1992), 3.3, the initial positive sequence.
    """
    deviations = values - values.mean()
    if np.abs(deviations).max() <= ROUNDING * np.abs(values).max():
        return 1.0
    length = 1 << (2 * len(values) - 1).bit_length()  # powers of two are up to a hundred times as fast
    spectrum = np.fft.rfft(deviations, length)
    covariances = np.fft.irfft(spectrum * np.conj(spectrum), length)[: len(values)]
    correlations = covariances / covariances[0]
    pairs = np.add.reduceat(correlations, np.arange(0, len(values), 2))
    ended = np.flatnonzero(pairs <= 0.0)
    end = int(ended[0]) if len(ended) else len(pairs)
    return max(1.0, float(2.0 * pairs[:end].sum() - 1.0))


def grouped_quantiles(
    values: Floats, groups: Ints, count: int, quantiles: Sequence[float], times: Ints | None = None
) -> Floats:
    """(q, count) quantiles, 0-1, of each of so many groups at once; NaN for a group without values.

    `groups` has the group of each of (n,) values, `times` how often each counts; None for once.
    """
    order = np.lexsort((values, groups))
    ordered = values[order]
    sizes = np.bincount(groups, times, minlength=count).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    upto = None if times is None else np.cumsum(times[order])

    def ranked(rank: Ints) -> Floats:
        return ordered[rank if upto is None else np.searchsorted(upto, rank, side="right")]

    result = np.full((len(quantiles), count), np.nan)
    some = sizes > 0
    for row, quantile in zip(result, quantiles, strict=True):
        place = quantile * (sizes[some] - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, sizes[some] - 1)
        low, high = ranked(starts[some] + below), ranked(starts[some] + above)
        row[some] = low + (high - low) * (place - below)
    return result
