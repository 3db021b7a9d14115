"""How a run went, bin by bin of time: what a dashboard would have shown.

One row a bin for the client as a whole, for each service and for each edge. Here all follows the clock, not
the request: what is offered counts in the bin where it came, what ended, and its latency, in the bin where
it ended. The bins go on until the last event, through the drain.

Over replications counts are totals, latencies are pooled, rates and everything else are means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.flow import COUNTS, BinnedFlow, Ended, added, fitted
from meshsim.measure.grid import Floats, Grid, Ints
from meshsim.measure.measurements import Measurements
from meshsim.measure.parts import workers
from meshsim.measure.table import Table
from meshsim.measure.window import interrupted
from meshsim.scenario.model import CLIENT, Scenario

COLUMNS = {
    "time": "left edge of the bin, s",
    "width": "of the bin, s (the first may be shorter)",
    "kind": "client, service or edge",
    "name": "client, a service, or 'caller -> service'",
    "offered": "requests, attempts or calls that came",
    "completed": "of them, ended with an answer",
    "ok": "with a status below 400",
    "failed": "with another",
    "rate": "offered per second",
    "goodput": "ok per second",
    "attempts": "tries: of client, on all edges; of a service, those that arrived; of an edge, its own",
    "retries": "of them",
    "hedges": "of them",
    "amplification": "attempts / attempts with no retry or hedge in their ancestry",
    "p50": "latency of those that ended, s",
    "p90": "the same",
    "p99": "the same",
    "mean": "the same",
    "utilisation": "of a service's workers, 0-1; NaN where they are unlimited",
    "queue_mean": "attempts waiting at a service's replicas together",
    "in_flight": "requests, attempts or calls present",
}
"""What each column holds; a number that does not exist is NaN."""

QUANTILES = (0.5, 0.9, 0.99)
WHOLE_RATIO = 0.5
"""Of the widest bin: in a narrower one a few requests look like a burst."""
FEWEST_BINS = 24
"""So many of the measured time are left at least where bins are joined."""


def series(records: Sequence[Measurements], scenario: Scenario, *, requests: int = 0) -> Table:
    """The series of one run, or of several replications together.

    Bins are joined until they hold so many `requests` on average, or few are left. Returns the columns of
    :data:`COLUMNS`, each (rows,): the client's bins, each service's, then each edge's.
    """
    grid = records[0].grid
    end = max(record.end for record in records)
    reached = max(1, grid.bins_until(end))
    cut_short = any(interrupted(record, scenario) for record in records)
    bins = min(grid.most, reached if cut_short else max(grid.last, reached))
    edges = grid.edges(bins)
    if bins == reached or bins == grid.most:
        edges[-1] = max(end, edges[-2])  # the last bin is as wide as it lasted
    services, links = records[0].service_names, [f"{a} -> {b}" for a, b in records[0].edges]
    flows = [record.flows(edges) for record in records]
    clients = [next(each) for each in flows]
    offered = sum(int(each.counts["offered"][:, grid.first : grid.last].sum()) for each in clients)
    starts = _starts(grid, bins, requests, offered)
    parts = [
        _part("client", [CLIENT], clients, edges, starts),
        _part("service", services, [next(each) for each in flows], edges, starts),
        _part("edge", links, [next(each) for each in flows], edges, starts),
    ]
    parts[1].update(_workers(records, scenario, services, edges, starts))
    return {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}


def whole(width: Floats) -> NDArray[np.bool_]:
    """(bins,) which bins are wide enough, s, for their rates to be drawn; one that is cut short is not."""
    return np.asarray(width >= WHOLE_RATIO * width.max(), dtype=np.bool_)


def _starts(grid: Grid, bins: int, wanted: int, offered: int) -> Ints:
    """(wide bins,) the bin of the grid with which each bin of the series begins.

    Those of the measured time and of the warm-up are about equally wide.
    """
    measured = grid.last - grid.first
    joined = min(math.ceil(wanted * measured / offered) if offered else 1, measured // FEWEST_BINS)
    if joined <= 1:
        return np.arange(bins)
    before, within = (max(1, round(count / joined)) for count in (grid.first, measured))
    warmup = np.linspace(0, grid.first, before, endpoint=False)
    measured_time = np.linspace(grid.first, grid.last, within, endpoint=False)
    starts = np.concatenate([warmup, measured_time, np.arange(grid.last, bins, joined)])
    found: Ints = np.unique(np.round(starts).astype(np.int64))
    return found[found < bins]


def _part(kind: str, names: list[str], narrow: Sequence[BinnedFlow], edges: Floats, starts: Ints) -> Table:
    """The rows of one kind, of what passed between edges, in bins that begin at some of them."""
    runs = [run.joined(starts, np.diff(edges)) for run in narrow]
    edges = np.append(edges[starts], edges[-1])
    bins, cells = len(edges) - 1, len(names) * (len(edges) - 1)
    counts: Table = {name: np.sum([run.counts[name] for run in runs], axis=0).ravel() for name in COUNTS}
    ended = Ended.pooled([run.ended for run in runs])
    width = np.tile(np.diff(edges), len(names))
    empty = np.full(cells, np.nan)
    return {
        "time": np.tile(edges[:-1], len(names)),
        "width": width,
        "kind": np.full(cells, kind),
        "name": np.repeat(names, bins),
        **counts,
        "rate": _ratio(counts["offered"], width * len(runs)),
        "goodput": _ratio(counts["ok"], width * len(runs)),
        "amplification": _ratio(counts["attempts"], counts["originals"]),
        **dict(zip(("p50", "p90", "p99"), ended.quantiles(cells, QUANTILES), strict=True)),
        "mean": _ratio(ended.totals(cells), counts["completed"]),
        "utilisation": empty,
        "queue_mean": empty,
        "in_flight": np.mean([run.present for run in runs], axis=0).ravel(),
    }


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Quotients, NaN for those by 0."""
    quotients = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return np.asarray(quotients, dtype=np.float64)


def _workers(
    records: Sequence[Measurements], scenario: Scenario, services: list[str], edges: Floats, starts: Ints
) -> Table:
    """(services · wide bins,) utilisation and queues, means over the replications."""
    members, bins = [records[0].members(name) for name in services], len(edges) - 1

    def mean(amounts: Sequence[Floats]) -> Floats:
        """(services, wide bins) of (replicas, some bins) by replication: sums over members and bins."""
        totals = [[fitted(each[own], bins).sum(axis=0) for own in members] for each in amounts]
        return added(np.sum(totals, axis=0) / len(amounts), starts)

    width = added(np.diff(edges), starts)
    slots = [workers(scenario, each.replicas, each.present(edges)) for each in records]
    with np.errstate(invalid="ignore", divide="ignore"):  # a service without replicas has no utilisation
        utilisation = mean([each.busy for each in records]) / mean(slots)
    return {
        "utilisation": utilisation.ravel(),
        "queue_mean": (mean([each.queued for each in records]) / width).ravel(),
    }
