"""A summary's parts as pandas data frames: one row a service, version, replica or edge."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from meshsim.measure.parts import EdgeSummary, StationSummary
from meshsim.measure.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

INSIDE = ("versions", "replicas", "flags", "statuses", "endpoints")


def services(summary: Summary) -> pd.DataFrame:
    """One row a service, by its name."""
    return _frame([{"service": name, **_row(part)} for name, part in summary.services.items()], "service")


def versions(summary: Summary) -> pd.DataFrame:
    """One row a version, by service and version; a service without versions has one that is called ``""``."""
    rows = [
        {"service": name, "version": version, **_row(each)}
        for name, part in summary.services.items()
        for version, each in (part.versions or {"": part}).items()
    ]
    return _frame(rows, "service", "version")


def replicas(summary: Summary) -> pd.DataFrame:
    """One row a replica, by its id; with its service and version."""
    rows = [
        {"replica": each.id, "service": name, "version": each.version, **_row(each)}
        for name, part in summary.services.items()
        for each in part.replicas
    ]
    return _frame(rows, "replica")


def edges(summary: Summary) -> pd.DataFrame:
    """One row an edge, by ``"caller -> service"``; a column each flag, such as ``flags_UT``."""
    flags = {flag: 0 for part in summary.edges.values() for flag in part.flags}
    rows = []
    for name, part in summary.edges.items():
        caller, _, service = name.partition(" -> ")
        counts = {f"flags_{flag}": count for flag, count in {**flags, **part.flags}.items()}
        rows.append({"edge": name, "caller": caller, "service": service, **_row(part), **counts})
    return _frame(rows, "edge")


def _row(part: StationSummary | EdgeSummary) -> dict[str, Any]:
    """A part's numbers by column, latencies as ``latency_p99``; NaN for what does not exist."""
    named = ("id", "version", "latency", *INSIDE)
    plain = {key: value for key, value in vars(part).items() if key not in named}
    found = {**plain, **part.latency.columns()}
    return {key: math.nan if value is None else value for key, value in found.items()}


def _frame(rows: list[dict[str, Any]], *index: str) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - slow to import

    return pd.DataFrame(rows).set_index(list(index))
