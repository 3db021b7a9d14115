"""How a run went, bin by bin of time: what a dashboard would have shown.

One row a bin for the client as a whole, for each service and for each edge. Here all follows the clock, not
the request: what is offered counts in the bin where it came, what ended, and its latency, in the bin where
it ended. The bins go on until the last event, through the drain.

Over replications counts are totals, latencies are pooled, rates and everything else are means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.latency import grouped_quantiles
from meshsim.measure.occupancy import occupancy
from meshsim.measure.records import Floats, Ints, Records
from meshsim.measure.sample import interrupted
from meshsim.measure.table import Table
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.units import UNLIMITED

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


def series(records: Sequence[Records], scenario: Scenario) -> Table:
    """The series of one run, or of several replications together.

    Returns:
        The columns of :data:`COLUMNS`, each (rows,): the client's bins, each service's, then each edge's.
    """
    grid = records[0].grid
    end = max(record.end for record in records)
    reached = max(1, math.ceil((end - grid.origin) / grid.width - 1e-9))
    cut_short = any(interrupted(record, scenario) for record in records)
    bins = min(grid.most, reached if cut_short else max(grid.last, reached))
    edges = grid.edges(bins)
    if bins == reached or bins == grid.most:
        edges[-1] = max(end, edges[-2])  # the last bin is as wide as it lasted
    services, links = list(scenario.services), [f"{a} -> {b}" for a, b in records[0].edges]
    parts = [
        _part("client", [CLIENT], [_client(record) for record in records], edges),
        _part("service", services, [_services(record, services) for record in records], edges),
        _part("edge", links, [_edges(record) for record in records], edges),
    ]
    parts[1].update(_workers(records, scenario, services, edges))
    return {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}


# ---- who passes where -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Flow:
    """What passes the members of a kind (services, edges, …) in one run.

    `group` (n,) says which member each of n stays from `start` to `end` belongs to; `try_group` (m,) the
    same for each of m tries `sent`, of which `extra` have a retry or hedge in their ancestry.
    """

    group: Ints
    start: Floats
    end: Floats
    status: Ints
    try_group: Ints
    sent: Floats
    try_kind: Ints
    extra: NDArray[np.bool_]


def _client(record: Records) -> _Flow:
    rows, tries = record.requests, record.attempts
    everything = np.zeros(len(rows.start), np.int64), np.zeros(len(tries.sent), np.int64)
    return _Flow(
        everything[0], rows.start, rows.end, rows.status, everything[1], tries.sent, tries.kind, tries.extra
    )


def _services(record: Records, names: list[str]) -> _Flow:
    rows = record.attempts
    here = ~np.isnan(rows.arrived)
    group = np.array([names.index(service) for service, _, _ in record.replicas], np.int64)[
        rows.replica[here]
    ]
    arrived, answered = rows.arrived[here], rows.answered[here]
    return _Flow(
        group, arrived, answered, rows.status[here], group, arrived, rows.kind[here], rows.extra[here]
    )


def _edges(record: Records) -> _Flow:
    rows, tries = record.calls, record.attempts
    return _Flow(
        rows.edge, rows.start, rows.end, rows.status, tries.edge, tries.sent, tries.kind, tries.extra
    )


# ---- counted by bins --------------------------------------------------------------------------------


class _Counter:
    """Counts and values by member and bin, flattened: member · bins + bin."""

    def __init__(self, members: int, edges: Floats) -> None:
        self.edges, self.bins, self.members = edges, len(edges) - 1, members
        self.cells = members * self.bins

    def cell(self, group: Ints, time: Floats) -> Ints:
        """(n,) flat indices."""
        bin_ = np.searchsorted(self.edges, time, side="right") - 1
        return np.asarray(group * self.bins + np.clip(bin_, 0, self.bins - 1), dtype=np.int64)

    def count(self, cells: Ints) -> Ints:
        """(cells,) how often each occurs."""
        return np.bincount(cells, minlength=self.cells)

    def present(self, flow: _Flow) -> Floats:
        """(cells,) mean numbers present."""
        stays = [flow.group == member for member in range(self.members)]
        return np.concatenate([occupancy(flow.start[stay], flow.end[stay], self.edges) for stay in stays])


def _part(kind: str, names: list[str], flows: Sequence[_Flow], edges: Floats) -> Table:
    """The rows of one kind."""
    counter = _Counter(len(names), edges)
    columns = {**_totals(flows, counter), **_latencies(flows, counter)}
    width = np.tile(np.diff(edges), len(names))
    seconds = width * len(flows)
    empty = np.full(counter.cells, np.nan)
    return {
        "time": np.tile(edges[:-1], len(names)),
        "width": width,
        "kind": np.full(counter.cells, kind),
        "name": np.repeat(names, counter.bins),
        **columns,
        "rate": _ratio(columns["offered"], seconds),
        "goodput": _ratio(columns["ok"], seconds),
        "utilisation": empty,
        "queue_mean": empty,
        "in_flight": np.mean([counter.present(flow) for flow in flows], axis=0),
    }


def _totals(flows: Sequence[_Flow], counter: _Counter) -> Table:
    """(cells,) counts over the replications."""
    each = [_counts(flow, counter) for flow in flows]
    total: Table = {name: np.sum([counts[name] for counts in each], axis=0) for name in each[0]}
    originals = total.pop("originals")
    return {**total, "amplification": _ratio(total["attempts"], originals)}


def _counts(flow: _Flow, counter: _Counter) -> Table:
    ended = counter.cell(flow.group, np.nan_to_num(flow.end))
    tried = counter.cell(flow.try_group, flow.sent)
    answered, ok = flow.status > 0, (flow.status > 0) & (flow.status < 400)
    return {
        "offered": counter.count(counter.cell(flow.group, flow.start)),
        "completed": counter.count(ended[answered]),
        "ok": counter.count(ended[ok]),
        "failed": counter.count(ended[answered & ~ok]),
        "attempts": counter.count(tried),
        "retries": counter.count(tried[flow.try_kind == 1]),
        "hedges": counter.count(tried[flow.try_kind == 2]),
        "originals": counter.count(tried[~flow.extra]),
    }


def _latencies(flows: Sequence[_Flow], counter: _Counter) -> Table:
    """(cells,) latencies of what ended, pooled over the replications."""
    answered = [flow.status > 0 for flow in flows]
    pairs = list(zip(flows, answered, strict=True))
    values = np.concatenate([(flow.end - flow.start)[take] for flow, take in pairs])
    cells = np.concatenate([counter.cell(flow.group[take], flow.end[take]) for flow, take in pairs])
    quantiles = grouped_quantiles(values, cells, counter.cells, QUANTILES)
    total = np.bincount(cells, values, minlength=counter.cells)
    names = ("p50", "p90", "p99")
    return {**dict(zip(names, quantiles, strict=True)), "mean": _ratio(total, counter.count(cells))}


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Quotients, NaN for those by 0."""
    quotients = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return np.asarray(quotients, dtype=np.float64)


def _workers(records: Sequence[Records], scenario: Scenario, services: list[str], edges: Floats) -> Table:
    """(services · bins,) utilisation and queues, means over the replications."""
    busy, queued, workers = [], [], []
    for name in services:
        members = [index for index, (service, _, _) in enumerate(records[0].replicas) if service == name]
        busy.append(_mean([record.busy[members] for record in records], len(edges) - 1))
        queued.append(_mean([record.queued[members] for record in records], len(edges) - 1))
        total = sum(each.workers * each.replicas for each in scenario.services[name].deployments().values())
        workers.append(float(total) if total < UNLIMITED else np.nan)
    width = np.diff(edges)
    return {
        "utilisation": (np.array(busy) / np.array(workers)[:, None] / width).ravel(),
        "queue_mean": (np.array(queued) / width).ravel(),
    }


def _mean(amounts: Sequence[Floats], bins: int) -> Floats:
    """(bins,) of (members, some bins) arrays: the members' sum, the mean over the replications."""
    total = np.zeros(bins)
    for amount in amounts:
        known = min(bins, amount.shape[1])
        total[:known] += amount[:, :known].sum(axis=0)
    return total / len(amounts)
