"""What came of many scenario files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from meshsim import version
from meshsim.lab import files
from meshsim.lab.batch.entry import MISSED, OK, REFUSED, UNFINISHED, Entry
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.show import batch as sheets
from meshsim.lab.show import junit
from meshsim.lab.show import sheets as text
from meshsim.lab.sources import Skipped
from meshsim.measure.latency import LATENCY_KEYS
from meshsim.measure.result import at, plain
from meshsim.measure.table import Table, frame

if TYPE_CHECKING:
    import pandas as pd

REPORTED = (
    "scenario", "engine", "seed", "replications", "measured", "requests", "latency", "ok_latency", "attempts",
    "failures", "objectives", "unstable", "notes",
)  # fmt: skip
"""What `batch.json` has of each summary; all of it is in that scenario's `summary.json`."""
COUNTS = ("offered", "ok", "failed", "unfinished", "rate", "goodput", "success_ratio")
COLUMNS: dict[str, type] = {
    "file": str,
    "scenario": str,  # its name
    "status": str,  # ok, missed, refused or unfinished
    "engine": str,
    "seed": int,  # of the first replication; -1 where nothing ran
    "replications": int,
    **dict.fromkeys(COUNTS, float),
    **{f"latency_{key}": float for key in LATENCY_KEYS},
    "amplification": float,
    "objectives": int,
    "missed": int,  # objectives
    "unstable": bool,
    "seconds": float,  # that the run took
}
"""Of the table, with their types; numbers of runs that were not made are NaN."""


@dataclass(frozen=True)
class Batch:
    """The results of many scenario files, in their order; `skipped` are YAML files that are no scenarios."""

    entries: list[Entry]
    skipped: list[Skipped]
    folder: Path | None = None

    @property
    def partial(self) -> bool:
        """Whether Ctrl-C kept some runs from being made."""
        return bool(self.of(UNFINISHED))

    def of(self, status: str) -> list[Entry]:
        """The entries of a status."""
        return [entry for entry in self.entries if entry.status == status]

    @cached_property
    def columns(self) -> Table:
        """One row a file, as numpy columns (`COLUMNS`)."""
        rows = [_row(entry) for entry in self.entries]
        return {name: np.array([row[name] for row in rows], dtype=kind) for name, kind in COLUMNS.items()}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a file (`COLUMNS`)."""
        return frame(self.columns)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, as `batch.json` has it."""
        counts = {status: len(self.of(status)) for status in (OK, MISSED, REFUSED, UNFINISHED)}
        return {
            "version": version.VERSION,
            "partial": self.partial,
            "counts": {**counts, "skipped": len(self.skipped)},
            "scenarios": [self._described(entry) for entry in self.entries],
            "skipped": [asdict(each) for each in self.skipped],
        }

    def _described(self, entry: Entry) -> dict[str, Any]:
        return {
            "file": entry.file,
            "status": entry.status,
            "folder": entry.name if self.folder is not None and entry.numbers is not None else None,
            "seconds": round(entry.seconds, 3),
            "problems": [asdict(problem) for problem in entry.problems],
            "summary": None
            if entry.numbers is None
            else {key: plain(getattr(entry.numbers, key)) for key in REPORTED},
        }

    def suites(self) -> list[junit.Suite]:
        """The verdicts on each file for JUnit: one on the file itself, one on each objective."""
        return [junit.Suite(entry.file, list(_cases(entry))) for entry in self.entries]

    def save(self, folder: str | Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Saves `batch.json` and the table (as CSV too with `csv`); MeshsimError if that fails."""
        content = {
            "batch.json": files.json_text(self.as_dict()),
            **output(options).tables(batch=self.columns),
        }
        return files.write(files.prepare(folder), content)

    def _repr_html_(self) -> str:
        return text.html(sheets.table(self.entries), [])


def _row(entry: Entry) -> dict[str, Any]:
    summary = entry.numbers
    found: dict[str, Any] = {
        name: np.nan if kind is float else -1 if name == "seed" else kind() for name, kind in COLUMNS.items()
    }
    found |= {"file": entry.file, "status": entry.status, "seconds": entry.seconds}
    if summary is None:
        return found
    numbers = {name: at(summary.requests, name) for name in COUNTS} | summary.latency.columns()
    numbers["amplification"] = summary.attempts.amplification
    return {
        **found,
        **{key: at(summary, key) for key in ("scenario", "engine", "seed", "replications")},
        **{name: np.nan if value is None else value for name, value in numbers.items()},
        "objectives": len(entry.objectives),
        "missed": len(entry.missed),
        "unstable": bool(summary.unstable),
    }


def _cases(entry: Entry) -> Iterator[junit.Case]:
    error = "\n".join(map(str, entry.problems))
    if entry.status == UNFINISHED:
        error = "not run: the batch was interrupted"
    yield junit.Case("scenario", entry.seconds, error=error)
    for objective in entry.objectives:
        missed = sheets.missed_limits(objective)
        failure = "; ".join(f"{key} is {measured}, wanted {wanted}" for key, wanted, measured in missed)
        yield junit.Case(sheets.wanted(objective), failure=failure)
