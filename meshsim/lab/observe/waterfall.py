"""Draws one trace of a run from the folder of its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshsim.errors import MeshsimError, shown
from meshsim.lab.traces import read_spans, rows_of
from meshsim.version import VERSION

if TYPE_CHECKING:
    from meshsim.plot import Picture


def waterfall(folder: str | Path, trace: str | None = None) -> Picture:
    """The picture of a trace of what `run` or `live` has written.

    Args:
        folder: of the results.
        trace: its id, or how it ends; None is that of the request that took longest.

    Raises:
        MeshsimError: it is no such folder, or has no such trace.
    """
    from meshsim.plot.trace import trace_figure  # noqa: PLC0415 - matplotlib is slow to import

    scenario, table, engine, _ = read_spans(Path(folder))
    spans = _chosen(rows_of(table), trace)
    source = [f"engine {engine}", f"seed {scenario.seed + spans[0]['replication']}"]
    return trace_figure(spans, scenario=scenario.name, source=" · ".join([f"meshsim {VERSION}", *source]))


def _chosen(rows: Sequence[dict[str, Any]], trace: str | None) -> list[dict[str, Any]]:
    """The spans of a trace; MeshsimError where there is none, or more than one."""
    roots = [row for row in rows if not row["parent_id"]]
    found = roots if trace is None else [row for row in roots if row["trace_id"].endswith(trace.lower())]
    if not found:
        which = "" if trace is None else f" whose id ends in {shown(trace)}"
        raise MeshsimError(f"there is no trace{which}; see trace_id in spans.parquet")
    if trace is not None and len(found) > 1:
        raise MeshsimError(f"{len(found)} traces have ids that end in {shown(trace)}; give more of it")
    root = max(found, key=lambda row: row["end"] - row["start"])
    key = root["replication"], root["trace_id"]
    return [row for row in rows if (row["replication"], row["trace_id"]) == key]
