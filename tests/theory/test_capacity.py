"""The capacity of queues whose exact one is known, found by simulation."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from scipy import optimize, stats

from meshsim.lab.capacity import capacity
from meshsim.lab.capacity.objectives import observe, required
from meshsim.lab.run import run
from meshsim.lab.search.inquiry import Plan
from meshsim.lab.search.verdict import Verdict, judge
from meshsim.scenario import loads
from meshsim.theory.erlang import mmc_sojourn_ccdf


def scenario(workers: int, mean: str, rate: float, objective: str, **more: object):
    service = f"{{a: {{workers: {workers}, time: {{exponential: {mean}}}}}}}"
    load = f"load: [{{to: a, rate: {rate}/s}}], objectives: [{{service: a, {objective}}}]"
    return loads(f"{{name: queue, duration: 30s, warmup: 3s, services: {service}, {load}}}", overrides=more)


def exact_p99(workers: int, mu: float, limit: float) -> float:
    """The load at which 1 % of an M/M/c's requests take longer than the limit."""
    if workers == 1:
        return mu + math.log(0.01) / limit  # t_p = -ln(1-p) / (mu - lambda)

    def beyond(lam: float) -> float:
        return mmc_sojourn_ccdf(limit, lam, mu, workers) - 0.01

    return float(optimize.brentq(beyond, 1.0, workers * mu - 1e-6))


def largest(text, **options):
    return capacity(text, find=["load"], **{"jobs": 1, **options}).answer["load"]


CASES = [
    pytest.param(1, "20ms", 25.0, "p99: 400ms", exact_p99(1, 50.0, 0.4), id="mm1-p99"),
    pytest.param(1, "20ms", 25.0, "mean: 60ms", 50.0 - 1.0 / 0.06, id="mm1-mean"),
    pytest.param(4, "80ms", 20.0, "p99: 500ms", exact_p99(4, 12.5, 0.5), id="mm4-p99"),
]


@pytest.mark.parametrize(("workers", "mean", "rate", "objective", "exact"), CASES)
def test_the_bracket_holds_the_exact_capacity(workers, mean, rate, objective, exact) -> None:
    text = scenario(workers, mean, rate, objective)
    found = largest(text, confidence=0.99, resolution=0.1, at_most=16)
    assert rate * found["meets"]["factor"] <= exact <= rate * found["misses"]["factor"]
    assert rate * found["misses"]["factor"] < 1.6 * exact  # and says something
    assert found["confirmed"]


def test_success_of_a_queue_without_a_waiting_room() -> None:
    """An M/M/1/1 refuses a share ρ/(1+ρ): 20 % at a quarter of its capacity."""
    text = scenario(1, "20ms", 5.0, "success: 80%", **{"services.a.queue": 0})
    found = largest(text, resolution=0.1, at_most=16)
    assert 5.0 * found["meets"]["factor"] <= 12.5 <= 5.0 * found["misses"]["factor"]


def test_the_knee_of_a_queue() -> None:
    """Kleinrock: an M/M/1 has most power at half its capacity."""
    knee = largest(scenario(1, "20ms", 20.0, "p99: 400ms"), resolution=0.5, at_most=4)["knee"]
    assert knee["inside"]
    assert 20.0 * knee["low"]["factor"] <= 25.0 <= 20.0 * knee["high"]["factor"]


def test_the_least_replicas_by_erlang_s_formula() -> None:
    """Replicas that are chosen at random are an M/M/2 each."""
    rate, counts = 120.0, range(4, 12)
    late = [mmc_sojourn_ccdf(0.4, rate / count, 20.0, 2) for count in counts]
    least = next(count for count, share in zip(counts, late, strict=True) if share < 0.01)
    more = {"services.a.replicas": 10, "policies": {"a": {"balance": "random"}}, "duration": "30s"}
    found = capacity(
        scenario(2, "50ms", rate, "p99: 400ms", **more), find=["replicas"], at_most=16, jobs=1
    ).answer
    assert found["replicas"]["least"]["a"] == least
    assert found["replicas"]["bounds"]["a"] in (3, 4)  # three are busy
    assert found["replicas"]["confirmed"]
    assert found["replicas"]["removals"]["a"] == "missed"


def test_a_service_that_is_too_slow_by_itself_is_told_first() -> None:
    found = capacity(scenario(1, "20ms", 25.0, "p50: 10ms"), at_most=4, jobs=1).answer
    assert found["load"]["meets"] is None
    assert "more load is not what it fails of" in found["load"]["notes"][0]
    assert found["replicas"]["least"] is None
    assert "not replicas that are short" in found["replicas"]["notes"][0]


@pytest.mark.parametrize(("workers", "mean", "rate", "objective", "exact"), CASES)
def test_verdicts_at_the_exact_capacity_are_as_rare_as_said(workers, mean, rate, objective, exact) -> None:
    """There both verdicts are errors. Most short runs have no late request, and agree on what is not so."""
    text = scenario(workers, mean, exact, objective)
    limits, plan, pool, trials = required(text), Plan(), 120, 400
    seen = [observe(run(text, seed=seed).numbers, seed) for seed in range(pool)]
    generator, wrong = random.Random(1), Counter[Verdict]()
    for _ in range(trials):
        picked = generator.sample(seen, plan.most)
        verdicts = (judge(limits, picked[:look], plan.error) for look in plan.looks)
        wrong[next((each for each in verdicts if each is not Verdict.UNDECIDED), Verdict.UNDECIDED)] += 1
    for verdict in (Verdict.MET, Verdict.MISSED):
        assert wrong[verdict] <= stats.binom.ppf(0.9999, pool // 4, 0.05) / (pool // 4) * trials


@pytest.mark.long
@pytest.mark.parametrize(("workers", "mean", "rate", "objective", "exact"), CASES)
def test_claims_are_wrong_no_oftener_than_said(workers, mean, rate, objective, exact) -> None:
    """Of many searches, each with its own seeds, at most 5 % have the capacity outside their bracket."""
    trials, wrong = 40, 0
    text = scenario(workers, mean, rate, objective)
    for trial in range(trials):
        found = largest(text, resolution=0.05, seed=1 + 1000 * trial, jobs=None)
        wrong += not rate * found["meets"]["factor"] <= exact <= rate * found["misses"]["factor"]
    assert wrong <= stats.binom.ppf(0.999, trials, 0.05)
