"""Whatever a scenario says, theory ends soon: with an answer, or with the reason why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meshsim.scenario.model import Scenario
from meshsim.theory import bucket, erlang, finite, networks, numeric, patience
from meshsim.theory.recognise.solution import Solution
from meshsim.theory.recognise.solver import solve


def lone(rate: str = "1/s", policy: dict[str, Any] | None = None, load: Any = None, **api: Any) -> Solution:
    return solve(
        Scenario.model_validate(
            {
                "duration": "10s",
                "services": {"api": api},
                "policies": {"api": policy or {}},
                "load": [load or {"to": "api", "rate": rate}],
            }
        )
    )


EXPONENTIAL = {"time": {"exponential": "1s"}}


def told(solution: Solution) -> str:
    return " ".join(solution.reasons)


@pytest.mark.parametrize("scenario", [
    dict(EXPONENTIAL, rate="2900000/s", workers=3_000_000),
    dict(EXPONENTIAL, rate="9000/s", workers=1, replicas=10_000),
    dict(EXPONENTIAL, rate="9000/s", workers=2, replicas=10_000),
    {"time": {"gamma": {"mean": "100ms", "cv": 1e-9}}, "rate": "9/s", "workers": 1},
    {"time": {"weibull": {"mean": "10ms", "shape": 200}}, "rate": "10/s", "workers": 1},
    {"time": {"weibull": {"mean": "10ms", "shape": 1e9}}, "rate": "10/s", "workers": 1},
    {"time": {"lognormal": {"mean": "100ms", "cv": 1e-9}}, "rate": "9/s", "workers": 1},
    {"time": {"uniform": {"low": "100ms", "high": "100ms"}}, "rate": "9/s", "workers": 1},
    dict(EXPONENTIAL, rate="0.5/s", workers=1, queue=2_000_000_000),
    {"rate": "1/s", "policy": {"rate_limit": {"burst": 1_000_000_000, "rate": "2/s"}}, "time": "1ms"},
    {"time": "1ms", "rate": "9/s", "policy": {"circuit_breaker": {"max_requests": 3_000_000}}},
    {"rate": "1000/s", "policy": {"rate_limit": {"burst": 5, "rate": "1/s"}}, "time": "1ms"},
    {"rate": "1000/s", "workers": 1, "queue": 3, "time": "1s"},
    dict(EXPONENTIAL, rate="1000/s", workers=1, when_abandoned="leave_queue", policy={"timeout": "1s"}),
    dict(EXPONENTIAL, rate="1000/s", workers=1, when_abandoned="stop", policy={"timeout": "1s"}),
])  # fmt: skip
def test_large_numbers_are_solved(scenario: dict[str, Any]) -> None:
    solution = lone(**scenario)
    assert any(each.metric == "latency.mean" for each in solution.predictions), solution.reasons


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (dict(EXPONENTIAL, rate="2/s", workers=1, queue=2_000_000_000), "too large to follow"),
        ({"load": {"to": "api", "users": 1}}, "users neither think nor wait"),
        ({"load": {"to": "api", "users": 1}, "workers": 1}, "users neither think nor wait"),
        (
            dict(EXPONENTIAL, rate="1/s", policy={"hedge": {"after": "1ns", "max": 100}}),
            "more than 32 hedges",
        ),
        (
            dict(
                EXPONENTIAL,
                workers=5_000,
                load={
                    "to": "api",
                    "arrivals": {"mmpp": {"rates": ["1/s", "2/s"], "mean_times": ["1s", "1s"]}},
                },
            ),
            "at most 64 states and 1,000 workers",
        ),
        ({"rate": "1/s", "policy": {"rate_limit": {"burst": 10**9, "rate": "1/s"}}}, "very large bucket"),
    ],
)
def test_what_has_no_answer_says_why(scenario: dict[str, Any], words: str) -> None:
    assert words in told(lone(**scenario))


@pytest.mark.parametrize(
    ("c", "a"), [(0, 3.0), (1, 0.5), (7, 5.0), (50, 80.0), (400, 380.0), (3_000, 2_900.0)]
)
def test_erlang_b_is_its_recursion(c: int, a: float) -> None:
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    assert erlang.erlang_b(c, a) == pytest.approx(blocked, rel=1e-11)


def test_erlang_b_of_very_many_workers_joins_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    a = 1e8
    cases = [int(a + beta * a**0.5) for beta in (-20, -5, 0, 3)]
    summed = [erlang.erlang_b(c, a) for c in cases]
    monkeypatch.setattr(erlang, "LARGE", 1.0)
    assert [erlang.erlang_b(c, a) for c in cases] == pytest.approx(summed, rel=3e-3)
    assert erlang.erlang_b(10**18, 1e9) == erlang.erlang_b(10, 0.0) == 0.0


def test_the_incomplete_gamma_function_ends_at_one() -> None:
    assert numeric.incomplete_gamma(1.005, np.array([0.0, 1e6, np.inf])).tolist() == [0.0, 1.0, 1.0]


def test_the_incomplete_gamma_function_of_large_shapes_joins_the_series(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a = 1e5
    x = np.linspace(a - 5 * a**0.5, a + 5 * a**0.5, 41)
    series = numeric.incomplete_gamma(a, x)
    monkeypatch.setattr(numeric, "LARGE", 1.0)
    assert np.abs(numeric.incomplete_gamma(a, x) - series).max() < 1e-6


@pytest.mark.parametrize("api", [
    {"time": "0ms", "workers": 1},
    {"time": {"exponential": "0ms"}, "workers": 2},
    {"time": {"exponential": "0ms"}, "workers": 1, "queue": 3},
    {"time": {"exponential": "0ms"}, "workers": 1, "replicas": 2,
     "policy": {"balance": {"kind": "least_request"}}},
])  # fmt: skip
def test_a_service_that_takes_no_time(api: dict[str, Any]) -> None:
    found = {each.metric: each.value for each in lone(rate="10/s", **api).predictions}
    assert (found["latency.mean"], found["services.api.busy_mean"]) == (0.0, 0.0)


def test_users_of_a_service_that_takes_no_time() -> None:
    solution = lone(time="0ms", workers=1, load={"to": "api", "users": 3, "think": "1s"})
    assert [(each.metric, each.value) for each in solution.predictions] == [("requests.rate", 3.0)]


def test_far_overload_is_continued_and_not_an_overflow() -> None:
    """Where e^{(λ-μ)τ} or 1/e^{-λ·E[S]} is no float any more, formulas go on as just before."""
    for name in ("queue_timeout_abandon", "bounded_sojourn_timeout", "bounded_sojourn_queue"):
        formula = getattr(patience, name)
        before, after = (formula(lam, 100.0, 1.0) for lam in (799.999, 800.001))
        assert before == pytest.approx(after, rel=1e-5), name
    assert patience.bounded_sojourn_timeout(9100.0, 100.0, 1.0) == pytest.approx(90.0 / 91.0)
    for rho in (200.0, 700.0, 740.0, 1000.0):
        assert bucket.bucket_refused(rho, 1.0, 5) == pytest.approx(1.0 - 1.0 / rho, rel=1e-12)


def test_formulas_without_load() -> None:
    solved = finite.mmck(0.0, 2.0, 3, 5)
    assert (solved.block, solved.number, solved.sojourn) == (0.0, 0.0, 0.5)
    assert solved.seen.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert bucket.bucket_refused(0.0, 10.0, 5) == bucket.batch_passed(0.0, 5, 1.0) == 0.0
    idle = networks.closed_network(3, 0.1, [0.0, 0.1], [1, 2])
    alone = networks.closed_network(3, 0.1, [0.1], [2])
    assert (idle.throughput, idle.number) == (alone.throughput, (0.0, *alone.number))
