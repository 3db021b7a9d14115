"""Intervals against a queue with a known answer: M/M/1, whose mean stay is 1 / (mu - lambda)."""

from __future__ import annotations

import pytest
from scipy import stats

import meshsim as ms
from meshsim.measure.intervals import interval
from meshsim.measure.precision import Goal

MM1 = """
name: mm1
duration: 25s
warmup: 5s
services: {x: {workers: 1, time: {exponential: 10ms}}}
load: [{to: x, rate: 50/s}]
tracing: {sampling: 0}
"""
STAY = 1.0 / (100.0 - 50.0)
RISK = 0.001


def test_a_known_difference_lies_in_its_interval() -> None:
    """A serves 100/s, B 125/s: B's requests stay 1/75 s instead of 1/50 s on average."""
    result = ms.compare(ms.loads(MM1), changes={"services.x.time": {"exponential": "8ms"}}, jobs=1)
    rows = result.replications[result.replications.metric == "latency.mean"]
    found = interval((rows.b - rows.a).tolist(), 1.0 - RISK)
    assert found.low <= 1.0 / 75.0 - STAY <= found.high
    (difference,) = [each for each in result.summary["differences"] if each["metric"] == "latency.mean"]
    assert difference["told_jointly"]
    # the same service times but for a factor: the luck is shared, and pairing must have paid
    assert difference["variance_ratio"] > 2.0


def test_pairing_changes_the_spread_and_not_the_mean() -> None:
    """Unpaired, the same runs say the same with a wider interval: what pairing saves is real."""
    base = ms.loads(MM1)
    paired = ms.compare(base, changes=["load[0].rate=45/s"], jobs=1, replications=12)
    rows = paired.replications[paired.replications.metric == "latency.mean"]
    a, b = rows.a.to_numpy(), rows.b.to_numpy()
    crossed = interval([second - first for first, second in zip(a, [*b[1:], b[0]], strict=True)])
    own = interval((b - a).tolist())
    assert own.mean == pytest.approx(crossed.mean)
    assert own.half_width < crossed.half_width


@pytest.mark.long
def test_the_stopping_rule_covers_the_truth_as_often_as_the_guide_says() -> None:
    """200 studies, each stopped by ``--until 3%``: the share whose interval has the true mean in it.

    docs/guides/comparing.md says what was measured; the test fails if the share is lower than a coverage of
    92 % would leave it one time in a thousand.
    """
    scenario = ms.loads(MM1)
    studies, covered, replications = 200, 0, []
    for study in range(studies):
        run = ms.run(scenario, seed=10_000 * (study + 1), until="3%")
        found = run.summary["ci"]["latency.mean"]
        covered += found["low"] <= STAY <= found["high"]
        replications.append(run.summary["replications"])
        assert run.summary["until"]["reached"]
    print(f"{covered} of {studies} covered; {sum(replications) / studies:.1f} replications on average")
    assert covered >= stats.binom.ppf(RISK, studies, 0.92)
    assert min(replications) >= Goal("latency.mean", 0.03).least
