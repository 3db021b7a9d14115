"""Latencies in a few numbers.

Percentiles are numpy's and pandas' default, ``linear``: of n sorted values the q-quantile lies at
position q · (n - 1), between two neighbours in proportion. So ``run.requests.latency.quantile(0.99)``
gives the number in the summary. Percentiles of percentiles mean nothing: over replications and bins
the values are pooled first.
"""

from __future__ import annotations

import numpy as np

from meshsim.measure.records import Floats, Ints

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
LATENCY_KEYS = ("mean", *QUANTILES, "max")

Latency = dict[str, float | None]


def latency(values: Floats) -> Latency:
    """The mean, percentiles and maximum of latencies.

    Args:
        values: (n,) latencies, s.

    Returns:
        Seconds by name; None for each where there are no values.
    """
    if not len(values):
        return dict.fromkeys(LATENCY_KEYS)
    quantiles = np.quantile(values, list(QUANTILES.values()))
    numbers = (values.mean(), *quantiles, values.max())
    return {key: float(number) for key, number in zip(LATENCY_KEYS, numbers, strict=True)}


def grouped_quantiles(values: Floats, groups: Ints, count: int, quantiles: tuple[float, ...]) -> Floats:
    """Quantiles of each of many groups at once.

    Args:
        values: (n,) numbers.
        groups: (n,) the group of each, 0 to `count` - 1.
        count: how many groups there are.
        quantiles: (q,) between 0 and 1.

    Returns:
        (q, count) quantiles; NaN for a group without values.
    """
    ordered = values[np.lexsort((values, groups))]
    sizes = np.bincount(groups, minlength=count)
    starts = np.cumsum(sizes) - sizes
    result = np.full((len(quantiles), count), np.nan)
    some = sizes > 0
    for row, quantile in zip(result, quantiles, strict=True):
        place = quantile * (sizes[some] - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, sizes[some] - 1)
        low, high = ordered[starts[some] + below], ordered[starts[some] + above]
        row[some] = low + (high - low) * (place - below)
    return result
