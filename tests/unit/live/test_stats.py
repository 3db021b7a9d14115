"""Counts of an edge: what is sent comes back, adds up, and can be subtracted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from meshsim.live.proxy.route import Passed
from meshsim.live.stats import EdgeCounts, by_edge
from meshsim.mesh.histogram import RELATIVE_ERROR


def counted(*latencies: float, status: int = 200) -> EdgeCounts:
    passed = Passed()
    for latency in latencies:
        passed.answered(status, latency, attempts=1, hedges=False)
    return replace(passed.counts(), active=1)


def test_what_is_sent_comes_back() -> None:
    counts = counted(0.001, 0.001, 0.2)
    assert EdgeCounts.of(json.loads(json.dumps(counts.message()))) == counts


def test_reports_of_several_proxies_add_up_by_edge() -> None:
    reports = [
        {"edges": {"a -> b": counted(0.01).message()}},
        {"edges": {"a -> b": counted(0.02, status=503).message(), "b -> c": counted(0.5).message()}},
        {"active": 3},
    ]
    found = by_edge(reports)
    assert list(found) == ["a -> b", "b -> c"]
    assert (found["a -> b"].calls, found["a -> b"].ok, found["a -> b"].active) == (2, 1, 2)
    assert found["a -> b"].latency.total() == 2


def test_what_has_passed_since_is_counted_and_what_is_now_is_kept() -> None:
    before = counted(0.01, 0.01)
    after = EdgeCounts.pooled([before, counted(0.3, 0.4)])
    passed = after.since(before)
    assert (passed.calls, passed.ok, passed.active) == (2, 2, 2)
    assert passed.quantile(1.0) == pytest.approx(0.4, rel=RELATIVE_ERROR)


def test_quantiles_are_those_of_the_latencies() -> None:
    counts = counted(*(n / 1000 for n in range(1, 101)))
    assert counts.quantile(0.5) == pytest.approx(0.050, rel=RELATIVE_ERROR)
    assert counts.quantile(0.99) == pytest.approx(0.099, rel=RELATIVE_ERROR)
    assert EdgeCounts().quantile(0.5) is None
