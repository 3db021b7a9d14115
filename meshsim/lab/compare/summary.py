"""A comparison in numbers: what `compare.json` holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from meshsim import version
from meshsim.lab.compare.pairs import Pair, Side, values, weak
from meshsim.lab.compare.replications import Job
from meshsim.measure.intervals import interval
from meshsim.measure.paired import CONFIDENCE, Difference, difference
from meshsim.measure.pairing import RequestPairs, pairable
from meshsim.measure.precision import Look
from meshsim.mesh.histogram import RELATIVE_ERROR
from meshsim.scenario.model import Objective, Scenario
from meshsim.units import ratio_text

Summary = dict[str, Any]


def summarise(
    job: Job, pairs: Sequence[Pair], *, look: Look | None, partial: bool, notes: Sequence[str]
) -> Summary:
    """The numbers of a comparison; only plain values, ready for `json`.

    Args:
        job: what ran.
        pairs: at least two.
        look: the last one at the job's goal.
        partial: whether Ctrl-C ended it early.
        notes: to begin the notes with.
    """
    found, left_out = differences(pairs, job.metric)
    summary: Summary = {
        "version": version.VERSION,
        "engine": _engines(pairs[0]),
        "seeds": [pair.seed for pair in pairs],
        "replications": len(pairs),
        "partial": partial,
        "confidence": CONFIDENCE,
        "metric": job.metric,
        "a": _side(job.a, [pair.a for pair in pairs]),
        "b": _side(job.b, [pair.b for pair in pairs]),
        "differences": [_plain(each) for each in found],
        "jointly": {
            "metrics": len(found),
            "told": sum(each.told_jointly for each in found),
            "confidence_each": 1.0 - (1.0 - CONFIDENCE) / len(found),
        },
        "cost": [_plain(each) for each in costs(pairs)],
        "objectives": _objectives(job.b, pairs),
        "requests": _requests(pairs),
    }
    if job.goal is not None and look is not None:
        summary["until"] = job.goal.reached(look).as_dict()
        notes = [*notes, job.goal.told(look, "A's mean")]
    summary["notes"] = [*notes, *_notes(job.a, job.b, summary, left_out)]
    return summary


def differences(pairs: Sequence[Pair], wanted: str) -> tuple[list[Difference], dict[str, list[str]]]:
    """Every metric's difference; and the metrics that are left out, by reason.

    Where nothing failed, the latencies of successful requests are those of all: told twice, they would
    only make the joint statement weaker, so they are not, unless one of them is `wanted`.
    """
    known: dict[str, tuple[list[float], list[float]]] = {}
    left_out: dict[str, list[str]] = {}
    for metric in pairs[0].a.values:
        both = values(metric, pairs)
        if both is None:
            if any(side.values.get(metric) is not None for pair in pairs for side in (pair.a, pair.b)):
                left_out.setdefault("not in every run", []).append(metric)
        elif metric != wanted and weak(metric, pairs):  # what is wanted was looked at before
            left_out.setdefault("fewer than 10 requests beyond it in a run", []).append(metric)
        elif metric == wanted or both != known.get(metric.removeprefix("ok_")):
            known[metric] = both
    return [difference(metric, *both, family=len(known)) for metric, both in known.items()], left_out


def costs(pairs: Sequence[Pair]) -> list[Difference]:
    """What the answers cost: attempts per second on all edges, and the busy workers of all services."""
    return [
        difference(path, [of(pair.a.summary) for pair in pairs], [of(pair.b.summary) for pair in pairs], 2)
        for path, of in (("attempts.rate", _attempt_rate), ("services.busy_mean", _busy_workers))
    ]


def _attempt_rate(summary: Summary) -> float:
    return float(summary["attempts"]["total"] / summary["measured"]) if summary["measured"] else 0.0


def _busy_workers(summary: Summary) -> float:
    return sum(service["busy_mean"] or 0.0 for service in summary["services"].values())


def _plain(found: Difference) -> Summary:
    """A difference as plain values."""
    return {
        "metric": found.metric,
        "a": found.a,
        "b": found.b,
        "difference": found.interval.mean,
        "low": found.interval.low,
        "high": found.interval.high,
        "half_width": found.interval.half_width,
        "told": found.told,
        "told_jointly": found.told_jointly,
        "identical": found.identical,
        "correlation": found.correlation,
        "variance_ratio": found.variance_ratio,
        "unpaired_replications": found.unpaired,
    }


def _engines(pair: Pair) -> str:
    """What made the runs: one engine, or each side's."""
    a, b = (side.summary["engine"] for side in (pair.a, pair.b))
    return str(a) if a == b else f"{a} for A and {b} for B"


