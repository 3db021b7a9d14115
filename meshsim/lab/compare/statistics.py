"""A comparison in numbers, and what a reader must know to read them right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from meshsim import version
from meshsim.lab.compare.pairs import Pair, PairedRun, limits, values, weak
from meshsim.lab.compare.replications import Job
from meshsim.lab.compare.verdict import verdict
from meshsim.measure.comparison import ComparisonNumbers, Jointly, ObjectiveRuns, Side, UnstableRuns
from meshsim.measure.differences import CONFIDENCE, Difference, difference
from meshsim.measure.intervals import interval
from meshsim.measure.precision import Until
from meshsim.measure.request_pairs import AllRequestPairs, RequestCounts, pairable
from meshsim.measure.summary import Summary
from meshsim.mesh.histogram import RELATIVE_ERROR
from meshsim.scenario.advice import advise
from meshsim.scenario.model import Scenario
from meshsim.units import ratio_text


def compared(
    job: Job,
    labels: tuple[str, str],
    pairs: Sequence[Pair],
    until: Until | None,
    *,
    partial: bool,
    notes: Sequence[str],
) -> ComparisonNumbers:
    """The numbers of a comparison of at least two pairs, labelled A and B; `notes` begin its notes."""
    if partial:
        notes = [*notes, f"Interrupted after {len(pairs)} pairs."]
    found, left_out = differences(pairs, job.metric)
    a = _side(job.a, labels[0], [pair.a for pair in pairs])
    b = _side(job.b, labels[1], [pair.b for pair in pairs])
    if until is not None:
        notes = [*notes, until.describe("A's mean")]
    numbers = ComparisonNumbers(
        version=version.VERSION,
        engine=a.engine if a.engine == b.engine else f"{a.engine} for A and {b.engine} for B",
        seeds=[pair.seed for pair in pairs],
        replications=len(pairs),
        partial=partial,
        confidence=CONFIDENCE,
        metric=job.metric,
        a=a,
        b=b,
        differences=found,
        jointly=Jointly(
            metrics=len(found),
            told=sum(each.told_jointly for each in found),
            confidence_each=1.0 - (1.0 - CONFIDENCE) / len(found),
        ),
        cost=costs(pairs),
        objectives=_objectives(job.b, pairs),
        requests=_requests(pairs),
        until=until,
        notes=[
            *notes,
            *_unstable(a, b, len(pairs)),
            *_notes(job.a, job.b),
            *(f"Left out, {reason}: {', '.join(names)}." for reason, names in left_out.items()),
            *_costly(found),
            *_advice(job.a, job.b),
        ],
        verdict="",
    )
    return replace(numbers, verdict=verdict(numbers))


def differences(pairs: Sequence[Pair], wanted: str) -> tuple[list[Difference], dict[str, list[str]]]:
    """Every metric's difference; and the metrics that are left out, by reason.

    Where nothing failed, latencies of successful requests equal those of all: reported twice, they would only
    weaken the joint statement, so they are left out, unless `wanted`.
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
        difference(path, [of(pair.a.numbers) for pair in pairs], [of(pair.b.numbers) for pair in pairs], 2)
        for path, of in (("attempts.rate", _attempt_rate), ("services.busy_mean", _busy_workers))
    ]


def _attempt_rate(run: Summary) -> float:
    return run.attempts.total / run.measured if run.measured else 0.0


def _busy_workers(run: Summary) -> float:
    return sum(service.busy_mean or 0.0 for service in run.services.values())


def _side(scenario: Scenario, label: str, runs: Sequence[PairedRun]) -> Side:
    first = runs[0].numbers
    assert first.provenance is not None
    unstable = [run.numbers.unstable for run in runs if run.numbers.unstable]
    return Side(
        scenario=scenario.name,
        engine=first.engine,
        measured=first.measured,
        unstable=UnstableRuns(len(unstable), unstable[0].reason) if unstable else False,
        provenance=first.provenance,
        label=label,
    )


# ---- objectives -------------------------------------------------------------------------------------


def _objectives(scenario: Scenario, pairs: Sequence[Pair]) -> list[ObjectiveRuns]:
    """In how many runs each side met each objective of B's; A has none on a service that only B has."""
    asked = limits(scenario)
    return [
        ObjectiveRuns(
            objective=path,
            limit=asked.get(path),
            met_a=sum(pair.a.met[path] for pair in pairs) if path in pairs[0].a.met else None,
            met_b=sum(pair.b.met[path] for pair in pairs),
        )
        for path in pairs[0].b.met
    ]


# ---- requests ---------------------------------------------------------------------------------------


def _requests(pairs: Sequence[Pair]) -> AllRequestPairs | None:
    """Request by request, over all pairs of runs; None where they can't be paired."""
    found = [pair.requests for pair in pairs if pair.requests is not None]
    if len(found) < len(pairs) or not any(each.count for each in found):
        return None
    means = [each.difference for each in found if each.difference is not None]
    return AllRequestPairs(
        **{place.name: sum(getattr(each, place.name) for each in found) for place in fields(RequestCounts)},
        difference=interval(means, CONFIDENCE) if len(means) == len(pairs) else None,
    )


# ---- notes ------------------------------------------------------------------------------------------


def _notes(a: Scenario, b: Scenario) -> list[str]:
    """What of the two scenarios can't be compared, or not exactly."""
    notes = pairable(a, b)[1]
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
    return notes


def _unstable(a: Side, b: Side, runs: int) -> list[str]:
    return [
        f"{name} is unstable in {side.unstable.replications} of {runs} runs: its averages depend on when it"
        f" was stopped, and so do the differences. The first: {side.unstable.reason}"
        for name, side in (("A", a), ("B", b))
        if side.unstable
    ]


def _costly(found: Sequence[Difference]) -> list[str]:
    """Where pairing made intervals wider."""
    costly = [(ratio, each) for each in found if (ratio := each.variance_ratio or 1.0) < 1.0]
    if not costly:
        return []
    _, worst = min(costly, key=lambda each: each[0])
    note = (
        f"Common random numbers widen the intervals of {len(costly)} of {len(found)} metrics: A and B are"
        f" negatively correlated in them (most: {worst.metric}, {worst.correlation:.2f})."
    )
    return [note]


def _advice(a: Scenario, b: Scenario) -> list[str]:
    found: dict[str, str] = {}
    for side, scenario in (("A", a), ("B", b)):
        for advice in advise(scenario):
            found[str(advice)] = "A and B" if str(advice) in found else side
    return [f"{side}: {advice}" for advice, side in found.items()]
