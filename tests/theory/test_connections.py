"""Formulas of how often connections open and break, against simulation: one host that needs no time."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

import pytest

from meshsim.engine import fast
from meshsim.measure.parts import ConnectionSummary, edges
from meshsim.measure.records import Records
from meshsim.measure.window import measured
from meshsim.scenario.model import Scenario

RATE = 5.0


def run(
    load: dict[str, Any],
    connection: dict[str, Any] | None = None,
    link: dict[str, Any] | None = None,
    **service: Any,
) -> tuple[Records, ConnectionSummary]:
    scenario = Scenario.model_validate(
        {
            "duration": "4000s",
            "services": {"cart": service},
            "links": {"default": link or {}},
            "policies": {"cart": {"connection": connection or {}, "circuit_breaker": {"max_connections": 1}}},
            "load": [{"to": "cart", **load}],
        }
    )
    records = fast.simulate(scenario)
    assert isinstance(records, Records)
    counts = edges(records.sample(measured([records], scenario)))["client -> cart"].connections
    assert counts is not None
    return records, counts


def assert_share(found: int, of: int, share: float) -> None:
    """That so many of a number are the share that chance makes of it (5 standard deviations)."""
    assert abs(found - of * share) < 5.0 * sqrt(of * share * (1.0 - share)) + 2.0


@pytest.mark.parametrize("idle", [0.1, 0.5])
def test_connections_open_after_gaps_that_are_longer_than_the_idle_timeout(idle: float) -> None:
    records, counts = run({"rate": f"{RATE}/s"}, {"idle_timeout": f"{idle}s"})
    assert_share(counts.opened, len(records.requests.start), exp(-RATE * idle))
    assert counts.idle_timeout == pytest.approx(counts.opened, abs=1)


def test_a_new_connection_adds_its_opening_to_who_waits_for_it() -> None:
    """Of a request that finds none, exp(-l tau) of them, and of those that come while it opens."""
    records, _ = run({"rate": "1/s"}, {"idle_timeout": "500ms"}, {"connect": "1ms"})
    latency = records.requests.end - records.requests.start
    assert latency.mean() == pytest.approx(0.001 * exp(-0.5), rel=0.05)


def test_the_race_is_lost_by_who_sends_in_the_time_of_three_messages() -> None:
    """Of the idle times x of a connection those with k - b - o < x < k - b + f: it closes in between."""
    keep, way = 0.2, 0.002
    records, counts = run(
        {"rate": f"{RATE}/s"}, link={"latency": f"{way}s"}, keep_alive=f"{keep}s", time="0s"
    )
    lost = int((records.requests.flag == "UC").sum())
    share = exp(-RATE * (keep - 2 * way)) - exp(-RATE * keep)
    assert_share(lost, len(records.requests.start), share)
    assert counts.broken == lost
    assert share == pytest.approx(RATE * 2 * way * exp(-RATE * keep), rel=0.02), "about l (o + f) exp(-l k)"


def test_no_race_where_the_caller_closes_two_latencies_earlier() -> None:
    for idle, races in (("196ms", False), ("199ms", True)):
        records, _ = run(
            {"rate": f"{RATE}/s"}, {"idle_timeout": idle}, {"latency": "2ms"}, keep_alive="200ms"
        )
        assert bool((records.requests.flag == "UC").any()) is races


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_one_in_n_requests_opens_a_connection(limit: int) -> None:
    records, counts = run({"users": 1, "think": "100ms"}, {"max_requests": limit}, time="1ms")
    assert counts.opened == -(-len(records.requests.start) // limit)


def test_a_busy_connection_lives_for_its_age_and_what_it_still_carries() -> None:
    """A user that never rests, 30 ms a request, 100 ms of age: four requests a connection."""
    records, counts = run({"users": 1, "think": "0s"}, {"max_age": "100ms"}, time="30ms")
    requests = len(records.requests.start)
    assert (counts.max_age, counts.opened) == (requests // 4, -(-requests // 4))
