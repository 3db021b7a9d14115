from __future__ import annotations

from math import inf

import pytest

from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import ConsecutiveErrors
from meshsim.policies.success_rate import SuccessRate


def detection(**changed: float) -> ConsecutiveErrors:
    settings = {
        "limit": 5, "gateway_limit": 0, "always_one": False, "interval": 10.0, "base": 30.0, "ceiling": 300.0,
        "max_ratio": 1.0, "min_healthy_ratio": 0.0, "origin": 0.0, "merge_window": 0.0,
    }  # fmt: skip
    return ConsecutiveErrors(**{**settings, **changed})  # type: ignore[arg-type]


def endpoints(count: int) -> list[Endpoint]:
    return [Endpoint(f"cart/{i}", i) for i in range(count)]


def fail(rule: ConsecutiveErrors, host: Endpoint, hosts: list[Endpoint], times: int, now: float = 0.0) -> int:
    return [rule.record(host, hosts, 503, 0, now) for _ in range(times)][-1]


def test_only_failures_in_a_row_count() -> None:
    rule, hosts = detection(), endpoints(2)
    assert not fail(rule, hosts[0], hosts, 4)
    rule.record(hosts[0], hosts, 200, 0, 0.0)
    assert not fail(rule, hosts[0], hosts, 4)
    assert fail(rule, hosts[0], hosts, 1)


@pytest.mark.parametrize(
    ("percent", "count", "ejected"),
    [(0.10, 3, 0), (0.10, 9, 0), (0.10, 10, 1), (0.33, 3, 0), (0.34, 3, 1), (0.50, 4, 2)],
)
def test_the_cap_as_measured_on_envoy(percent: float, count: int, ejected: int) -> None:
    rule, hosts = detection(max_ratio=percent), endpoints(count)
    assert sum(fail(rule, host, hosts, 5) for host in hosts) == ejected


def test_an_ejection_that_the_cap_refuses_still_zeroes_the_count() -> None:
    rule, hosts = detection(max_ratio=0.1), endpoints(3)
    fail(rule, hosts[0], hosts, 5)
    assert hosts[0].consecutive == 0


@pytest.mark.parametrize(
    ("statuses", "consecutive", "gateway"),
    [
        ([502, 503, 504], 0, 3),
        ([503, 500, 503, 504], 0, 2),
        ([503, 505, 501], 0, 0),
        ([503, 200, 504], 1, 1),
    ],
)
def test_gateway_failures_are_502_to_504_in_a_row(
    statuses: list[int], consecutive: int, gateway: int
) -> None:
    rule, hosts = detection(limit=100, gateway_limit=100), endpoints(1)
    for status in statuses:
        rule.record(hosts[0], hosts, status, 0, 0.0)
    assert hosts[0].gateway == gateway
    assert hosts[0].consecutive == (consecutive or len(statuses))


def test_gateway_failures_eject_first_and_leave_the_other_count() -> None:
    rule, hosts = detection(limit=2, gateway_limit=2, base=10.0), endpoints(2)
    assert fail(rule, hosts[0], hosts, 2)
    assert (hosts[0].gateway, hosts[0].consecutive, hosts[0].multiplier) == (0, 2, 1)
    rule.tick(hosts[0], 10.0)
    assert (hosts[0].ejected, hosts[0].consecutive) == (False, 0)


def test_without_a_limit_gateway_failures_eject_nobody() -> None:
    rule, hosts = detection(limit=100), endpoints(1)
    assert not fail(rule, hosts[0], hosts, 99)


@pytest.mark.parametrize(("percent", "ejected"), [(0.0, 1), (0.10, 1), (0.34, 1), (0.67, 2)])
def test_one_is_always_ejected_if_asked_as_measured_on_envoy(percent: float, ejected: int) -> None:
    rule, hosts = detection(max_ratio=percent, always_one=True), endpoints(3)
    assert sum(fail(rule, host, hosts, 5) for host in hosts) == ejected


def test_ejections_grow_to_the_ceiling_and_end_on_the_grid() -> None:
    """A host that fails at once when it is back: cases.json, ejection_time."""
    rule, hosts = detection(), endpoints(1)
    now, lasts = 1.0, []
    for _ in range(11):
        assert fail(rule, hosts[0], hosts, 5, now)
        lasts.append(hosts[0].returns - now)
        while hosts[0].ejected:
            tick = rule.next_tick(hosts, now)
            assert tick % 10.0 == pytest.approx(0.0, abs=1e-6)
            rule.tick(hosts[0], tick)
            rule.forget(hosts[0])
            now = tick
    assert lasts == pytest.approx([30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300])


