from __future__ import annotations

from collections import Counter

import pytest

from meshsim.policies.balance import LeastRequest, LeastRequestFullScan, Random, RoundRobin
from meshsim.policies.endpoint import Endpoint
from meshsim.random import derive

PICKS = 40_000


def hosts(*active: int) -> list[Endpoint]:
    made = [Endpoint(f"cart/{i}", i) for i in range(len(active))]
    for host, busy in zip(made, active, strict=True):
        host.active = busy
    return made


def shares(balancer: object, among: list[Endpoint]) -> list[float]:
    picks = Counter(balancer.pick(among, derive(7, n), 0.0).index for n in range(PICKS))  # type: ignore[attr-defined]
    return [picks[i] / PICKS for i in range(len(among))]


def within(share: float, expected: float) -> bool:
    """Four standard deviations of a binomial share."""
    return abs(share - expected) <= 4 * (expected * (1 - expected) / PICKS) ** 0.5


def test_round_robin_visits_all_in_turn() -> None:
    among = hosts(0, 0, 0)
    balancer = RoundRobin(5)
    assert [balancer.pick(among, 0, 0.0).index for _ in range(6)] == [2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("choices", "count", "busy"), [(2, 2, 0.25), (2, 3, 1 / 9), (2, 5, 1 / 25), (5, 2, 1 / 32)]
)
def test_least_request_draws_with_replacement(choices: int, count: int, busy: float) -> None:
    """The busy one of n hosts is picked only if it is drawn every time: measured on Envoy, SEMANTICS 12b."""
    share = shares(LeastRequest(choices), hosts(9, *[0] * (count - 1)))[0]
    assert within(share, busy)


def test_random_is_even() -> None:
    assert all(within(share, 0.25) for share in shares(Random(), hosts(5, 0, 0, 1)))


def test_full_scan_takes_the_least_and_breaks_ties_at_random() -> None:
    one, two, three = shares(LeastRequestFullScan(), hosts(1, 0, 0))
    assert one == 0.0
    assert within(two, 0.5)
    assert within(three, 0.5)
