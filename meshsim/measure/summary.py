"""A run in numbers: the dict that `summary.json` holds.

Rates divide by the measured time; counts are totals and latencies pooled over the replications. A number
that does not exist (the latency of no requests, the utilisation of unlimited workers) is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim import version
from meshsim.measure import objectives, parts, stability
from meshsim.measure.grid import Window
from meshsim.measure.histograms import Histograms
from meshsim.measure.intervals import interval
from meshsim.measure.latency import QUANTILES
from meshsim.measure.measurements import Measurements
from meshsim.measure.parts import Summary, per
from meshsim.measure.sample import Sample, Stays, Tries
from meshsim.measure.window import interrupted, measured
from meshsim.mesh.histogram import RELATIVE_ERROR
from meshsim.scenario.model import Scenario
from meshsim.units import ratio_text

HEADLINE = (
    "requests.rate",
    "requests.goodput",
    "requests.success_ratio",
    "attempts.amplification",
    *(f"{latencies}.{key}" for latencies in ("latency", "ok_latency") for key in ("mean", *QUANTILES)),
)
"""What gets a confidence interval, by the path of its keys; and of each service these:"""
OF_SERVICE = ("utilisation", "queue_mean", "latency.mean")


def summarise(
    records: Sequence[Measurements], scenario: Scenario, *, partial: bool = False, notes: Sequence[str] = ()
) -> Summary:
    """The summary of one run, or of several replications of one scenario.

    Args:
        records: at least one; all of the same scenario, with seeds of their own.
        scenario: which it was.
        partial: whether there should have been more of it (it was interrupted); a run that was itself
            interrupted is partial in any case, and measured up to where it came.
        notes: sentences to begin the notes with.

    Returns:
        What DESIGN calls `summary.json`; only plain values, ready for `json`.
    """
    window = measured(records, scenario)
    partial = partial or any(interrupted(record, scenario) for record in records)
    samples = [record.sample(window) for record in records]
    sample = Sample.pooled(samples)
    summary = {
        "scenario": scenario.name,
        "engine": records[0].engine,
        "seed": records[0].seed,
        "version": version.VERSION,
        "duration": scenario.duration,
        "measured": window.length,
        "warmup": window.start,
        "replications": len(records),
        "partial": partial,
        "unstable": stability.judge(records, scenario, window),
        **_numbers(sample, scenario),
    }
    summary["objectives"] = objectives.evaluate(scenario.objectives, summary, sample.answered)
    summary["ci"] = _intervals(samples, scenario)
    summary["notes"] = [*notes, *_notes(summary, window, scenario)]
    if any(isinstance(record, Histograms) for record in records):
        summary["notes"].append(
            f"Percentiles are those of histograms, within {ratio_text(RELATIVE_ERROR)} of the exact ones;"
            " counts, means and maxima are exact."
        )
    return summary


# ---- the numbers ------------------------------------------------------------------------------------


def _numbers(sample: Sample, scenario: Scenario) -> Summary:
    """Everything that is counted or timed."""
    requests = sample.requests
    return {
        "requests": _requests(requests, sample.time),
        "latency": requests.latency.numbers(),
        "ok_latency": sample.ok_latency.numbers(),
        "attempts": _attempts(Tries.pooled(sample.tries)),
        "failures": parts.ranked(requests.words),
        "services": parts.services(sample, scenario),
        "edges": parts.edges(sample),
    }


def _requests(requests: Stays, time: float) -> Summary:
    completed = requests.ok + requests.failed
    return {
        "offered": requests.came,
        "completed": completed,
        "ok": requests.ok,
        "failed": requests.failed,
        "unfinished": requests.came - completed,
        "rate": per(requests.came, time),
        "goodput": per(requests.ok, time),
        "success_ratio": per(requests.ok, completed),
    }


def _attempts(tries: Tries) -> Summary:
    """Tries on all edges; amplification compares them with what there would be without retries and hedges."""
    return {
        "total": tries.total,
        "retries": tries.retries,
        "hedges": tries.hedges,
        "amplification": per(tries.total, tries.originals),
    }


# ---- intervals --------------------------------------------------------------------------------------


def _intervals(samples: Sequence[Sample], scenario: Scenario) -> Summary:
    """The interval of each metric that every replication has; none for a single replication."""
    if len(samples) < 2:
        return {}
    each = [_numbers(sample, scenario) for sample in samples]
    paths = [path.split(".") for path in HEADLINE]
    paths += [["services", name, *key.split(".")] for name in scenario.services for key in OF_SERVICE]
    found = {".".join(path): [_at(numbers, path) for numbers in each] for path in paths}
    return {
        path: interval([value for value in values if value is not None]).as_dict()
        for path, values in found.items()
        if None not in values
    }


def _at(summary: Summary, path: Sequence[str]) -> float | None:
    """The number at the end of a path of keys."""
    place: Any = summary
    for key in path:
        place = place[key]
    return None if place is None else float(place)


# ---- notes ------------------------------------------------------------------------------------------


def _notes(summary: Summary, window: Window, scenario: Scenario) -> list[str]:
    """What a reader must know to read the numbers right."""
    requests, completed = summary["requests"], summary["requests"]["completed"]
    notes = []
    if window.end < scenario.duration:
        notes.append(
            f"Interrupted: {window.length:g} s of {scenario.duration - window.start:g} s are measured;"
            " whether the work left would have been done, and so whether it is stable, is not known."
        )
    if requests["unfinished"]:
        notes.append(
            f"{requests['unfinished']} of {requests['offered']} requests had no answer when the run ended;"
            " latencies and success_ratio leave them out, so the truth is worse."
        )
    if not window.found:
        notes.append(
            "MSER-5 found no end of the warm-up within half the run: it may be too short, or have no steady"
            " state. Give warmup as a duration."
        )
    weak = [key for key, quantile in QUANTILES.items() if completed * (1.0 - quantile) < 10.0 - 1e-6]
    if weak and completed:
        notes.append(f"{', '.join(weak)}: fewer than 10 requests lie beyond; run longer or add replications.")
    return notes
