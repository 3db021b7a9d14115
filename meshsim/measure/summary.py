"""A run in numbers: what `summary.json` holds.

Rates divide by the measured time; counts are totals and latencies pooled over the replications. A number
that does not exist (the latency of no requests, the utilisation of unlimited workers) is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from meshsim import version
from meshsim.measure import objectives, parts, stability
from meshsim.measure.disturbance import LiveConditions
from meshsim.measure.grid import Window
from meshsim.measure.histograms import Histograms
from meshsim.measure.intervals import Interval, interval
from meshsim.measure.latency import QUANTILES, LatencySummary, enough
from meshsim.measure.measurements import Measurements
from meshsim.measure.objectives import ObjectiveResult
from meshsim.measure.parts import CertificateSummary, EdgeSummary, ServiceSummary, per
from meshsim.measure.precision import Until
from meshsim.measure.pushes import PushesSummary, pushes
from meshsim.measure.result import LEFT_OUT, Result, at
from meshsim.measure.rollouts import unfinished, unheard
from meshsim.measure.sample import Outcomes, Sample, Tries
from meshsim.measure.stability import Instability
from meshsim.measure.traces import TraceExport
from meshsim.measure.window import interrupted, measured
from meshsim.mesh.histogram import RELATIVE_ERROR
from meshsim.scenario.model import Scenario
from meshsim.units import ratio_text

HEADLINE = (
    *("requests.rate", "requests.goodput", "requests.success_ratio", "attempts.amplification"),
    *(f"{latencies}.{key}" for latencies in ("latency", "ok_latency") for key in ("mean", *QUANTILES)),
)
"""What gets a confidence interval, by the path of its keys; and of each service these:"""
OF_SERVICE = ("utilisation", "queue_mean", "latency.mean")


@dataclass(frozen=True)
class RequestSummary(Result):
    """The client's requests: `offered` = `completed` + `unfinished`; `completed` = `ok` + `failed`."""

    offered: int
    completed: int
    ok: int
    failed: int
    unfinished: int
    rate: float | None
    goodput: float | None
    success_ratio: float | None


@dataclass(frozen=True)
class AttemptSummary(Result):
    """Tries on all edges; amplification compares them with what there would be without retries and hedges."""

    total: int
    retries: int
    hedges: int
    amplification: float | None


@dataclass(frozen=True)
class Provenance(Result):
    """What a run was made with, enough to make it again: the YAML text, versions, the machine's platform."""

    scenario: str
    meshsim: str
    python: str
    platform: str


@dataclass(frozen=True)
class Numbers(Result):
    """Everything that is counted or timed."""

    requests: RequestSummary
    latency: LatencySummary
    ok_latency: LatencySummary
    attempts: AttemptSummary
    failures: dict[str, int]
    services: dict[str, ServiceSummary]
    edges: dict[str, EdgeSummary]


@dataclass(frozen=True)
class _About(Result):  # fields that precede the numbers
    scenario: str
    engine: str
    seed: int
    version: str
    duration: float
    measured: float
    warmup: float
    replications: int
    partial: bool
    unstable: Instability | Literal[False]


@dataclass(frozen=True)
class Summary(Numbers, _About):
    """One run, or several replications of one scenario.

    Attributes:
        seed: of the first replication.
        duration: of the arrivals, s.
        measured, warmup: time of one replication, and before it, s.
        ci: intervals of `HEADLINE` and `OF_SERVICE`, by path; none of a single replication.
        traces: what became of the spans that were sent to a tracing back end.
        notes: what a reader must know to read the numbers right.
    """

    objectives: list[ObjectiveResult]
    ci: dict[str, Interval]
    notes: list[str]
    certificates: CertificateSummary | None = field(default=None, metadata=LEFT_OUT)
    pushes: PushesSummary | None = field(default=None, metadata=LEFT_OUT)
    until: Until | None = field(default=None, metadata=LEFT_OUT)
    live: LiveConditions | None = field(default=None, metadata=LEFT_OUT)
    traces: TraceExport | None = field(default=None, metadata=LEFT_OUT)
    provenance: Provenance | None = field(default=None, metadata=LEFT_OUT)


