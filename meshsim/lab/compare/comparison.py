"""A finished comparison: its numbers, its tables, its picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from meshsim.lab import files
from meshsim.lab.compare.pairs import TAIL_EDGES, Pair, PairedRun
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.show import compare as sheets
from meshsim.lab.show import sheets as text
from meshsim.measure.comparison import ComparisonNumbers
from meshsim.measure.grid import Floats
from meshsim.measure.table import Table, frame
from meshsim.scenario import config
from meshsim.scenario.model import Scenario

if TYPE_CHECKING:
    import pandas as pd

    from meshsim.plot import Picture

NUMBERS = (
    "a", "b", "difference", "low", "high", "half_width", "correlation", "variance_ratio",
    "unpaired_replications",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Comparison:
    """What differs between two scenarios `a` and `b`, each with overrides and the objectives of both."""

    a: Scenario
    b: Scenario
    pairs: list[Pair]
    numbers: ComparisonNumbers

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers as plain values, as `compare.json` has them."""
        return self.numbers.as_dict()

    @cached_property
    def columns(self) -> Table:
        """One row a metric, as numpy columns; NaN where there is no number."""
        rows = self.numbers.differences
        table: Table = {"metric": np.array([row.metric for row in rows], dtype=np.str_)}
        for name in NUMBERS:
            table[name] = _column([getattr(row, name) for row in rows])
        for name in ("told", "told_jointly", "identical"):
            table[name] = np.array([getattr(row, name) for row in rows], dtype=np.bool_)
        return table

    @cached_property
    def replication_columns(self) -> Table:
        """One row a metric and pair: its `seed` and the values in `a` and `b`."""
        metrics = list({**self.pairs[0].a.values, **self.pairs[0].b.values})
        return {
            "metric": np.array([metric for _ in self.pairs for metric in metrics], dtype=np.str_),
            "seed": np.array([pair.seed for pair in self.pairs for _ in metrics], dtype=np.int64),
            "a": _column([pair.a.values.get(metric) for pair in self.pairs for metric in metrics]),
            "b": _column([pair.b.values.get(metric) for pair in self.pairs for metric in metrics]),
        }

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a metric: means, difference, interval, what pairing was worth."""
        return frame(self.columns)

    @cached_property
    def replications(self) -> pd.DataFrame:
        """One row a metric and pair of runs."""
        return frame(self.replication_columns)

    def tails(self) -> list[tuple[Floats, Floats]]:
        """Of A and of B: times, s, and the share of requests that have not succeeded by then.

        A request that fails, or has no answer by the end of the run, never gets one. Empty without records.
        """
        return [_tail([getattr(pair, side) for pair in self.pairs]) for side in ("a", "b")]

    def goodput(self) -> list[tuple[Floats, Floats]]:
        """Of A and of B: times, s, and successes per second, mean over the runs."""
        found = []
        for side in ("a", "b"):
            runs: list[PairedRun] = [getattr(pair, side) for pair in self.pairs]
            bins = min(len(run.times) for run in runs)  # of the last one, some runs may have too little
            found.append((runs[0].times[:bins], np.mean([run.goodput[:bins] for run in runs], axis=0)))
        return found

    def plot(self) -> Picture:
        """The picture: differences with their intervals, who waits how long, goodput over time."""
        from meshsim.plot.compare import compare_figure  # noqa: PLC0415 - matplotlib is slow to import

        return compare_figure(self.numbers, self.a, self.b, self.tails(), self.goodput())

    def save(self, folder: str | Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Saves the numbers, tables, picture and both scenarios, or none of them (MeshsimError)."""
        form, path = output(options), files.prepare(folder, scenarios=files.PAIR)
        return files.write(
            path,
            {
                "compare.json": files.json_text(self.summary),
                **form.tables(compare=self.columns, replications=self.replication_columns),
                **form.pictures(compare=self.plot()),
                "a.yaml": self.numbers.a.provenance.scenario,
                "b.yaml": self.numbers.b.provenance.scenario,
                **config.files(self.a),
                **config.files(self.b),
            },
        )

    def __repr__(self) -> str:
        numbers = self.numbers
        return text.line("Comparison", numbers.a.label, f"{len(self.pairs)} pairs of runs", numbers.verdict)

    def _repr_html_(self) -> str:
        said = [self.numbers.verdict, *self.numbers.notes]
        return text.html(sheets.headline(self.numbers, every=False), said)


def _column(values: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _tail(runs: list[PairedRun]) -> tuple[Floats, Floats]:
    tails = [run.tail for run in runs if run.tail is not None]
    offered = sum(run.numbers.requests.offered for run in runs)
    if len(tails) < len(runs) or not offered:
        return np.array([]), np.array([])
    answered = np.cumsum(np.sum(tails, axis=0))[:-1]  # those in the last bin are later than any edge
    return TAIL_EDGES, 1.0 - answered / offered
