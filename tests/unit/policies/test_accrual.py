"""Linkerd's circuit breaking: every cell of its table, and how long penalties last."""

from __future__ import annotations

import pytest

from meshsim.policies.accrual import ADMITS, PROBE, PROBING, SHUT, FailureAccrual
from meshsim.policies.backoff import Backoff
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import BACK, OUT, STAYS
from meshsim.random import PENALTY, u01

PROBES_KEY, OTHER_KEY = 7, 8


def accrual(limit: int = 3, base: float = 1.0, ceiling: float = 60.0, jitter: float = 0.0) -> FailureAccrual:
    return FailureAccrual(limit, Backoff(base, ceiling, 1.0, 1.0 + jitter))


def host_that(state: int, rule: FailureAccrual) -> Endpoint:
    """A host that was shut at 0 s, unless it ADMITS; then it has had one failure less than it takes."""
    host = Endpoint("cart/0", 0)
    for _ in range(rule.limit - (state == ADMITS)):
        rule.record(host, [host], 503, OTHER_KEY, 0.0)
    if state in (PROBE, PROBING):
        assert rule.tick(host, host.returns)
    if state == PROBING:
        assert rule.picked(host, PROBES_KEY)
    return host


@pytest.mark.parametrize(
    ("state", "status", "verdict", "then"),
    [
        (ADMITS, 500, OUT, SHUT),
        (ADMITS, 499, STAYS, ADMITS),
        (SHUT, 500, STAYS, SHUT),
        (SHUT, 200, STAYS, SHUT),
        (PROBE, 504, OUT, SHUT),
        (PROBE, 200, BACK, ADMITS),
        (PROBING, 503, OUT, SHUT),
        (PROBING, 404, BACK, ADMITS),
    ],
)
def test_what_the_end_of_an_attempt_means(state: int, status: int, verdict: int, then: int) -> None:
    rule = accrual()
    host = host_that(state, rule)
    assert host.gate == state
    assert rule.record(host, [host], status, OTHER_KEY, 9.0) == verdict
    assert (host.gate, host.ejected) == (then, then == SHUT)
    if then == ADMITS:
        assert (host.consecutive, host.multiplier) == (0, 0)
    elif state != SHUT:
        assert host.returns == 9.0 + (1.0 if state == ADMITS else 2.0)


@pytest.mark.parametrize("state", [ADMITS, SHUT, PROBE, PROBING])
def test_the_balancer_may_pick_who_admits_or_waits_for_a_probe(state: int) -> None:
    rule = accrual()
    host = host_that(state, rule)
    assert host.ejected == (state in (SHUT, PROBING))
    assert rule.picked(host, OTHER_KEY) == (state == PROBE)
    assert host.gate == (PROBING if state == PROBE else state)
    assert host.ejected == (state != ADMITS)


@pytest.mark.parametrize("state", [ADMITS, SHUT, PROBE, PROBING])
@pytest.mark.parametrize("key", [PROBES_KEY, OTHER_KEY])
def test_only_the_probe_s_own_end_makes_room_for_another(state: int, key: int) -> None:
    rule = accrual()
    host = host_that(state, rule)
    makes_room = state == PROBING and key == PROBES_KEY
    assert rule.gave_up(host, key) == makes_room
    assert host.gate == (PROBE if makes_room else state)
    assert host.ejected == (host.gate in (SHUT, PROBING))


def test_failures_count_in_a_row() -> None:
    rule = accrual(3)
    host = host_that(ADMITS, rule)
    for status in (200, 500, 502, 404, 504, 500):
        assert rule.record(host, [host], status, OTHER_KEY, 0.0) == STAYS
    assert rule.record(host, [host], 500, OTHER_KEY, 0.0) == OUT


def test_a_penalty_ends_at_its_time() -> None:
    rule = accrual()
    host = host_that(SHUT, rule)
    assert not rule.tick(host, 0.999)
    assert host.gate == SHUT
    assert rule.tick(host, 1.0)
    assert (host.gate, host.ejected) == (PROBE, False)
    assert not rule.tick(host, 1.0)


def test_penalties_double_until_a_probe_succeeds() -> None:
    rule = accrual(limit=1, base=1.0, ceiling=5.0)
    host = Endpoint("cart/0", 0)
    lasted = []
    for number in range(6):
        now = 10.0 * number
        rule.record(host, [host], 500, number, now)
        lasted.append(host.returns - now)
        rule.tick(host, host.returns)
        if number == 4:
            rule.record(host, [host], 200, number, host.returns)
    assert lasted == [1.0, 2.0, 4.0, 5.0, 5.0, 1.0]


def test_jitter_is_added_by_the_key_of_the_attempt_and_the_longest_stays_the_longest() -> None:
    rule = accrual(limit=1, base=1.0, ceiling=2.0, jitter=0.5)
    for key in range(50):
        host = Endpoint("cart/0", 0)
        rule.record(host, [host], 500, key, 0.0)
        assert host.returns == pytest.approx(1.0 + 0.5 * u01(key, PENALTY))
        rule.tick(host, host.returns)
        rule.record(host, [host], 500, key, 0.0)
        assert host.returns == 2.0


def test_as_linkerd_s_own_test_has_it() -> None:
    """Test `transitions` of linkerd2-proxy, consecutive_failures.rs: a failed probe, then a good one."""
    rule = accrual(limit=2, ceiling=100.0)
    host = Endpoint("cart/0", 0)
    assert rule.record(host, [host], 502, 1, 0.0) == STAYS
    assert rule.record(host, [host], 502, 2, 0.0) == OUT
    assert not rule.tick(host, 0.5)
    assert rule.tick(host, 1.0)
    assert rule.picked(host, 3)
    assert not rule.picked(host, 4)
    assert rule.record(host, [host], 502, 3, 1.0) == OUT
    assert not rule.tick(host, 2.0)
    assert rule.record(host, [host], 200, 5, 2.0) == STAYS  # a straggler
    assert rule.tick(host, 3.0)
    assert rule.picked(host, 6)
    assert rule.record(host, [host], 200, 6, 3.0) == BACK