def summarise(
    records: Sequence[Measurements], scenario: Scenario, *, partial: bool = False, notes: Sequence[str] = ()
) -> Summary:
    """The summary of one run, or of several replications (with seeds of their own) of one scenario.

    It is `partial` if there should have been more replications; a run that was itself interrupted is partial
    in any case, and measured up to where it came. `notes` come first among the notes.
    """
    window = measured(records, scenario)
    partial = partial or any(interrupted(record, scenario) for record in records)
    samples = [record.sample(window) for record in records]
    sample = Sample.pooled(samples)
    numbers = _numbers(sample, scenario)
    pushed = pushes(records[0].pushes, records[0].end)
    late = unheard(pushed, numbers.edges, scenario, notes)
    return Summary(
        scenario=scenario.name,
        engine=records[0].engine,
        seed=records[0].seed,
        version=version.VERSION,
        duration=scenario.duration,
        measured=window.length,
        warmup=window.start,
        replications=len(records),
        partial=partial,
        unstable=stability.judge(records, scenario, window),
        **vars(numbers),
        objectives=objectives.evaluate(
            scenario.objectives, numbers.services, numbers.edges, sample.answered, partial=partial
        ),
        ci=_intervals(samples, scenario),
        notes=[*notes, *late, *_notes(numbers.requests, records, window, scenario)],
        certificates=None if sample.certificates is None else CertificateSummary(**sample.certificates),
        pushes=pushed,
    )


def _numbers(sample: Sample, scenario: Scenario) -> Numbers:
    requests, tries = sample.requests, Tries.pooled(sample.tries)
    amplification = per(tries.total, tries.originals)
    return Numbers(
        requests=_requests(requests, sample.time),
        latency=LatencySummary.of(requests.latency),
        ok_latency=LatencySummary.of(sample.ok_latency),
        attempts=AttemptSummary(tries.total, tries.retries, tries.hedges, amplification),
        failures=parts.ranked(requests.reasons),
        services=parts.services(sample, scenario),
        edges=parts.edges(sample),
    )


def _requests(requests: Outcomes, time: float) -> RequestSummary:
    completed = requests.ok + requests.failed
    return RequestSummary(
        offered=requests.arrived,
        completed=completed,
        ok=requests.ok,
        failed=requests.failed,
        unfinished=requests.arrived - completed,
        rate=per(requests.arrived, time),
        goodput=per(requests.ok, time),
        success_ratio=per(requests.ok, completed),
    )


def metrics_of(scenario: Scenario) -> list[str]:
    """Every metric that replications of a scenario have an interval of."""
    return [*HEADLINE, *(f"services.{name}.{key}" for name in scenario.services for key in OF_SERVICE)]


def _intervals(samples: Sequence[Sample], scenario: Scenario) -> dict[str, Interval]:
    """The interval of each metric that every replication has; none for a single replication."""
    if len(samples) < 2:
        return {}
    each = [_numbers(sample, scenario) for sample in samples]
    found = {path: [at(numbers, path) for numbers in each] for path in metrics_of(scenario)}
    return {path: interval(values) for path, values in found.items() if None not in values}


def _notes(
    requests: RequestSummary, records: Sequence[Measurements], window: Window, scenario: Scenario
) -> list[str]:
    notes = []
    if window.end < scenario.duration:
        notes.append(
            f"Interrupted: {window.length:g} s of {scenario.duration - window.start:g} s are measured;"
            " whether the work left would have been done, and so whether it is stable, is not known."
        )
    notes += unfinished(records[0], scenario)
    if requests.unfinished:
        notes.append(
            f"{requests.unfinished} of {requests.offered} requests had no answer when the run ended;"
            " latencies and success_ratio leave them out, so the truth is worse."
        )
    if not window.found:
        notes.append(
            "MSER-5 found no end of the warm-up within half the run: it may be too short, or have no steady"
            " state. Give warmup as a duration."
        )
    weak = [key for key, quantile in QUANTILES.items() if not enough(requests.completed, quantile)]
    if weak and requests.completed:
        notes.append(f"{', '.join(weak)}: fewer than 10 requests lie beyond; run longer or add replications.")
    if any(isinstance(record, Histograms) for record in records):
        notes.append(
            f"Percentiles are those of histograms, within {ratio_text(RELATIVE_ERROR)} of the exact ones;"
            " counts, means and maxima are exact."
        )
    return notes
