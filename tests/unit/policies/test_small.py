from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.fault import FaultInjection
from meshsim.policies.limit import TokenBucket
from meshsim.policies.outcome import NO_FLAG, UF, URX, UT, add_flag, flag_names
from meshsim.policies.split import WeightedSplit
from meshsim.random import Constant, derive


def test_flags_keep_their_order_and_come_once() -> None:
    flags = add_flag(add_flag(add_flag(NO_FLAG, URX), UT), URX)
    assert flag_names(flags) == "URX,UT"
    assert flag_names(add_flag(NO_FLAG, NO_FLAG)) == ""
    assert flag_names(add_flag(add_flag(NO_FLAG, URX), UF)) == "URX,UF"


def test_a_bucket_starts_full_and_refills_continuously() -> None:
    bucket = TokenBucket(2, 10.0, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(0.099)
    assert bucket.take(0.101)


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 50), st.floats(0.1, 100))
def test_a_bucket_admits_at_most_burst_and_rate(gaps: list[float], burst: int, rate: float) -> None:
    bucket, now, admitted = TokenBucket(burst, rate, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        admitted += bucket.take(now)
    assert admitted <= burst + rate * now + 1e-6


def test_split_follows_cumulative_weights() -> None:
    split = WeightedSplit([95.0, 5.0])
    assert [split.choose(u) for u in (0.0, 0.9499, 0.95, 0.9999)] == [0, 0, 1, 1]
    assert WeightedSplit([0.0, 1.0]).choose(0.0) == 1


def test_faults_strike_their_share_of_calls() -> None:
    fault = FaultInjection(0.2, Constant(2.0), 0.05, 503)
    calls = [derive(3, n) for n in range(20_000)]
    assert sum(map(fault.delays, calls)) / 20_000 == pytest.approx(0.2, abs=4 * (0.16 / 20_000) ** 0.5)
    assert sum(map(fault.aborts, calls)) / 20_000 == pytest.approx(0.05, abs=4 * (0.0475 / 20_000) ** 0.5)
    assert fault.delay_time(calls[0]) == 2.0


def test_a_breaker_is_a_set_of_gauges() -> None:
    breaker = CircuitBreaker(1, 0, 2)
    assert not breaker.may_wait()
    assert breaker.may_connect(0)
    breaker.connections = 1
    assert not breaker.may_connect(1)
    assert breaker.may_connect(0), "a host without any connection always gets one"
    breaker.active = 2
    assert not breaker.may_send()
    breaker.limit(1, 0, 3)
    assert breaker.may_send()
