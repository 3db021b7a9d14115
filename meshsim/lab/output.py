"""In which forms results are written: pictures as PNG, SVG or PDF, tables as Parquet and, if wanted, as CSV.

Everything that saves takes these options by the same names, and asks here what to write. A form that is not
wanted this time is named too, so that none is left of an earlier run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from meshsim.errors import MeshsimError, shown
from meshsim.lab import files
from meshsim.measure.table import Table
from meshsim.plain import native
from meshsim.scenario.names import suggestion
from meshsim.units import duration, show_duration

if TYPE_CHECKING:
    from meshsim.plot import Picture
    from meshsim.scenario.model import Scenario

FORMATS = ("png", "svg", "pdf")
DPI, DPI_LEAST, DPI_MOST = 100, 20, 600
EVERY_LEAST = 0.01
"""Between two samples of metrics, s."""
MOST_SAMPLES = 20_000
"""Of each series; of a mesh of five services they are 4 GB."""

Written = dict[str, files.Content | files.Stale]
"""Files by name."""
PARQUET = b"PAR1"
"""What Parquet files begin with."""
PICTURE_MARK = b"meshsim"
"""What `meshsim.plot.Picture` has every picture say of itself."""


class OutputOptions(TypedDict, total=False):
    """How results are saved.

    Attributes:
        formats: of pictures: ``"png"`` (if not given), ``"svg"`` and ``"pdf"``, in a list or by comma.
        dpi: dots per inch of pictures, 20 to 600; 100 if not given.
        csv: whether to save each table as CSV too, with the same columns and every digit.
    """

    formats: str | Sequence[str]
    dpi: int
    csv: bool


class RunOutputOptions(OutputOptions, total=False):
    """How the results of one run are saved.

    Attributes:
        metrics_every: ``"1s"``, or s: saves its metrics so often too, as OpenMetrics; only at the end if not
            given.
    """

    metrics_every: str | float


@dataclass(frozen=True, slots=True)
class Output:
    """The same, checked; see `output`."""

    formats: tuple[str, ...]
    dpi: int
    csv: bool
    metrics_every: float | None = None

    def check_samples(self, scenario: Scenario) -> None:
        """A MeshsimError where metrics over time are wanted of a run that will have none, or too many."""
        if self.metrics_every is None:
            return
        if scenario.keep != "records":
            raise MeshsimError("a run that keeps histograms has no metrics over time; add --keep records")
        shortest = (scenario.duration + scenario.drain_limit) / MOST_SAMPLES
        least = EVERY_LEAST * math.ceil(round(shortest / EVERY_LEAST, 6))
        if self.metrics_every < shortest:
            raise MeshsimError(
                f"metrics_every: {show_duration(self.metrics_every)} may make more than {MOST_SAMPLES:,}"
                f" samples of each series until drain is over; choose {show_duration(least)} or more"
            )

    def tables(self, **tables: Table | tuple[str, ...]) -> Written:
        """The files of tables, by name without an ending; only column names of one not there this time."""
        found: Written = {}
        for name, table in tables.items():
            found[f"{name}.parquet"] = (
                files.Stale(PARQUET) if isinstance(table, tuple) else files.parquet_writer(table)
            )
            found |= self.csv_of(name, table)
        return found

    def csv_of(self, name: str, table: Table | tuple[str, ...]) -> Written:
        """The file of a table as CSV, likewise."""
        if isinstance(table, tuple) or not self.csv:
            return {f"{name}.csv": files.Stale(files.csv_header(list(table)[:3]))}
        return {f"{name}.csv": files.csv_writer(table)}

    def pictures(self, **pictures: Picture | None) -> Written:
        """The files of pictures, each by its name without an ending; None where there is none this time."""
        return {
            f"{name}.{form}": files.Stale(PICTURE_MARK)
            if picture is None or form not in self.formats
            else picture.file(form, self.dpi)
            for name, picture in pictures.items()
            for form in FORMATS
        }


def output(options: OutputOptions | RunOutputOptions, *, saved: bool = True, of_run: bool = False) -> Output:
    """The options, checked before long work; MeshsimError if one can't be used, or nothing is `saved`.

    Those of `RunOutputOptions` are known where they are `of_run`.
    """
    if options and not saved:
        raise MeshsimError(
            f"{', '.join(options)}: of files, and none are written; give a folder with out, or leave it out"
        )
    unknown = set(options) - (RunOutputOptions if of_run else OutputOptions).__optional_keys__
    if unknown:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    csv = native(options.get("csv", False))
    if not isinstance(csv, bool):
        raise MeshsimError(f"csv: {shown(csv)} is neither true nor false; give True for tables as CSV too")
    every = options.get("metrics_every")
    return Output(
        _formats(options.get("formats", FORMATS[0])), _dpi(options.get("dpi", DPI)), csv,
        None if every is None else _every(every),
    )  # fmt: skip


def _formats(wanted: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(wanted, Iterable) or getattr(wanted, "shape", None) == ():
        raise MeshsimError(f"no picture format {shown(native(wanted))}; choose {', '.join(FORMATS)}")
    names = [str(name).strip().lower() for name in (wanted.split(",") if isinstance(wanted, str) else wanted)]
    for name in names or [""]:
        if name not in FORMATS:
            raise MeshsimError(f"no picture format {shown(name)}; {suggestion(name, FORMATS)}")
    return tuple(dict.fromkeys(names))


def _dpi(wanted: int) -> int:
    dpi = native(wanted)
    if not isinstance(dpi, int) or not DPI_LEAST <= dpi <= DPI_MOST:
        raise MeshsimError(f"{shown(wanted)} dots per inch can't be drawn; choose {DPI_LEAST} to {DPI_MOST}")
    return dpi


def _every(wanted: object) -> float:
    value = native(wanted)
    try:
        step = float(value) if isinstance(value, int | float) else duration(value)
    except ValueError as error:
        raise MeshsimError(f"metrics_every: {error}") from error
    if isinstance(value, bool) or not EVERY_LEAST <= step < math.inf:
        raise MeshsimError(f"metrics_every: {shown(wanted)} can't be used; choose 10ms or more, such as 1s")
    return step
