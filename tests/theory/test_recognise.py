"""The recogniser: what it sees in a structure, what it calls exact, and why it gives up."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshsim import random
from meshsim.scenario.model import Scenario
from meshsim.theory import Solution, erlang, forkjoin, hedging, measured, renewal, retries, solve
from meshsim.theory.recognise.law import Lattice, Law, ShapeUnknownError, maximum, minimum
from meshsim.theory.recognise.times import exponential, law_of

sys.path.insert(0, str(Path(__file__).parent))
from cases import lone
from readings import Document

TEN = {"exponential": "10ms"}
LATTICE = Lattice(0.3 / (1 << 15), 1 << 15)


def solved(document: Document, **more: Any) -> Solution:
    return solve(Scenario.model_validate({"duration": "60s", **document, **more}))


def value(solution: Solution, metric: str, kind: str = "exact") -> float:
    found = solution.get(metric)
    assert found is not None, (
        f"{metric} of {[each.metric for each in solution.predictions]}; {solution.reasons}"
    )
    assert found.kind == kind, f"{metric} is {found.kind}: {solution.reasons}"
    assert found.formula
    assert found.source
    return found.value


def reason(solution: Solution, words: str) -> None:
    assert any(words in each for each in solution.reasons), solution.reasons


# ---- laws -------------------------------------------------------------------------------------------

TIMES = [
    random.Exponential(0.01), random.Erlang(0.01, 4), random.Gamma(0.01, 0.7), random.Gamma(0.01, 1.5),
    random.LogNormal(0.01, 1.0), random.Weibull(0.01, 0.8), random.Weibull(0.01, 2.0), random.Pareto(0.01, 3),
    random.Uniform(0.004, 0.016), random.Empirical([1e-3 * i for i in range(1, 200)]), random.Constant(0.01),
    random.Mixture([3.0, 1.0], [random.Exponential(0.005), random.Constant(0.02)]),
    random.Sum([random.Gamma(0.006, 0.7), random.Constant(0.002), random.Exponential(0.002)]),
]  # fmt: skip


@pytest.mark.parametrize("time", TIMES, ids=lambda time: type(time).__name__)
def test_a_law_is_that_of_the_draws(time: random.Distribution) -> None:
    law = law_of(LATTICE, time)
    draws = np.array([time.draw(random.mix(key), 0) for key in range(20_000)])
    assert law.mean == time.mean
    inside = float(law.cells @ LATTICE.times + law.masses @ law.times) + law.beyond * LATTICE.horizon
    assert inside == pytest.approx(time.mean, rel=3e-3)  # heavy tails end behind the lattice
    for p in (0.1, 0.5, 0.9, 0.99):
        at = law.quantile(p)
        slack = 4.0 * math.sqrt(p * (1.0 - p) / len(draws))
        below, upto = float((draws < at * (1 - 1e-9)).mean()), float((draws <= at * (1 + 1e-9)).mean())
        assert below - slack <= p <= upto + slack


def test_sums_maxima_and_minima_of_exponentials() -> None:
    one = exponential(LATTICE, 0.01)
    two = one.then(one)
    assert float(1.0 - two.cdf(np.array([0.03]))[0]) == pytest.approx(4.0 * math.exp(-3.0), rel=1e-5)
    most = maximum([one] * 10)
    assert most.mean == pytest.approx(forkjoin.max_mean(10, 0.01), rel=1e-5)
    assert most.quantile(0.99) == pytest.approx(forkjoin.max_quantile(0.99, 10, 0.01), rel=1e-5)
    hedge = minimum([one, one.then(Law.atom(LATTICE, 0.013))])
    assert hedge.mean == pytest.approx(hedging.hedge_mean(0.01, 0.013), rel=1e-5)
    assert hedge.quantile(0.999) == pytest.approx(hedging.hedge_quantile(0.999, 0.01, 0.013), rel=1e-5)


def test_constants_stay_exact() -> None:
    law = Law.atom(LATTICE, 0.0123456789).then(Law.atom(LATTICE, 0.02))
    assert law.quantile(0.5) == pytest.approx(0.0323456789, rel=1e-12)
    cut = exponential(LATTICE, 0.01).before(0.0123)
    assert cut.mass == pytest.approx(1.0 - math.exp(-1.23), rel=1e-6)


def test_a_mean_alone_has_no_quantiles() -> None:
    law = Law.mean_only(LATTICE, 0.01).then(exponential(LATTICE, 0.01))
    assert law.mean == pytest.approx(0.02)
    with pytest.raises(ShapeUnknownError):
        law.quantile(0.5)


# ---- what is exact ----------------------------------------------------------------------------------


def test_constant_delays_shift_quantiles_exactly() -> None:
    document = lone(80.0, workers=1, time=TEN)
    mesh = {"dataplane": "sidecar", "proxy": {"time": "300us"}}
    solution = solved(document, links={"default": {"latency": "1ms"}}, mesh=mesh)
    shift = 2 * 0.001 + 2 * 0.0003  # the client has no sidecar
    assert value(solution, "latency.mean") == pytest.approx(0.05 + shift, rel=1e-9)
    assert value(solution, "latency.p99") == pytest.approx(
        erlang.mmc_sojourn_quantile(0.99, 80.0, 100.0) + shift, rel=1e-5
    )
    assert not solution.reasons


def test_names_play_no_role() -> None:
    document = lone(80.0, workers=1, time=TEN)
    named = {
        "services": {"MM1_rho0.5": document["services"]["x"]},
        "load": [{"to": "MM1_rho0.5", "rate": "80/s"}],
    }
    assert value(solved(named, name="closed_N5"), "latency.mean") == value(solved(document), "latency.mean")


def test_round_robin_hands_out_every_nth() -> None:
    solution = solved(lone(160.0, workers=1, replicas=2, time=TEN))
    sigma = renewal.ekm1_sigma(80.0, 2, 100.0)
    assert value(solution, "latency.mean") == pytest.approx(renewal.gm1_sojourn(sigma, 100.0), rel=1e-9)


def test_round_robin_over_several_workers_each_is_solved() -> None:
    solution = solved(lone(80.0, workers=2, replicas=2, time=TEN))
    assert value(solution, "services.x.busy_mean") == pytest.approx(0.8)


@pytest.mark.parametrize("workers", [1, "unlimited"])
def test_a_version_without_weight_gets_nothing(workers: object) -> None:
    mesh = {"mesh": {"dataplane": "sidecar", "proxy": {"time": "0.1ms", "workers": workers}}}
    versions = {"v1": {}, "v2": {"replicas": 2}}
    split = lone(50.0, workers=1, time=TEN, versions=versions, policy={"split": {"v1": 1, "v2": 0}})
    alone = lone(50.0, workers=1, time=TEN)
    for metric in ("services.x.rate", "services.x.busy_mean"):
        assert value(solved(split | mesh), metric) == value(solved(alone | mesh), metric)


@pytest.mark.parametrize("conditions", [{}, {"statuses": [500]}])
def test_retries_of_errors_keep_the_means_but_not_the_quantiles(conditions: dict[str, object]) -> None:
    policy = {"retries": {"attempts": 2, "backoff": {"base": "20ms"}, **conditions}}
    solution = solved(lone(50.0, policy=policy, workers=1, time=TEN, errors=0.3))
    tries = retries.amplification(0.3, 2)
    assert value(solution, "attempts.amplification") == pytest.approx(tries)
    assert value(solution, "services.x.utilisation") == pytest.approx(0.5 * tries)
    waits = 0.3 * 0.01 + 0.09 * 0.02
    assert value(solution, "latency.mean") == pytest.approx(tries / (100.0 - 50.0 * tries) + waits, rel=1e-6)
    assert value(solution, "failures.URX_ratio") == pytest.approx(0.027)
    value(solution, "latency.p99", "approx")
    reason(solution, "more than once")


def test_statuses_are_retried_whatever_they_are_but_only_the_upstreams_own() -> None:
    def tries(**retries: object) -> float:
        policy = {"retries": {"attempts": 1, "per_try_timeout": "10ms", **retries}}
        return value(solved(lone(50.0, policy=policy, time=TEN, errors=0.3)), "attempts.amplification")

    answered = 1.0 - math.exp(-1.0)
    assert tries(statuses=[503, 504]) == pytest.approx(1.0)
    assert tries(statuses=[500]) == pytest.approx(1.0 + 0.3 * answered, rel=1e-6)
    assert tries(statuses=[200, 500]) == pytest.approx(1.0 + answered, rel=1e-6)


def test_a_jitter_that_is_added_is_cut_at_the_longest_backoff() -> None:
    """The second bound is 40 ms: half of the waits are uniform up to 50 ms, and half would be longer."""
    policy = {"retries": {"attempts": 2, "backoff": {"base": "20ms", "max": "50ms", "jitter": "50%"}}}
    solution = solved(lone(50.0, policy=policy, time="1ms", errors=0.3))
    tries = retries.amplification(0.3, 2)
    assert value(solution, "latency.mean") == pytest.approx(0.001 * tries + 0.3 * 0.025 + 0.09 * 0.0475)
    longest = 0.003 + 0.030 + 0.050  # which d less is exceeded by 0.09 (50 d + 2500 d²)
    assert value(solution, "latency.p999") == pytest.approx(longest - 0.0002198, abs=2e-5)


def test_a_shared_callee_keeps_its_mean_in_a_network_with_product_form() -> None:
    services = {
        "a": {"script": [{"call": "b"}, {"call": "c"}]},
        "b": {"script": [{"call": "c"}]},
        "c": {"workers": 1, "time": TEN},
    }
    solution = solved({"services": services, "load": [{"to": "a", "rate": "30/s"}]})
    assert value(solution, "services.c.utilisation") == pytest.approx(0.6)
    assert value(solution, "latency.mean") == pytest.approx(2 / 40, rel=1e-9)
    services["c"] = {"workers": 1, "time": "10ms"}  # not exponential: visits of one request are not Poisson
    other = solved({"services": services, "load": [{"to": "a", "rate": "30/s"}]})
    assert value(other, "services.c.utilisation") == pytest.approx(0.6)
    value(other, "latency.mean", "approx")
    reason(other, "c: requests come to it more than once")


def test_two_queues_at_once_are_not_independent() -> None:
    services: Document = {"root": {"script": [[{"call": "a"}, {"call": "b"}]]}}
    services |= {name: {"workers": 1, "time": TEN} for name in "ab"}
    solution = solved({"services": services, "load": [{"to": "root", "rate": "50/s"}]})
    expected = forkjoin.fork_join_sojourn(50.0, 100.0, 2)
    assert value(solution, "latency.mean", "approx") == pytest.approx(expected, rel=1e-9)
    assert value(solution, "services.a.queue_mean") == pytest.approx(0.5)
    reason(solution, "several queues at once")


def test_one_queue_beside_a_delay_is() -> None:
    services = {
        "root": {"script": [[{"call": "a"}, {"sleep": "20ms"}]]},
        "a": {"workers": 1, "time": TEN},
    }
    solution = solved({"services": services, "load": [{"to": "root", "rate": "50/s"}]})
    rate = 50.0
    assert value(solution, "latency.mean") == pytest.approx(0.02 + math.exp(-rate * 0.02) / rate, rel=1e-5)
    assert value(solution, "latency.p50") == pytest.approx(0.02)


def test_priorities_split_the_mean_wait() -> None:
    document = lone(80.0, workers=1, time=TEN, discipline="priority")
    document["load"] = [{"to": "x", "rate": "30/s", "priority": 1}, {"to": "x", "rate": "50/s"}]
    solution = solved(document)
    assert value(solution, "latency.mean") == pytest.approx(0.05)
    assert value(solution, "derived.load[0].latency.mean") == pytest.approx(0.021428571, rel=1e-6)
    assert solution.get("latency.p99") is None


def test_a_profile_does_not_matter_without_queues() -> None:
    profile = [{"at": "0s", "rate": "10/s"}, {"at": "20s", "rate": "50/s", "ramp": "10s"}]
    document: Document = {"services": {"x": {"time": TEN}}, "load": [{"to": "x", "profile": profile}]}
    solution = solved(document, warmup="10s")
    assert value(solution, "requests.rate") == pytest.approx((10 * 10 + 30 * 10 + 50 * 30) / 50)
    assert value(solution, "latency.p90") == pytest.approx(0.01 * math.log(10.0), rel=1e-5)


def test_bounds_of_closed_loads_without_product_form() -> None:
    document: Document = {
        "services": {"x": {"workers": 2, "time": "10ms"}},
        "load": [{"to": "x", "users": 50, "think": "100ms"}],
    }
    solution = solved(document)
    assert value(solution, "requests.rate", "bound") == pytest.approx(200.0)
    reason(solution, "no product form")


# ---- why not ----------------------------------------------------------------------------------------

WHY_NOT: list[tuple[Document, str]] = [
    (
        {**lone(50.0, time=TEN), "events": [{"at": "1s", "for": "2s", "service": "x", "slow": 2}]},
        "events change the scenario",
    ),
    (lone(120.0, workers=1, time=TEN), "1.2 times what it can do"),
    (
        lone(80.0, policy={"retries": {"attempts": 2, "per_try_timeout": "100ms"}}, workers=1, time=TEN),
        "retry storm",
    ),
    (
        lone(80.0, workers=4, replicas=2, time="10ms", policy={"balance": "least_request"}),
        "exponential service",
    ),
    (lone(200.0, workers=4, time="10ms"), "only an approximation is known (G/G/4"),
    (
        lone(50.0, policy={"hedge": {"after": "5ms"}}, time=TEN, errors=0.1),
        "no formula here solves hedges of attempts that may fail",
    ),
    (lone(50.0, policy={"circuit_breaker": {"max_connections": 8}}, time=TEN), "as if it never acted"),
    (
        lone(50.0, policy={"retries": {"attempts": 1, "budget": {"ratio": 0.2}}}, time=TEN, errors=0.1),
        "budget ties retries",
    ),
    (
        lone(50.0, policy={"outlier_detection": {"consecutive_5xx": 3}}, replicas=3, time=TEN, errors=0.1),
        "outlier detection",
    ),
    (
        lone(50.0, policy={"timeout": "50ms"}, workers=1, time="10ms", when_abandoned="stop"),
        "work is cut short",
    ),
    (
        {
            **lone(50.0, workers=1, time=TEN),
            "load": [{"to": "x", "rate": "9/s"}, {"to": "x", "users": 3, "think": "1s"}],
        },
        "a closed load beside another",
    ),
    (
        {
            "services": {"a": {"workers": 2, "script": [{"call": "b"}]}, "b": {"workers": 1, "time": TEN}},
            "load": [{"to": "a", "rate": "50/s"}],
        },
        "its workers wait for other queues",
    ),
]


@pytest.mark.parametrize(("document", "words"), WHY_NOT, ids=[words for _, words in WHY_NOT])
def test_reasons_are_given(document: Document, words: str) -> None:
    solution = solved(document)
    reason(solution, words)
    latency = solution.get("latency.mean")
    assert latency is None or latency.kind == "approx"


BREAKERS = {
    "connections": lone(75.0, policy={"circuit_breaker": {"max_connections": 4, "max_pending": 2}},
                        time={"exponential": "40ms"}),
    "requests before a queue": lone(
        80.0, policy={"circuit_breaker": {"max_requests": 3}}, time=TEN, workers=1
    ),
    "overload": lone(200.0, policy={"circuit_breaker": {"max_requests": 50}}, time=TEN, workers=1),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKERS)
def test_nothing_is_said_of_what_a_breaker_decides(name: str) -> None:
    """Solved as if it never acted, `connections` would succeed always; M/M/4/6 refuses 9 %."""
    solution = solved(BREAKERS[name])
    assert [each.metric for each in solution.predictions] == ["requests.rate"]
    reason(solution, "is in reach")


def test_users_in_reach_of_a_breaker_are_not_solved() -> None:
    document = lone(50.0, policy={"circuit_breaker": {"max_connections": 4}}, time=TEN)
    few, many = ({**document, "load": [{"to": "x", "users": users, "think": "20ms"}]} for users in (4, 5))
    assert solved(few).get("requests.rate") is not None
    assert not solved(many).predictions
    reason(solved(many), "is in reach of 5 users")


def test_circles_are_refused() -> None:
    services = {"a": {"script": [{"call": "b"}]}, "b": {"script": [{"call": "a", "probability": 0.1}]}}
    reason(solved({"services": services, "load": [{"to": "a", "rate": "1/s"}]}), "in a circle")


# ---- the form ---------------------------------------------------------------------------------------


def test_a_solution_is_plain_values() -> None:
    plain = solved(lone(80.0, workers=1, time=TEN), name="queue").as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["scenario"] == "queue"
    assert set(plain["predictions"][0]) == {"metric", "value", "kind", "formula", "source"}


def test_metrics_are_found_in_summaries() -> None:
    services = {"a.b": {"queue_mean": 3.0, "rate": 2.0, "requests": 10, "versions": {"v1": {"requests": 4}}}}
    summary = {
        "requests": {"rate": 5.0, "completed": 50},
        "failures": {"URX,UT": 5},
        "services": services,
        "edges": {"client -> a.b": {"attempts": 12, "requests": 10}},
        "latency": {"p99": None},
    }
    found = {
        "requests.rate": 5.0,
        "failures.URX,UT_ratio": 0.1,
        "failures.503_ratio": 0.0,
        "services.a.b.queue_mean": 3.0,
        "derived.services.a.b.wait_mean": 1.5,
        "derived.services.a.b.versions.v1.share": 0.4,
        "derived.edges.client -> a.b.tries": 1.2,
        "derived.load[0].latency.mean": None,
        "latency.p99": None,
    }
    assert {metric: measured(summary, metric) for metric in found} == found


def test_the_same_scenario_has_the_same_solution_to_the_last_bit() -> None:
    """The order of a set of names, which Python shuffles in each process, must not matter."""
    program = (
        "from meshsim.theory import solve\n"
        "print([each.value for each in solve('scenarios/validation/chain.yaml').predictions])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1")
    }
    assert len(found) == 1
