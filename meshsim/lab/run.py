"""Runs a scenario and holds what came of it: the verb behind ``meshsim run`` and ``meshsim.run``."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from meshsim import version
from meshsim.errors import MeshsimError
from meshsim.lab import approach, engines, files
from meshsim.lab.engines import Engine, Progress
from meshsim.lab.jobs import memory
from meshsim.lab.jobs.interrupt import Interrupt, interruptible
from meshsim.lab.output import RunOutputOptions, output
from meshsim.lab.show import frames, sheets
from meshsim.lab.traces import ended_now, send_table, sender_to, with_traces
from meshsim.measure.measurements import Measurements
from meshsim.measure.precision import Goal, Looked, Until
from meshsim.measure.records import Records
from meshsim.measure.requests import COLUMNS as REQUEST_COLUMNS
from meshsim.measure.requests import requests
from meshsim.measure.series import series
from meshsim.measure.spans import COLUMNS as SPAN_COLUMNS
from meshsim.measure.spans import spans
from meshsim.measure.summary import Provenance, Summary, summarise
from meshsim.measure.table import Table, frame
from meshsim.measure.telemetry import metrics_document, metrics_page
from meshsim.plain import converted
from meshsim.scenario import config, load
from meshsim.scenario.advice import advise
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides, with_override

if TYPE_CHECKING:
    import pandas as pd

    from meshsim.engine.simulation import UserProcess
    from meshsim.interop.otlp.sender import Sender
    from meshsim.plot import Picture
    from meshsim.scenario.machines import BalancerFactory, RetryRuleFactory

SEED_LIMIT = 1 << 63
METRICS_MARK = b"# TYPE pilot_xds_pushes unknown"
"""What the file of metrics over time holds."""
DRAWN_REQUESTS = 125
"""In a bin of the picture, on average: nearly all then have the 100 that a 99th percentile takes."""


@dataclass(frozen=True, repr=False)
class Run:
    """The result of a scenario (overrides and seed included): `records` by replication, `numbers` of all."""

    scenario: Scenario
    records: list[Measurements]
    numbers: Summary

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers as `summary.json` has them."""
        return self.numbers.as_dict()

    @cached_property
    def request_columns(self) -> Table:
        """One row a completed client request (`meshsim.measure.requests.COLUMNS`), as numpy columns."""
        start = self.numbers.warmup
        return requests(self._rows("requests"), self.scenario, start=start, end=start + self.numbers.measured)

    @cached_property
    def series_columns(self) -> Table:
        """One row a bin of time of the client, each service and each edge, as numpy columns."""
        return series(self.records, self.scenario)

    @cached_property
    def drawn_columns(self) -> Table:
        """The same in bins so wide, where there are enough, that their percentiles can be drawn."""
        return series(self.records, self.scenario, requests=DRAWN_REQUESTS)

    @cached_property
    def span_columns(self) -> Table:
        """One row a sampled span (`meshsim.measure.spans.COLUMNS`), as numpy columns."""
        return spans(self._rows("spans"))

    @property
    def has_rows(self) -> bool:
        """Whether it kept rows; otherwise `requests` and `spans` raise a MeshsimError that says so."""
        return all(isinstance(record, Records) for record in self.records)

    def _rows(self, what: str) -> list[Records]:
        rows = [record for record in self.records if isinstance(record, Records)]
        if len(rows) < len(self.records):
            raise MeshsimError(
                f"this run kept histograms and no {what}; to have them, run it with keep: records"
                ' (--keep records, or keep="records")'
            )
        return rows

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a completed client request (`meshsim.measure.requests.COLUMNS`)."""
        return frame(self.request_columns)

    @cached_property
    def series(self) -> pd.DataFrame:
        """One row a bin of time of the client, each service, each edge (`meshsim.measure.series.COLUMNS`)."""
        return frame(self.series_columns)

    @cached_property
    def spans(self) -> pd.DataFrame:
        """One row a sampled span (`meshsim.measure.spans.COLUMNS`)."""
        return frame(self.span_columns)

    @cached_property
    def services(self) -> pd.DataFrame:
        """One row a service, by its name: the numbers of ``summary["services"]``, by column."""
        return frames.services(self.numbers)

    @cached_property
    def versions(self) -> pd.DataFrame:
        """The same, one row a version, by service and version."""
        return frames.versions(self.numbers)

    @cached_property
    def replicas(self) -> pd.DataFrame:
        """The same, one row a replica, by its id."""
        return frames.replicas(self.numbers)

    @cached_property
    def edges(self) -> pd.DataFrame:
        """One row an edge, by ``"caller -> service"``: the numbers of ``summary["edges"]``."""
        return frames.edges(self.numbers)

    def plot(self) -> Picture:
        """The picture: load, latency, amplification and the busiest services over time."""
        from meshsim.plot import run_figure  # noqa: PLC0415 - matplotlib is slow to import

        return run_figure(self.scenario, self.numbers, self.drawn_columns)

    def save(self, folder: str | Path, **options: Unpack[RunOutputOptions]) -> list[Path]:
        """Saves summary, requests, series, spans, picture, the scenario as it ran and its files: all or none.

        Also ``metrics.prom``, its proxies' metrics at the end, and with `metrics_every` ``metrics.om``, which
        has them over time; of several replications, the first one's.
        A run that kept histograms has no requests and spans; files of an earlier run with such are removed.
        The options are those of `meshsim.lab.output.RunOutputOptions`. MeshsimError: files can't be saved.
        """
        form = output(options, of_run=True)
        form.check_samples(self.scenario)
        path = files.prepare(folder, scenarios=files.RUN)
        return files.write(
            path,
            {
                "summary.json": files.json_text(self.summary),
                **form.tables(
                    requests=self.request_columns if self.has_rows else tuple(REQUEST_COLUMNS),
                    series=self.series_columns,
                    spans=self.span_columns if self.has_rows else tuple(SPAN_COLUMNS),
                ),
                **form.pictures(run=self.plot()),
                "metrics.prom": metrics_page(self.records[0], self.scenario),
                "metrics.om": self._metrics(form.metrics_every),
                "scenario.yaml": config.text(self.scenario),
                **config.files(self.scenario),
            },
        )

    def _metrics(self, every: float | None) -> files.Writer | files.Stale:
        """The file of metrics over time; a simulation is dated as if it ended now, or where its spans are."""
        if every is None:
            return files.Stale(METRICS_MARK)
        record = self._rows("metrics over time")[0]
        known = self.numbers.traces or self.numbers.live
        began = time.time() - record.end if known is None else known.began
        return lambda out: out.writelines(metrics_document(record, self.scenario, every, began))

    def __repr__(self) -> str:
        return sheets.run_line(type(self).__name__, self.numbers)

    def _repr_html_(self) -> str:
        unstable = [self.numbers.unstable.reason] if self.numbers.unstable else []
        return sheets.html(sheets.headline(self.numbers), [*unstable, *self.numbers.notes])


@converted
def run(
    scenario: str | Path | Scenario,
    *,
    engine: str | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    replications: int = 1,
    keep: str | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    balancers: Mapping[str, BalancerFactory] | None = None,
    retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    processes: Sequence[UserProcess] = (),
    interrupted: Callable[[], None] | None = None,
    until: str | float | None = None,
    metric: str | None = None,
    at_most: int | None = None,
    looked: Looked | None = None,
    otlp: str | None = None,
    **options: Unpack[RunOutputOptions],
) -> Run:
    """Simulates a scenario.

    Ctrl-C ends it early: what was measured until then is returned (and saved), with ``summary["partial"]``
    true. Of several replications the unfinished one is then left out. A second Ctrl-C aborts.

    Args:
        scenario: a file's path (``-`` for standard input), or a scenario that is already loaded.
        engine: ``auto``, ``fast``, ``simpy`` or ``reference``; None takes the scenario's.
        seed: of the first replication, the next has the next; None takes the scenario's.
        overrides: ``"policies.cart.retries.attempts=3"`` and such, or values by key.
        replications: independent runs of the same scenario; two or more give confidence intervals.
        keep: ``records`` or ``histograms``, which take less memory, instead of what the scenario says.
        out: folder for the results, checked before the run; None keeps them in memory only.
        progress: called with the time simulated so far in all replications, s.
        balancers: by service, a class or function that makes the user's own `Balancer`.
        retry_rules: by service, likewise, a `RetryRule`.
        processes: the user's own; each is called with the `Simulation` and returns a process's generator.
        interrupted: is called at the first Ctrl-C, to say that it was noticed.
        until: ``"1%"`` or 0.01: adds replications, from 10 on, until the interval is so narrow for its mean.
        metric: whose interval `until` looks at; None is ``latency.mean``.
        at_most: replications with `until`, however wide the interval still is; None is 200.
        looked: called whenever `until` has looked.
        otlp: URL of an OTLP receiver, which is sent the spans when the run is over.
        options: with `out`: `formats` and `dpi` of the picture, `csv`, `metrics_every`: metrics over time.

    Raises:
        ScenarioError: the scenario can't be used.
        MeshsimError: another argument can't, or the results can't be written.
    """
    form = output(options, saved=out is not None, of_run=True)
    chosen = load(scenario, overrides if keep is None else with_override(overrides, "keep", keep))
    name = chosen.engine if engine is None else engine
    simulate = engines.engine(name, balancers, retry_rules, processes)
    goal = approach.goal(chosen, until, metric, replications, at_most)
    chosen = _ready(chosen, simulate, seed, replications, goal)
    form.check_samples(chosen)
    sender = _prepare(chosen, out, otlp)
    result = _run(name, simulate, chosen, goal, replications, progress, interrupted, looked)
    return _hand_over(result, sender, out, options)


def _prepare(scenario: Scenario, out: str | Path | None, otlp: str | None) -> Sender | None:
    """Proves before a run that its results can be saved, and its spans be sent: by whom."""
    sender = None if otlp is None else sender_to(otlp)
    if sender is not None and scenario.keep != "records":
        raise MeshsimError("--otlp sends spans, and a run that keeps histograms has none; add --keep records")
    if out is not None:
        files.prepare(out, scenarios=files.RUN)
    return sender


def _hand_over(result: Run, sender: Sender | None, out: str | Path | None, options: RunOutputOptions) -> Run:
    """Sends and saves what there is to be; the result, which then knows of it."""
    if sender is not None:
        spans = result.span_columns
        sent = send_table(sender, spans, result.scenario, result.numbers.engine, ended_now(spans))
        result = replace(result, numbers=with_traces(result.numbers, sent))
    if out is not None:
        result.save(out, **options)
    return result


def _ready(
    scenario: Scenario, simulate: Engine, seed: int | None, replications: int, goal: Goal | None
) -> Scenario:
    """The scenario with its seed, if engine, seed and memory bear so many replications of it."""
    if scenario.keep != "records" and engines.is_reference(simulate):
        raise MeshsimError("the reference model keeps records only; leave keep out, or choose another engine")
    most, least = (replications, replications) if goal is None else (goal.at_most, goal.least)
    seeded = scenario.model_copy(update={"seed": first_seed(scenario.seed if seed is None else seed, most)})
    memory.check(seeded, least)
    return seeded


def _run(
    name: str,
    simulate: Engine,
    scenario: Scenario,
    goal: Goal | None,
    replications: int,
    progress: Progress | None,
    interrupted: Callable[[], None] | None,
    looked: Looked | None,
) -> Run:
    """The replications of a scenario whose seed is settled by the engine of a name, summed up."""
    until: Until | None = None
    with interruptible(interrupted) as stop:
        made = _Replications(simulate, scenario, progress, stop)
        if goal is None:
            cut_short = made.to(replications)
        else:
            until, cut_short = approach.grow(goal, scenario, made.records, made.to, looked)
    notes = [*engines.complaint(name), *advise(scenario), *_notes(scenario, simulate)]
    if cut_short and (goal is not None or replications > 1):
        of = f" of {replications}" if goal is None else ""
        notes.append(f"Interrupted after {len(made.records)}{of} replications.")
    if until is not None:
        notes.append(until.describe())
    numbers = summarise(made.records, scenario, partial=cut_short, notes=notes)
    numbers = replace(numbers, until=until, provenance=provenance(scenario))
    return Run(scenario, made.records, numbers)


def _notes(scenario: Scenario, simulate: Engine) -> list[str]:
    """What a run can't give though the scenario seems to ask for it."""
    if scenario.keep == "histograms" and "tracing" in scenario.model_fields_set:
        return ["tracing has no effect: a run that keeps histograms leaves no spans."]
    if scenario.tracing.sampling > 0.0 and engines.is_reference(simulate):
        return ["The reference model leaves no spans."]
    return []


