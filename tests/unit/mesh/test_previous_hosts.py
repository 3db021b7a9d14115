"""Retries that avoid hosts their call has tried: who counts as tried, and how often another is picked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meshsim import engine, reference
from meshsim.engine import fast
from meshsim.measure.records import Records
from meshsim.mesh.clock import Clock
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.hosts import Host
from meshsim.mesh.recorder import Recorder
from meshsim.policies.balance import Balancer
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import MaxRetries
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import OutlierDetection
from meshsim.random import REPICK, derive
from meshsim.scenario.model import Scenario


class Scripted(Balancer):
    """Picks as it is told, and notes with which keys."""

    def __init__(self, *places: int) -> None:
        self.places = list(places)
        self.keys: list[int] = []

    def pick(self, hosts: list[Endpoint], key: int, now: float) -> Endpoint:
        self.keys.append(key)
        return hosts[self.places.pop(0)]


@pytest.mark.parametrize(
    ("places", "repicks", "picked"),
    [
        ([2], 3, 2),
        ([0, 1, 2], 3, 2),
        ([0, 1, 0], 2, 0),  # takes what comes
        ([0, 2], 1, 2),
        ([0], 0, 0),
    ],
)
def test_picks_again_while_the_host_was_tried(places: list[int], repicks: int, picked: int) -> None:
    hosts = [Host(str(i), i, i, "") for i in range(3)]
    balancer = Scripted(*places)
    cluster = Cluster(
        Clock(), Recorder(), Transport(), 0, hosts, balancer, CircuitBreaker(9, 9, 9), OutlierDetection(),
        MaxRetries(9),
    )  # fmt: skip
    assert cluster.pick_again(7, cluster.pick(7, 0.0), hosts[:2], repicks, 0.0) is hosts[picked]
    assert balancer.keys == [7, *(derive(7, REPICK + n) for n in range(len(places) - 1))]
    cluster.available = []
    assert cluster.pick(7, 0.0) is None
    assert cluster.pick_again(7, None, hosts[:2], repicks, 0.0) is None


@pytest.fixture(
    params=[reference.simulate, engine.simulate, fast.simulate], ids=["reference", "simpy", "fast"]
)
def simulate(request: pytest.FixtureRequest) -> Callable[[Scenario], Records]:
    made: Callable[[Scenario], Records] = request.param
    return made


def failing(**retries: Any) -> Scenario:
    """Calls to three hosts that all fail, in their own time."""
    return Scenario.model_validate(
        {
            "duration": "4s",
            "services": {"api": {"replicas": 3, "errors": "100%", "time": {"exponential": "20ms"}}},
            "policies": {"api": {"balance": "random", "retries": retries}},
            "load": [{"to": "api", "rate": "50/s"}],
        }
    )


def hosts_of_calls(records: Records) -> list[list[int]]:
    """Of each call, the hosts of its tries in order."""
    calls: dict[float, list[int]] = {}
    for start, host in zip(records.attempts.request_start, records.attempts.replica, strict=True):
        calls.setdefault(float(start), []).append(int(host))
    return list(calls.values())


def test_no_host_is_tried_twice_while_there_are_others(simulate: Callable[[Scenario], Records]) -> None:
    avoiding = {"attempts": 3, "previous_hosts": True, "host_attempts": 100}
    calls = hosts_of_calls(simulate(failing(**avoiding)))
    assert len(calls) > 150
    assert all(len(hosts) == 4 and len(set(hosts[:3])) == 3 for hosts in calls)
    last = np.bincount([hosts[:3].index(hosts[3]) for hosts in calls])
    assert min(last) > len(calls) / 5  # any


def test_one_more_pick_fails_as_often_as_two_picks_do(simulate: Callable[[Scenario], Records]) -> None:
    calls = hosts_of_calls(simulate(failing(attempts=1, previous_hosts=True)))
    same = sum(first == second for first, second in calls)
    assert abs(same / len(calls) - 1 / 9) < 4 * (1 / 9 * 8 / 9 / len(calls)) ** 0.5
