"""The integral of a gauge, in bins that begin at its origin."""

from __future__ import annotations

import pytest

from meshsim.mesh.gauge import Gauge


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0.0, 0.25, [0.1, 0.1, 0.05]),
        (-0.2, -0.1, [0.0]),
        (-0.2, 0.0, [0.0]),
        (-0.2, 0.15, [0.1, 0.05]),
        (-1000.0, 0.15, [0.1, 0.05]),
    ],
)
def test_only_what_is_after_the_origin_counts(begin: float, end: float, expected: list[float]) -> None:
    gauge = Gauge(0.0, 0.1, 100)
    gauge.add(1, begin)
    gauge.add(-1, end)
    bins = list(gauge.bins)
    assert bins[: len(expected)] == pytest.approx(expected)
    assert sum(bins) == pytest.approx(sum(expected))
