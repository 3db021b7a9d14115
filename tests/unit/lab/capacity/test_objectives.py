from dataclasses import replace

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.objectives import objective, observe, required
from meshsim.lab.run import run
from meshsim.measure.capacity import Limit
from meshsim.measure.latency import VERY_LATE
from meshsim.scenario import loads

TEXT = """
name: two
duration: 20s
services:
  a: {time: {exponential: 5ms}, workers: 4, script: [{call: b}]}
  b: {workers: 2, time: {exponential: 10ms}, errors: 5%}
load: [{to: a, rate: 50/s}]
objectives:
  - {service: a, p99: 30ms, success: 90%}
  - {service: b, p99: 20ms, mean: 1s}
"""


def test_each_limit_of_each_objective() -> None:
    found = required(loads(TEXT))
    assert found == (
        Limit("a", "p99", 0.03), Limit("a", "success", 0.9), Limit("b", "mean", 1.0), Limit("b", "p99", 0.02),
    )  # fmt: skip
    assert [each.least for each in found] == [0.99, 0.9, None, 0.99]


def test_what_a_run_says_of_each_limit() -> None:
    scenario = loads(TEXT)
    made = run(scenario, seed=3)
    seen = observe(made.numbers, 3)
    p99, success, mean, inner = seen.scores
    latency = made.requests.latency
    assert p99.share == pytest.approx((latency <= 0.03).mean())
    assert p99.count == success.count == len(latency)
    assert success.share == success.measured == made.summary["requests"]["success_ratio"]
    assert mean.share is inner.share is None  # values: an inner service's answers are only known in sum
    assert inner.measured == made.summary["services"]["b"]["latency"]["p99"]
    assert seen.numbers["utilisation.b"] == made.summary["services"]["b"]["utilisation"]


def test_an_unstable_run_has_missed_everything() -> None:
    scenario = loads(TEXT)
    summary = replace(run(scenario, seed=3).numbers, unstable=True)
    p99, success, mean, inner = observe(summary, 3).scores
    assert (p99.share, success.share) == (0.0, 0.0)
    assert mean.measured == inner.measured == VERY_LATE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("frontend: p99 <= 250ms", {"service": "frontend", "p99": "250ms"}),
        ("a:p99<=1s,success>=99.9%", {"service": "a", "p99": "1s", "success": "99.9%"}),
        ("a: mean ≤ 20ms", {"service": "a", "mean": "20ms"}),
        ("a: success = 99%", {"service": "a", "success": "99%"}),
    ],
)
def test_objectives_of_the_command_line(text, found) -> None:
    assert objective(text) == found


@pytest.mark.parametrize(
    "text", ["a", "a:", "a: p99", "a: p99 >= 20ms", "a: success <= 99%", "a: p99 <= 1s,"]
)
def test_objectives_that_can_not_be_read(text) -> None:
    with pytest.raises(MeshsimError, match="is not an objective; write"):
        objective(text)


def test_without_objectives_there_is_a_remedy() -> None:
    scenario = loads(TEXT, overrides=["objectives=[]"])
    with pytest.raises(MeshsimError, match=r'two has no objectives.*--objective "a: p99 <= 250ms"'):
        required(scenario)


def test_a_hundred_per_cent_can_not_be_shown() -> None:
    scenario = loads(TEXT, overrides=["objectives=[{service: a, success: 100%}]"])
    with pytest.raises(MeshsimError, match=r"99\.99%"):
        required(scenario)
    assert Limit("a", "success", 1.0).least == 1.0
