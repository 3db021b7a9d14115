"""A comparison in one sentence: which side is better in what, and what is not significant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshsim.lab.show.compare import LATENCY_OF_OK, of_difference, signed

Summary = Mapping[str, Any]
JUDGED = {
    "requests.goodput": "goodput",
    "requests.success_ratio": "success",
    "latency.mean": "mean latency",
    "latency.p99": "p99 latency",
    "attempts.amplification": "amplification",
}
"""What decides, and its name; latencies are of successful requests where some fail."""
MORE_IS_BETTER = ("goodput", "success_ratio", "success")


def verdict(summary: Summary) -> str:
    """Which side is better in what, in plain words.

    A difference counts where it is significant together with all others, or by itself if it is of the metric
    that the comparison is about.

    Args:
        summary: of a comparison, labels included.
    """
    found = {each["metric"]: each for each in summary["differences"]}
    judged = {path: name for path, name in _judged(summary, found).items() if path in found}
    better: list[str] = []
    worse: list[str] = []
    unsure: list[str] = []
    for path, name in judged.items():
        each = found[path]
        if each["told"] if path == summary["metric"] else each["told_jointly"]:
            more = path.rpartition(".")[2] in MORE_IS_BETTER
            side = better if (each["difference"] > 0.0) == more else worse
            side.append(f"{name} ({_change(each)} ± {of_difference(path)(each['half_width'])})")
        elif not each["identical"]:
            unsure.append(name)
    said = [_sentence(summary, better, worse, unsure), *_offered(found), *_objectives(summary)]
    return " ".join(said)


def _judged(summary: Summary, found: Mapping[str, Any]) -> dict[str, str]:
    """What decides, by metric; the one that the comparison is about comes first if it has a better side."""
    judged = dict(JUDGED)
    if any(path.startswith("ok_") for path in found):
        judged = {
            f"ok_{path}" if path.startswith("latency.") else path: name + LATENCY_OF_OK * ("latency" in name)
            for path, name in judged.items()
        }
    if not found.get("requests.rate", {"identical": True})["identical"]:
        del judged["requests.goodput"]  # who is offered more answers more
    metric = summary["metric"]
    decides = "latency." in metric or metric.startswith("objectives.")
    return {metric: metric, **judged} if decides and metric not in {*judged, "latency.mean"} else judged


def _sentence(summary: Summary, better: list[str], worse: list[str], unsure: list[str]) -> str:
    a, b = (f"{side.upper()} ({summary[side]['label']})" for side in ("a", "b"))
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


def _offered(found: Mapping[str, Any]) -> list[str]:
    rate = found.get("requests.rate")
    if rate is None or rate["identical"]:
        return []
    return [f"B is offered {_change(rate)}, so goodput is not judged."]


def _change(found: Mapping[str, Any]) -> str:
    return signed(of_difference(found["metric"])(found["difference"]), found["difference"])


def _objectives(summary: Summary) -> list[str]:
    """How many objectives each side meets in every run."""
    asked, runs = summary["objectives"], summary["replications"]
    if not asked:
        return []
    known = [each for each in asked if each["met_a"] is not None]  # A may lack the service
    met_a, met_b = (
        sum(each[f"met_{side}"] == runs for each in which) for side, which in (("a", known), ("b", asked))
    )
    return [f"Objectives met in every run: A {met_a} of {len(known)}, B {met_b} of {len(asked)}."]
