"""Runs a scenario and holds what came of it: the verb behind ``meshsim run`` and ``meshsim.run``."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import meshsim
from meshsim.errors import MeshsimError
from meshsim.lab import engines, files, memory, sheets
from meshsim.lab.engines import Engine, Progress
from meshsim.lab.interrupt import Interrupt, interruptible
from meshsim.measure.measurements import Measurements
from meshsim.measure.records import Records
from meshsim.measure.requests import requests
from meshsim.measure.series import series
from meshsim.measure.spans import spans
from meshsim.measure.summary import summarise
from meshsim.measure.table import Table, frame
from meshsim.scenario import load, loads, written
from meshsim.scenario.advice import advise
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides

if TYPE_CHECKING:
    import pandas as pd

    from meshsim.engine.simulation import UserProcess
    from meshsim.plot import Picture
    from meshsim.scenario.machines import BalancerFactory, RetryRuleFactory

SEED_LIMIT = 1 << 63


# ---- a finished run ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What came of a scenario.

    Attributes:
        scenario: that ran, overrides and seed included.
        records: of each replication, rows or histograms.
        summary: the numbers, as `summary.json` has them.
    """

    scenario: Scenario
    records: list[Measurements] = field(repr=False)
    summary: dict[str, Any] = field(repr=False)

    @cached_property
    def request_columns(self) -> Table:
        """One row a completed client request (`meshsim.measure.requests.COLUMNS`), as numpy columns."""
        window = self.summary["warmup"], self.summary["warmup"] + self.summary["measured"]
        return requests(self._rows("requests"), self.scenario, start=window[0], end=window[1])

    @cached_property
    def series_columns(self) -> Table:
        """One row a bin of time of the client, each service and each edge, as numpy columns."""
        return series(self.records, self.scenario)

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

    def plot(self) -> Picture:
        """The picture: load, latency, amplification and the busiest services over time."""
        from meshsim.plot import run_figure  # noqa: PLC0415 - matplotlib is slow to import

        return run_figure(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes summary, requests, series, spans, picture and the scenario as it ran.

        A run that kept histograms has no requests and spans; files of an earlier run with such are removed.

        Returns:
            The files.

        Raises:
            MeshsimError: they can't be written; then none of them is.
        """
        path = files.prepare(folder)
        picture = self.plot().png()
        text = self.summary["provenance"]["scenario"].encode()
        tables = {"requests.parquet": self.request_columns} if self.has_rows else {}
        tables["series.parquet"] = self.series_columns
        if self.has_rows:
            tables["spans.parquet"] = self.span_columns
        written = files.write(
            path,
            {
                "summary.json": files.json_writer(self.summary),
                **{name: files.parquet_writer(table) for name, table in tables.items()},
                "run.png": lambda out: out.write(picture),
                "scenario.yaml": lambda out: out.write(text),
            },
        )
        if not self.has_rows:
            files.remove(path, ("requests.parquet", "spans.parquet"))
        return written

    def _repr_html_(self) -> str:
        unstable = [self.summary["unstable"]["reason"]] if self.summary["unstable"] else []
        return sheets.html(sheets.headline(self.summary), [*unstable, *self.summary["notes"]])


# ---- running ----------------------------------------------------------------------------------------


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
) -> Run:
    """Simulates a scenario.

    Ctrl-C ends it early: what was measured until then is returned (and saved), with
    ``summary["partial"]`` true. Of several replications the unfinished one is then left out. A second Ctrl-C
    gives up.

    Args:
        scenario: a file's path (``-`` for standard input), or a scenario that is already loaded.
        engine: ``auto``, ``fast``, ``simpy`` or ``reference``; None takes the scenario's.
        seed: of the first replication, the next has the next; None takes the scenario's.
        overrides: ``"policies.cart.retries.attempts=3"`` and such, or values by key.
        replications: independent runs of the same scenario; two or more give confidence intervals.
        keep: ``records`` or ``histograms``, instead of what the scenario says; histograms take memory that
            does not grow with the number of requests, and their percentiles are within 0.5 %.
        out: folder for the results, checked before the run; None keeps them in memory only.
        progress: is told how far it is.
        balancers: by service, a class or function that makes the user's own `Balancer`.
        retry_rules: by service, likewise, a `RetryRule`.
        processes: the user's own; each is called with the `Simulation` and returns a process's generator.
        interrupted: is called at the first Ctrl-C, to say that it was noticed.

    Raises:
        ScenarioError: the scenario can't be used.
        MeshsimError: another argument can't, or the results could not be written (without `out`
            nothing is lost: the returned run can be saved elsewhere).
    """
    chosen = _scenario(scenario, overrides if keep is None else _with(overrides, "keep", keep))
    name = chosen.engine if engine is None else engine
    simulate = engines.engine(name, balancers, retry_rules, processes)
    if chosen.keep != "records" and engines.is_reference(simulate):
        raise MeshsimError("the reference model keeps records only; leave keep out, or choose another engine")
    chosen = chosen.model_copy(
        update={"seed": first_seed(chosen.seed if seed is None else seed, replications)}
    )
    memory.check(chosen, replications)
    if out is not None:
        files.prepare(out)
    records, cut_short = _replicate(simulate, chosen, replications, progress, interrupted)
    notes = [*engines.complaint(name), *advise(chosen), *_notes(chosen, simulate)]
    if cut_short and replications > 1:
        notes.append(f"Interrupted after {len(records)} of {replications} replications.")
    summary = summarise(records, chosen, partial=cut_short, notes=notes)
    result = Run(chosen, records, {**summary, "provenance": _provenance(chosen)})
    if out is not None:
        result.save(out)
    return result


def _scenario(source: str | Path | Scenario, overrides: Overrides) -> Scenario:
    if not isinstance(source, Scenario):
        return load(source, overrides)
    return loads(written.text(source), overrides=overrides, folder=source.folder) if overrides else source


def _with(overrides: Overrides, key: str, value: str) -> Overrides:
    """The overrides and one more."""
    return {**overrides, key: value} if isinstance(overrides, Mapping) else [*overrides, f"{key}={value}"]


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


def _replicate(
    simulate: Engine,
    scenario: Scenario,
    replications: int,
    progress: Progress | None,
    interrupted: Callable[[], None] | None,
) -> tuple[list[Measurements], bool]:
    """The replications, and whether Ctrl-C kept some of their time from being simulated."""
    records: list[Measurements] = []
    with interruptible(interrupted) as stop:
        for number in range(replications):
            record = simulate(
                scenario, scenario.seed + number, progress=_watched(progress, stop, number, scenario)
            )
            stop.give_up_if_pressed_twice()
            if stop.pressed and not record.complete:
                record.interrupted = True
                return records or [record], True
            records.append(record)
            if stop.pressed:
                break
    return records, len(records) < replications


def _watched(progress: Progress | None, stop: Interrupt, number: int, scenario: Scenario) -> Progress:
    """What an engine reports to: passes on how far it is in all, and lets Ctrl-C take effect."""

    def report(now: float) -> None:
        if progress is not None:
            progress(number * scenario.duration + min(now, scenario.duration))
        if stop.pressed:
            raise KeyboardInterrupt

    return report


def _provenance(scenario: Scenario) -> dict[str, str]:
    """What a run was made with: enough to make it again."""
    return {
        "scenario": written.text(scenario),
        "meshsim": meshsim.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
