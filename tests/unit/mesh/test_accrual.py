"""Failure accrual in a cluster: a timeline by hand, and what is a probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshsim import engine, reference
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario

Simulate = Callable[[Scenario], Records]
ENGINES = pytest.mark.parametrize(
    "simulate", [engine.simulate, reference.simulate], ids=["engine", "reference"]
)


def scenario(policy: dict[str, Any], **changed: Any) -> Scenario:
    """Ten requests a second, from 0.1 s on, to one replica that is down from 0.95 s to 3.05 s."""
    document = {
        "duration": "5.05s",
        "services": {"cart": {"time": "1ms"}},
        "policies": {"cart": policy},
        "load": [{"to": "cart", "rate": "10/s", "arrivals": "constant"}],
        "events": [{"at": "950ms", "for": "2100ms", "service": "cart", "down": True}],
    }
    return Scenario.model_validate({**document, **changed})


@ENGINES
def test_a_timeline(simulate: Simulate) -> None:
    """Shut at 1.1 s until 1.56, at the failed probe of 1.6 s until 2.52, at that of 2.6 s until 4.44."""
    accrual = {"max_failures": 2, "min_penalty": "460ms", "jitter": "0%"}
    records = simulate(scenario({"failure_accrual": accrual}))
    flags = dict(
        zip([round(start, 3) for start in records.requests.start], records.requests.flag, strict=True)
    )
    refused = [1.0, 1.1, 1.6, 2.6]
    assert [start for start, flag in flags.items() if flag == "UF"] == refused
    assert [start for start, flag in flags.items() if not flag] == [
        *(round(0.1 * k, 3) for k in range(1, 10)), *(round(0.1 * k, 3) for k in range(45, 51))
    ]  # fmt: skip
    assert set(flags.values()) == {"", "UF", "UH"}
    assert [round(time, 3) for time, _, _ in records.ejections] == refused[1:]


@ENGINES
def test_a_push_that_changes_it_begins_anew(simulate: Simulate) -> None:
    accrual = {"max_failures": 1, "min_penalty": "60s"}
    pushed = {"at": "3.25s", "set": {"policies.cart.failure_accrual.max_failures": 2}}
    down = {"at": "950ms", "for": "2100ms", "service": "cart", "down": True}
    records = simulate(scenario({"failure_accrual": accrual}, events=[down, pushed]))
    starts = records.requests.start[records.requests.flag == "UH"]
    assert (round(starts.min(), 3), round(starts.max(), 3)) == (1.1, 3.2)


@ENGINES
def test_a_pick_that_is_not_used_is_no_probe(simulate: Simulate) -> None:
    """A retry may have the host picked that it avoids; the next call probes it all the same."""
    policy = {
        "failure_accrual": {"max_failures": 1, "min_penalty": "10ms", "jitter": "0%", "max_penalty": "10ms"},
        "retries": {"on": ["connect-failure"], "previous_hosts": True, "backoff": {"base": "0ms"}},
    }
    events = [{"at": "950ms", "for": "2100ms", "replica": "cart/0", "down": True}]
    records = simulate(scenario(policy, services={"cart": {"time": "1ms", "replicas": 2}}, events=events))
    assert not records.requests.flag.any()
    assert len(records.ejections) == pytest.approx(21, abs=1), "each request of that time but some probes it"


@ENGINES
def test_a_probe_that_the_breaker_refuses_makes_room_for_another(simulate: Simulate) -> None:
    down = {"at": "950ms", "for": "350ms", "service": "cart", "down": True}
    limits = [
        {"at": at, "set": {"policies.cart.circuit_breaker.max_requests": limit}}
        for at, limit in (("1050ms", 0), ("2050ms", 1))
    ]
    accrual = {"max_failures": 1, "min_penalty": "10ms"}
    records = simulate(scenario({"failure_accrual": accrual}, events=[down, *limits]))
    assert list(records.requests.flag[9:20]) == ["UF", *10 * ["UO"]]
    assert not records.requests.flag[20:].any()