def _side(scenario: Scenario, sides: Sequence[Side]) -> Summary:
    first = sides[0].summary
    unstable = [side.summary["unstable"] for side in sides if side.summary["unstable"]]
    return {
        "scenario": scenario.name,
        "engine": first["engine"],
        "measured": first["measured"],
        "unstable": {"replications": len(unstable), "reason": unstable[0]["reason"]} if unstable else False,
        "provenance": first["provenance"],
    }


# ---- objectives -------------------------------------------------------------------------------------


def _objectives(scenario: Scenario, pairs: Sequence[Pair]) -> list[Summary]:
    """In how many runs each side met each objective of B's; A has none on a service that only B has."""
    limits = {
        f"objectives.{objective.service}.{key}": limit
        for objective in scenario.objectives
        for key, limit in objective.model_dump(exclude={"service"}, exclude_none=True).items()
    }
    return [
        {
            "objective": path,
            "limit": limits.get(path),
            "met_a": sum(pair.a.met[path] for pair in pairs) if path in pairs[0].a.met else None,
            "met_b": sum(pair.b.met[path] for pair in pairs),
        }
        for path in pairs[0].b.met
    ]


def with_objectives(scenario: Scenario, other: Scenario) -> Scenario:
    """The scenario with the other's objectives where it has no limit of its own: both are asked the same."""
    own = {
        (objective.service, key) for objective in scenario.objectives for key in objective.model_fields_set
    }
    more = []
    for objective in other.objectives:
        for key in objective.model_fields_set - {"service"}:
            if objective.service in scenario.services and (objective.service, key) not in own:
                more.append(
                    Objective.model_construct(service=objective.service, **{key: getattr(objective, key)})
                )
    return scenario.model_copy(update={"objectives": (*scenario.objectives, *more)})


# ---- requests ---------------------------------------------------------------------------------------


def _requests(pairs: Sequence[Pair]) -> Summary | None:
    """Request by request, over all pairs of runs; None where they can't be paired."""
    found = [pair.requests for pair in pairs if pair.requests is not None]
    if len(found) < len(pairs) or not any(each.count for each in found):
        return None
    names = [field.name for field in fields(RequestPairs) if field.name != "difference"]
    means = [each.difference for each in found if each.difference is not None]
    return {
        "count": sum(each.count for each in found),
        **{name: sum(getattr(each, name) for each in found) for name in names},
        "difference": interval(means, CONFIDENCE).as_dict() if len(means) == len(pairs) else None,
    }


# ---- notes ------------------------------------------------------------------------------------------


def _notes(a: Scenario, b: Scenario, summary: Summary, left_out: dict[str, list[str]]) -> list[str]:
    notes = [*_unstable(summary), *pairable(a, b)[1]]
    if "histograms" in (a.keep, b.keep):
        notes.append("keep: histograms leaves no requests to pair one by one.")
        whose = " and ".join(name for name, side in (("A", a), ("B", b)) if side.keep == "histograms")
        notes.append(
            f"Percentiles of {whose} are those of histograms, within {ratio_text(RELATIVE_ERROR)} of the"
            " exact ones: a difference that small may be rounding, whatever its interval says."
        )
    for only, one, other in (("A", a, b), ("B", b, a)):
        names = [name for name in one.services if name not in other.services]
        if names:
            notes.append(f"In {only} only, so not compared: {', '.join(names)}.")
    if a.duration != b.duration or a.warmup != b.warmup:
        notes.append("A and B are not measured over the same time; rates and means are still comparable.")
    elif "auto" in (a.warmup, b.warmup):
        notes.append(
            "warmup: auto was found in each run by itself, so a pair may differ in what it measures."
        )
    notes += [f"Left out, {reason}: {', '.join(names)}." for reason, names in left_out.items()]
    costly = [each for each in summary["differences"] if (each["variance_ratio"] or 1.0) < 1.0]
    if costly:
        worst = min(costly, key=lambda each: each["variance_ratio"])
        notes.append(
            f"Pairing did not help {len(costly)} of {len(summary['differences'])} metrics: A and B are not"
            f" correlated in them, or the other way round ({worst['metric']}: {worst['correlation']:.2f})."
        )
    return notes


def _unstable(summary: Summary) -> list[str]:
    notes = []
    for name in ("a", "b"):
        unstable = summary[name]["unstable"]
        if unstable:
            notes.append(
                f"{name.upper()} is unstable in {unstable['replications']} of {summary['replications']} runs:"
                " its averages depend on when it was stopped, and so do the differences. The first:"
                f" {unstable['reason']}"
            )
    return notes