def test_the_multiplier_falls_from_the_second_tick_after_the_return() -> None:
    rule, hosts = detection(interval=10.0, base=10.0), endpoints(1)
    fail(rule, hosts[0], hosts, 5, 1.0)
    after = []
    for tick in (10.0, 20.0, 30.0, 40.0):
        rule.tick(hosts[0], tick)
        rule.forget(hosts[0])
        after.append((hosts[0].ejected, hosts[0].multiplier))
    assert after == [(True, 1), (False, 1), (False, 1), (False, 0)]
    assert rule.next_tick(hosts, 40.0) == inf


@pytest.mark.parametrize(("healthy", "panics"), [(5, False), (4, True), (0, True)])
def test_panic_below_the_threshold(healthy: int, panics: bool) -> None:
    assert detection(min_healthy_ratio=0.5).panics(healthy, 10) == panics


def test_panic_also_asks_that_availability_is_short() -> None:
    assert not detection(min_healthy_ratio=0.9).panics(8, 10)  # 1.4 · 80 % > 100 %


def compared(
    rates: SuccessRate, hosts: list[Endpoint], successes: list[int], requests: int = 100
) -> list[int]:
    """Which of the hosts an interval's end finds outliers, after so many successes of each."""
    rule = detection(limit=1000)
    rule.rates = rates
    for host, fine in zip(hosts, successes, strict=True):
        for number in range(requests):
            rule.record(host, hosts, 200 if number < fine else 500, 0, 0.0)
    return [host.index for host in rule.outliers(hosts)]


@pytest.mark.parametrize(
    ("factor", "successes", "outliers"),
    [
        (1.9, [50, 100, 100, 100, 100], [0]),  # the mean is 90, the deviation 20: the threshold is 52
        (1.9, [52, 100, 100, 100, 100], [0]),
        (2.0, [50, 100, 100, 100, 100], []),  # a tie
        (2.1, [50, 100, 100, 100, 100], []),
        (1.9, [90, 90, 90, 90, 90], []),
        (1.0, [50, 50, 100, 100, 100], [0, 1]),
        (1.9, [99, 100, 100, 100, 100], [0]),  # hardly worse, but the others are alike
    ],
)
def test_success_rates_far_below_the_mean(factor: float, successes: list[int], outliers: list[int]) -> None:
    assert compared(SuccessRate(5, 100, factor), endpoints(5), successes) == outliers


@pytest.mark.parametrize(("requests", "outliers"), [(99, []), (100, [0]), (101, [0])])
def test_success_rates_need_enough_requests(requests: int, outliers: list[int]) -> None:
    assert compared(SuccessRate(5, 100, 1.9), endpoints(5), [50, *[requests] * 4], requests) == outliers


def test_success_rates_need_enough_hosts_that_are_in() -> None:
    hosts = endpoints(5)
    assert compared(SuccessRate(6, 100, 1.9), hosts, [50, 100, 100, 100, 100]) == []
    hosts[4].ejected = True
    assert compared(SuccessRate(5, 100, 1.5), hosts, [50, 100, 100, 100, 100]) == []
    assert compared(SuccessRate(4, 100, 1.5), hosts, [50, 100, 100, 100, 100]) == [0]


def test_an_interval_begins_without_requests() -> None:
    rule, hosts = detection(interval=10.0), endpoints(2)
    rule.rates = SuccessRate(2, 1, 0.5)
    assert rule.next_tick(hosts, 1.0) == inf
    rule.record(hosts[0], hosts, 500, 0, 1.0)
    rule.record(hosts[1], hosts, 200, 0, 1.0)
    assert rule.next_tick(hosts, 1.0) == 10.0
    assert rule.outliers(hosts) == [hosts[0]]
    assert rule.outliers(hosts) == []
    assert rule.next_tick(hosts, 10.0) == inf


def test_a_host_that_is_ejected_on_a_tick_keeps_its_multiplier() -> None:
    rule, hosts = detection(base=10.0), endpoints(2)
    hosts[0].multiplier = 3
    assert rule.eject(hosts[0], hosts, 10.0)
    rule.forget(hosts[0])
    assert (hosts[0].multiplier, hosts[0].returns) == (4, 50.0)
