"""The sentence that a comparison begins with."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.lab.compare.verdict import verdict
from meshsim.measure.comparison import ComparisonNumbers, Jointly, ObjectiveRuns, Side
from meshsim.measure.differences import Difference


def each(metric: str, difference: float, *, told: bool = True, jointly: bool | None = None) -> Difference:
    same, half = difference == 0.0, 0.0 if difference == 0.0 else 0.001
    return Difference(
        metric=metric, a=1.0, b=1.0 + difference, difference=difference, low=difference - half,
        high=difference + half, half_width=half, told=told and not same,
        told_jointly=(told if jointly is None else jointly) and not same, identical=same, correlation=None,
        variance_ratio=None, unpaired_replications=None,
    )  # fmt: skip


def said(
    *differences: Difference, metric: str = "latency.mean", objectives: Sequence[ObjectiveRuns] = ()
) -> str:
    a, b = (Side("shop", "fast", 10.0, False, {}, label) for label in ("old", "new"))
    numbers = ComparisonNumbers(
        version="1", engine="fast", seeds=range(10), replications=10, partial=False, confidence=0.95,
        metric=metric, a=a, b=b, differences=differences, jointly=Jointly(len(differences), 0, 0.95), cost=(),
        objectives=objectives, requests=None, until=None, notes=(), verdict="",
    )  # fmt: skip
    return verdict(numbers)


def test_better_and_worse() -> None:
    faster, dearer = each("latency.p99", -0.02), each("attempts.amplification", 0.5)
    assert said(faster) == "B (new) is better than A (old) in p99 latency (-20 ms ± 1 ms)."
    assert said(dearer) == "B (new) is worse than A (old) in amplification (+0.5 ± 0.001)."
    assert said(faster, dearer) == (
        "A trade-off: B (new) is better than A (old) in p99 latency (-20 ms ± 1 ms), and worse in"
        " amplification (+0.5 ± 0.001)."
    )


def test_more_goodput_and_success_are_better() -> None:
    assert "is better than A (old) in goodput (+3/s ± 0.001/s), success (+1 pp ± 0.1 pp)" in said(
        each("requests.goodput", 3.0), each("requests.success_ratio", 0.01)
    )
    assert "is worse than A (old) in goodput (-3/s" in said(each("requests.goodput", -3.0))


def test_what_is_not_significant_is_no_verdict() -> None:
    unsure = each("latency.mean", 0.1, told=False)
    assert said(unsure).startswith("Inconclusive: B (new) is not significantly better or worse than A (old)")
    assert said(unsure, each("latency.p99", -0.02)).endswith("; not significant: mean latency.")
    assert said(each("latency.mean", 0.0)).startswith("No difference: ")


def test_only_the_metric_that_was_asked_about_counts_by_itself() -> None:
    """One of many differences is significant by bad luck: the others count together."""
    alone = each("latency.p99", -0.02, jointly=False)
    assert said(alone).startswith("Inconclusive")
    assert said(alone, metric="latency.p99").startswith("B (new) is better")
    other = each("services.db.latency.mean", -0.02, jointly=False)
    assert "in services.db.latency.mean (-20 ms" in said(other, metric="services.db.latency.mean")


def test_where_requests_fail_latencies_are_those_of_successful_ones() -> None:
    """Fast failures are no gain."""
    found = said(
        each("latency.mean", -0.1), each("ok_latency.mean", 0.02), each("requests.success_ratio", -0.1)
    )
    assert (
        "worse than A (old) in success (-10 pp ± 0.1 pp), mean latency of successful requests (+20 ms"
        in found
    )
    assert "better" not in found


def test_another_load_is_told() -> None:
    found = said(each("requests.rate", 10.0), each("requests.goodput", 10.0), each("latency.mean", 0.1))
    assert found.startswith("B (new) is worse")
    assert found.endswith("B is offered +10/s, so goodput is not judged.")


def test_objectives_are_counted() -> None:
    asked = [ObjectiveRuns("a", 1.0, met_a=10, met_b=9), ObjectiveRuns("b", 1.0, met_a=None, met_b=10)]
    assert said(each("latency.mean", 0.1), objectives=asked).endswith(
        "Objectives met in every run: A 1 of 1, B 1 of 2."
    )
