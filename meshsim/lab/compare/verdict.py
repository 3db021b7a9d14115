"""A comparison in one sentence: which side is better in what, and what is not significant."""

from __future__ import annotations

from collections.abc import Mapping

from meshsim.lab.show.compare import LATENCY_OF_OK, change
from meshsim.lab.show.sheets import of_difference
from meshsim.measure.comparison import ComparisonNumbers
from meshsim.measure.differences import Difference

Found = Mapping[str, Difference]
JUDGED = {
    "requests.goodput": "goodput",
    "requests.success_ratio": "success",
    "latency.mean": "mean latency",
    "latency.p99": "p99 latency",
    "attempts.amplification": "amplification",
}
"""What decides, and its name; latencies are of successful requests where some fail."""
MORE_IS_BETTER = ("goodput", "success_ratio", "success")


def verdict(numbers: ComparisonNumbers) -> str:
    """Which side is better in what, in plain words.

    A difference counts where it is significant together with all others, or by itself if it is of the metric
    that the comparison is about.
    """
    found = numbers.by_metric
    better: list[str] = []
    worse: list[str] = []
    unsure: list[str] = []
    for path, name in _judged(numbers.metric, found).items():
        each = found.get(path)
        if each is None or each.identical:
            continue
        if each.told if path == numbers.metric else each.told_jointly:
            more = path.rpartition(".")[2] in MORE_IS_BETTER
            side = better if (each.difference > 0.0) == more else worse
            side.append(f"{name} ({change(each)} ± {of_difference(path)(each.half_width)})")
        else:
            unsure.append(name)
    said = [_sentence(numbers, better, worse, unsure), *_offered(found), *_objectives(numbers)]
    return " ".join(said)


def _judged(metric: str, found: Found) -> dict[str, str]:
    """What decides, by metric; the one that the comparison is about comes first if it has a better side."""
    judged = dict(JUDGED)
    if any(path.startswith("ok_") for path in found):
        judged = {
            f"ok_{path}" if path.startswith("latency.") else path: name + LATENCY_OF_OK * ("latency" in name)
            for path, name in judged.items()
        }
    if _offered(found):
        del judged["requests.goodput"]  # who is offered more answers more
    decides = "latency." in metric or metric.startswith("objectives.")
    return {metric: metric, **judged} if decides and metric not in {*judged, "latency.mean"} else judged


def _sentence(numbers: ComparisonNumbers, better: list[str], worse: list[str], unsure: list[str]) -> str:
    a, b = f"A ({numbers.a.label})", f"B ({numbers.b.label})"
    more = f"; not significant: {', '.join(unsure)}" if unsure else ""
    if better and worse:
        both = f"better than {a} in {', '.join(better)}, and worse in {', '.join(worse)}"
        return f"A trade-off: {b} is {both}{more}."
    if better or worse:
        word = "better" if better else "worse"
        return f"{b} is {word} than {a} in {', '.join(better or worse)}{more}."
    if unsure:
        return (
            f"Inconclusive: {b} is not significantly better or worse than {a} in {', '.join(unsure)};"
            " more --replications narrow the intervals."
        )
    return f"No difference: {b} and {a} do equally well in each pair of runs."


def _offered(found: Found) -> list[str]:
    rate = found.get("requests.rate")
    if rate is None or rate.identical:
        return []
    return [f"B is offered {change(rate)}, so goodput is not judged."]


def _objectives(numbers: ComparisonNumbers) -> list[str]:
    """How many objectives each side meets in every run."""
    asked, runs = numbers.objectives, numbers.replications
    if not asked:
        return []
    known = [each.met_a == runs for each in asked if each.met_a is not None]  # A may lack the service
    met_b = sum(each.met_b == runs for each in asked)
    return [f"Objectives met in every run: A {sum(known)} of {len(known)}, B {met_b} of {len(asked)}."]
