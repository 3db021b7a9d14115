import itertools

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.least_replicas import ReplicasSearch, cheaper
from meshsim.lab.capacity.pools import Pools
from meshsim.lab.search.inquiry import Inquiry, Plan
from meshsim.lab.search.verdict import Observation, Score, Verdict
from meshsim.measure.capacity import Limit
from meshsim.scenario import loads
from meshsim.theory.erlang import mmc_sojourn_ccdf

LIMIT = 0.2
LATE = Limit("a", "p99", LIMIT)

TEXT = """
duration: 60s
services:
  a: {replicas: 3, workers: 1, time: {exponential: 20ms}, script: [{call: b}, {call: c}]}
  b: {replicas: 4, workers: 2, time: {exponential: 40ms}}
  c: {versions: {v1: {replicas: 2, workers: 1}, v2: {replicas: 1}}, time: {exponential: 2ms}}
  unused: {replicas: 9}
load: [{to: a, rate: 120/s}]
objectives: [{service: a, p99: 200ms}]
"""
NEED = (2.4, 2.4, 0.12, 0.0)
"""Replicas of each pool that 120/s keep busy: 120/s · 20 ms, 120/s · 40 ms / 2, …"""


def exact_late(replicas) -> float:
    """A late share that falls with the replicas of each pool: of M/M/c queues of rates that add up."""
    if any(count <= need for count, need in zip(replicas, NEED, strict=True)):
        return 1.0
    a = mmc_sojourn_ccdf(LIMIT, 120.0, 50.0, replicas[0])
    b = mmc_sojourn_ccdf(LIMIT, 120.0, 25.0, 2 * replicas[1])
    return min(1.0, a + b)


def observe(replicas, seeds):
    late = exact_late(replicas)
    numbers = {
        f"busy_mean.{name}": need * workers
        for name, need, workers in zip(("a", "b", "c/v1"), NEED, (1, 2, 1), strict=False)
    }
    numbers["busy_mean.c/v2"] = 0.1
    return [
        Observation(seed, (Score(late * LIMIT / 0.01, 1.0 - late, 10_000, 10_000),), False, numbers)
        for seed in seeds
    ]


def search(costs=None, text=TEXT, looks=observe):
    pools = Pools(loads(text), costs)
    inquiry = Inquiry(looks, [LATE], Plan())
    found = ReplicasSearch(inquiry, pools)
    found.run()
    return found, inquiry, pools


def cheapest(costs):
    """By trying all."""
    candidates = itertools.product(range(1, 9), range(1, 9), (1,), (1,))
    good = [each for each in candidates if exact_late(each) < 0.0085]  # what is met with confidence
    return min(sum(n * c for n, c in zip(each, costs, strict=True)) for each in good)


@pytest.mark.parametrize("prices", [{}, {"a": 2.5}, {"b": 4.0}, {"c/v2": 3.0}])
def test_the_least_replicas_are_the_cheapest_of_all(prices) -> None:
    found, _, pools = search(prices)
    assert exact_late(found.least) < 0.01
    assert found.exact
    assert pools.cost(found.least) == pytest.approx(cheapest(pools.costs))
    assert found.confirmed


def test_no_replica_can_be_taken_away() -> None:
    found, inquiry, pools = search()
    for place, name in enumerate(pools.names):
        fewer = pools.changed(found.least, place, -1)
        if fewer[place] < 1:
            assert found.removals[name] is None
        else:
            assert found.removals[name] is inquiry.findings[fewer].verdict is not Verdict.MET


def test_too_many_cheaper_combinations_are_not_tried_and_not_claimed() -> None:
    found, _, pools = search({"b": 4.0, "c": 0.5})
    assert (found.exact, found.cheaper_tried) == (False, None)
    assert pools.cost(found.least) == pytest.approx(cheapest(pools.costs))  # all the same, here


def test_fewer_than_the_bounds_are_always_busy() -> None:
    found, _, _ = search()
    assert found.bounds == (3, 3, 1, 1)  # 2.4, 2.4 and 0.12 busy; unlimited workers need one


def test_replicas_that_do_not_help_are_told_first() -> None:
    found, inquiry, _ = search(
        looks=lambda replicas, seeds: [
            Observation(seed, (Score(1.0, 0.5, 10_000, 10_000),)) for seed in seeds
        ]
    )
    assert found.least is None
    assert "not replicas that are short" in found.notes[0]
    assert len(inquiry.findings) == 7


def test_a_caller_that_waits_is_not_the_bottleneck() -> None:
    """More frontends only make it worse; marginal analysis tries, and does not take the busiest."""

    def looks(replicas, seeds):
        a, b = replicas[0], replicas[1]
        late = 1.0 if a < 2 else 0.001 if b >= 4 else 0.2 * a / b
        numbers = {"busy_mean.a": 1.95 if b < 4 else 1.2, "busy_mean.b": 3.0}
        return [
            Observation(seed, (Score(late * 20, 1.0 - late, 10_000, 10_000),), False, numbers)
            for seed in seeds
        ]

    found, _, _ = search(looks=looks)
    assert found.least[:2] == (2, 4)


# ---- pools ------------------------------------------------------------------------------------------


def test_pools_are_what_load_reaches() -> None:
    pools = Pools(loads(TEXT))
    assert pools.names == ("a", "b", "c/v1", "c/v2")
    assert pools.own == (3, 4, 2, 1)
    changed = pools.at((1, 2, 3, 4))
    assert changed.services["a"].replicas == 1
    assert [each.replicas for each in changed.services["c"].deployments().values()] == [3, 4]
    assert changed.services["unused"].replicas == 9
    assert pools.at(pools.own) is pools.scenario


def test_events_on_a_replica_need_it() -> None:
    text = TEXT + "events: [{at: 5s, for: 1s, replica: b/2, down: true}]\n"
    pools = Pools(loads(text))
    assert pools.fewest == (1, 3, 1, 1)
    found, _, _ = search({"b": 100.0}, text=text)
    assert found.least[1] >= 3


@pytest.mark.parametrize("costs", [{"d": 1.0}, {"a": 0.0}, {"a": -1.0}, {"a": float("inf")}, {"unused": 2.0}])
def test_costs_that_make_no_sense_are_refused(costs) -> None:
    with pytest.raises(MeshsimError, match="--cost"):
        Pools(loads(TEXT), costs)


def test_all_cheaper_combinations_are_listed() -> None:
    found = set(cheaper((1, 1), (1.0, 2.0), 6.0))
    assert found == {(1, 1), (2, 1), (3, 1), (1, 2)}
    assert not set(cheaper((1, 1), (1.0, 2.0), 3.0))


def test_too_few_requests_are_no_fault_of_the_replicas() -> None:
    """Nothing was missed, so nothing is doubled: more replicas bring no more requests."""
    found, inquiry, _ = search(
        looks=lambda replicas, seeds: [Observation(seed, (Score(0.1, 1.0, 10, 10),)) for seed in seeds]
    )
    assert found.least is None
    (note,) = found.notes
    assert "inconclusive. These runs have too few requests to show a: p99 <= 200 ms: about 500" in note
    assert len(inquiry.findings) == 1


def test_replicas_that_are_inconclusive_are_not_said_to_be_enough() -> None:
    found, inquiry, _ = search(
        looks=lambda replicas, seeds: [
            Observation(seed, (Score(0.2, 0.99 + 0.001 * (-1) ** seed, 10_000, 10_000),)) for seed in seeds
        ]
    )
    assert found.least is None
    assert "64 times as many replicas" in found.notes[0]
    assert "are inconclusive. A longer duration" in found.notes[0]
    assert len(inquiry.findings) == 7
