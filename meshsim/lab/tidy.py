"""Many runs as one tidy table: a row a point, replication and service, and one for the client as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.latency import LATENCY_KEYS
from meshsim.measure.parts import ServiceSummary, per
from meshsim.measure.result import at
from meshsim.measure.summary import Summary
from meshsim.measure.table import Table
from meshsim.scenario.grid import Grid, text
from meshsim.scenario.model import CLIENT
from meshsim.scenario.variation import kind, quantity

Row = dict[str, Any]
Run = tuple[int, int]
"""A point's number and a replication's, both from 0."""

COUNTS = ("requests", "ok", "failed", "unfinished")
FLOW = ("rate", "goodput", "success_ratio")
LATENCIES = tuple(f"{of}_{key}" for of in ("latency", "ok_latency") for key in LATENCY_KEYS)
USE = ("utilisation", "busy_mean", "queue_mean")
ATTEMPTS = ("attempts", "retries", "hedges", "amplification")
NUMBERS = (*FLOW, *LATENCIES, *USE, *ATTEMPTS)
KNOWN: dict[str, type] = {
    "seed": np.int64,
    **dict.fromkeys(("service", "engine"), np.str_),
    "unstable": np.bool_,
    **dict.fromkeys(COUNTS, np.int64),
}
"""Columns that every row has a value of, and their types; `NUMBERS` are float64, NaN where there is none."""
FAILURES = "failures_"
"""What columns begin with that count the client's failures by flag or status."""
COLUMNS = ("point", "replication", *KNOWN, *NUMBERS)
"""Those of every sweep, between the varied keys and the failures."""


# ---- a run's rows -----------------------------------------------------------------------------------


def rows(summary: Summary) -> list[Row]:
    """The rows of one replication: the client's first, then each service's in order of the scenario.

    Values by column, without the point's own; what does not exist is None or left out.
    """
    shared = {"seed": summary.seed, "engine": summary.engine, "unstable": bool(summary.unstable)}
    services = {name: _service(part, summary.measured) for name, part in summary.services.items()}
    found = {CLIENT: _client(summary), **services}
    return [{"service": name, **shared, **numbers} for name, numbers in found.items()]


def _client(summary: Summary) -> Row:
    return {
        "requests": summary.requests.offered,
        **{key: at(summary.requests, key) for key in (*COUNTS[1:], *FLOW)},
        **summary.latency.columns(),
        **summary.ok_latency.columns("ok_latency"),
        "attempts": summary.attempts.total,
        **{key: at(summary.attempts, key) for key in ATTEMPTS[1:]},
        **{f"{FAILURES}{cause}": count for cause, count in summary.failures.items()},
    }


def _service(part: ServiceSummary, measured: float) -> Row:
    return {
        **{key: at(part, key) for key in (*COUNTS, "rate", *USE)},
        "goodput": per(part.ok, measured),
        "success_ratio": per(part.ok, part.answered),
        **part.latency.columns(),
    }


# ---- the table --------------------------------------------------------------------------------------


def table(grid: Grid, runs: Mapping[Run, Sequence[Row]]) -> Table:
    """The rows of many runs as columns: ordered by point and replication, however they came.

    A column each varied key, then `COLUMNS`, then one each kind of failure that there was. Durations are in
    s, rates per s, percentages as shares; a key whose values are not all numbers is text. Counts are int64,
    other numbers float64 with NaN for what does not exist.
    """
    ordered = [(run, row) for run in sorted(runs) for row in runs[run]]
    listed = [row for _, row in ordered]
    places = np.array([run[0] for run, _ in ordered], dtype=np.int64)
    found: Table = {}
    for number, (key, values) in enumerate(grid.keys.items()):
        each = [point.values[number] for point in grid.points]
        found[key] = column(values, each)[places]
    found["point"] = places
    found["replication"] = np.array([run[1] for run, _ in ordered], dtype=np.int64)
    for name, dtype in KNOWN.items():
        found[name] = np.array([row[name] for row in listed], dtype=dtype)
    for name in NUMBERS:
        found[name] = _numbers(row.get(name) for row in listed)
    for name in sorted({name for row in listed for name in row if name.startswith(FAILURES)}):
        found[name] = _numbers(row.get(name, 0 if row["service"] == CLIENT else None) for row in listed)
    return found


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def column(values: Sequence[object], each: Sequence[object]) -> NDArray[Any]:
    """Values `each` of a key as a table has them; all `values` it takes decide what kind of column it is."""
    if not kind(values):
        return np.array([text(value) for value in each], dtype=str)
    if all(isinstance(value, int) for value in values):
        return np.array(each, dtype=np.int64)
    amounts = [quantity(value) for value in each]
    return np.array([amount.value for amount in amounts if amount is not None], dtype=np.float64)


def runs_of(found: Table) -> dict[Run, list[Row]]:
    """The rows of each run in a table that `table` made: from columns back to rows."""
    names = [name for name in found if name in COLUMNS or name.startswith(FAILURES)]
    lists = {name: found[name].tolist() for name in names}
    runs: dict[Run, list[Row]] = {}
    for place in range(len(found["point"])):
        row = {name: values[place] for name, values in lists.items()}
        run = row.pop("point"), row.pop("replication")
        kept = {
            name: value for name, value in row.items() if not (isinstance(value, float) and math.isnan(value))
        }
        runs.setdefault(run, []).append(kept)
    return runs


def shown(value: object) -> str:
    """A value for a table of text: `text`, whole and short."""
    written = text(value)
    return written if len(written) <= 40 else written[:39] + "…"
