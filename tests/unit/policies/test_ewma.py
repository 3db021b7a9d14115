from __future__ import annotations

from collections import Counter
from itertools import count
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.policies.endpoint import Endpoint
from meshsim.policies.ewma import PeakEwma
from meshsim.random import derive

MS = 1e-3
PICKS = 20_000


def endpoints(number: int) -> list[Endpoint]:
    return [Endpoint(f"cart/{i}", i) for i in range(number)]


def begun(decay: float, rtt: float, hosts: list[Endpoint]) -> PeakEwma:
    """A balancer that has picked once, at 0."""
    balancer = PeakEwma(decay, rtt, len(hosts))
    balancer.pick(hosts, 0, 0.0)
    return balancer


def share(balancer: PeakEwma, hosts: list[Endpoint], now: float) -> list[float]:
    picks = Counter(balancer.pick(hosts, derive(7, n), now).index for n in range(PICKS))
    return [picks[host.index] / PICKS for host in hosts]


def test_an_estimate_decays_while_nothing_is_heard() -> None:
    """Tower's own test: 10 ms that decay over 1 s."""
    hosts = endpoints(1)
    balancer = begun(1.0, 10 * MS, hosts)
    assert balancer.cost(hosts[0], 0.0) == 10 * MS
    assert balancer.cost(hosts[0], 0.1) == pytest.approx(10 * MS * exp(-0.1))
    assert 9 * MS < balancer.cost(hosts[0], 0.1) < 10 * MS
    assert balancer.cost(hosts[0], 0.2) == pytest.approx(10 * MS * exp(-0.2))


def test_a_peak_is_believed_at_once_and_what_is_faster_by_and_by() -> None:
    hosts = endpoints(1)
    balancer = begun(1.0, 10 * MS, hosts)
    balancer.ended(hosts[0], 0.0, 0.5)
    assert balancer.estimates == [0.5]
    balancer.ended(hosts[0], 0.9, 1.0)
    assert balancer.estimates[0] == pytest.approx(0.5 * exp(-0.5) + 0.1 * (1 - exp(-0.5)))


def test_an_answer_right_after_a_look_weighs_nothing() -> None:
    hosts = endpoints(1)
    balancer = begun(1.0, 10 * MS, hosts)
    seen = balancer.cost(hosts[0], 0.1)
    balancer.ended(hosts[0], 0.099, 0.1)
    assert balancer.estimates[0] == seen


def test_what_was_bound_before_the_first_pick_is_no_observation() -> None:
    hosts = endpoints(2)
    balancer = PeakEwma(1.0, 10 * MS, 2)
    balancer.ended(hosts[0], 0.0, 5.0)
    balancer.pick(hosts, 0, 6.0)
    balancer.ended(hosts[0], 5.9, 7.0)
    assert max(balancer.estimates) == 10 * MS


def test_equal_hosts_are_picked_alike_and_a_tie_takes_the_first_drawn() -> None:
    hosts = endpoints(2)
    balancer = PeakEwma(10.0, 30 * MS, 2)
    ticks = count(1)
    picks = Counter(balancer.pick(hosts, derive(7, n), 0.001 * next(ticks)).index for n in range(PICKS))
    assert abs(picks[0] / PICKS - 0.5) < 4 * (0.25 / PICKS) ** 0.5


def test_the_two_drawn_are_different() -> None:
    """So the slowest of n hosts is never picked; with replacement it would be, one time in n²."""
    hosts = endpoints(4)
    balancer = begun(10.0, 10 * MS, hosts)
    balancer.ended(hosts[2], 0.0, 1.0)
    assert share(balancer, hosts, 1.0)[2] == 0.0
    assert share(balancer, hosts[2:3], 1.0) == [1.0]


def test_a_request_under_way_costs_its_latency_again() -> None:
    hosts = endpoints(2)
    balancer = begun(10.0, 10 * MS, hosts)
    balancer.ended(hosts[1], 0.0, 25 * MS)
    hosts[0].active, hosts[0].pending = 1, 0
    assert share(balancer, hosts, 25 * MS) == [1.0, 0.0]
    hosts[0].pending = 1
    assert share(balancer, hosts, 25 * MS) == [0.0, 1.0]


def test_a_host_that_fails_fast_attracts_traffic() -> None:
    hosts = endpoints(2)
    balancer = begun(1.0, 30 * MS, hosts)
    now = 0.0
    picked = Counter[int]()
    for n in range(1000):
        since, now = now, now + 0.01
        host = balancer.pick(hosts, derive(7, n), since)
        picked[host.index] += 1
        balancer.ended(host, now - (1 * MS if host.index else 9 * MS), now)
    assert picked[1] > 700


Step = tuple[int, float, float]
STEPS = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 100), st.floats(0, 100)), max_size=40)


@given(STEPS, st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_an_estimate_is_never_negative_nor_above_what_was_seen(
    steps: list[Step], decay: float, rtt: float
) -> None:
    hosts = endpoints(3)
    balancer = begun(decay, rtt, hosts)
    now, most = 0.0, rtt
    for index, elapsed, latency in steps:
        now += elapsed
        balancer.pick(hosts, index, now)
        since = max(0.0, now - latency)
        most = max(most, now - since)
        balancer.ended(hosts[index], since, now)
        assert all(0.0 <= estimate <= most * (1 + 1e-12) for estimate in balancer.estimates)