def first_seed(seed: int, replications: int) -> int:
    """The seed, checked together with the number of replications that count on from it."""
    if replications < 1:
        raise MeshsimError(f"{replications} replications make no run; ask for at least 1")
    if not 0 <= seed <= SEED_LIMIT - replications:
        raise MeshsimError(f"seed {seed} is out of range; choose one from 0 to {SEED_LIMIT - replications}")
    return seed


@dataclass(slots=True)
class _Replications:
    """Makes replications of a scenario; `records` are those that have finished."""

    simulate: Engine
    scenario: Scenario
    progress: Progress | None
    stop: Interrupt
    records: list[Measurements] = field(default_factory=list)

    def to(self, count: int) -> bool:
        """Makes replications until there are so many; says whether Ctrl-C kept some of their time from it.

        One that was cut short is left out, unless it is all there is.
        """
        records, seed = self.records, self.scenario.seed
        while len(records) < count and not (self.stop.pressed and records):  # something there must be
            record = self.simulate(self.scenario, seed + len(records), progress=self.report)
            self.stop.give_up_if_pressed_twice()
            if self.stop.pressed and not record.complete:
                record.interrupted = True
                if not records:
                    records.append(record)
                return True
            records.append(record)
        return len(records) < count

    def report(self, now: float) -> None:
        """Passes on how far the engine is in all, s, and lets Ctrl-C take effect."""
        if self.progress is not None:
            duration = self.scenario.duration
            self.progress(len(self.records) * duration + min(now, duration))
        self.stop.check()


def provenance(scenario: Scenario) -> Provenance:
    """What a run is made with here and now."""
    text = config.text(scenario)
    return Provenance(text, version.VERSION, platform.python_version(), platform.platform())
