"""What a simulated and a live run are compared by, each number block by block."""

from __future__ import annotations

import numpy as np

from meshsim.measure.grid import Floats, Ints, Window
from meshsim.measure.jackknife import BLOCKS, Quotient, Statistic, Times
from meshsim.measure.latency import QUANTILES
from meshsim.measure.records import KINDS, Records, failure_reasons
from meshsim.scenario.model import CLIENT

Readings = dict[str, Statistic]
COMPARED = ("p50", "p90", "p95", "p99")
EXTRA = {"retries": KINDS.index("retry"), "hedges": KINDS.index("hedge")}


class Blocks:
    """A window cut into equal parts."""

    def __init__(self, window: Window, number: int = BLOCKS) -> None:
        self.window, self.number = window, number

    def of(self, time: Floats) -> Ints:
        """(n,) the block of each time within the window."""
        place = (time - self.window.start) / self.window.length * self.number
        return np.minimum(place.astype(np.int64), self.number - 1)

    def count(self, time: Floats) -> Floats:
        """(blocks,) how many times lie in each."""
        return np.bincount(self.of(time[self.window.holds(time)]), minlength=self.number).astype(np.float64)


def readings(records: Records, window: Window) -> Readings:
    """The numbers of a run in a window, by path of their keys in `summary.json` or beside it."""
    blocks = Blocks(window)
    return {
        **_requests(records, blocks),
        **_attempts(records, blocks),
        **_failures(records, blocks),
        **_edges(records, blocks),
        **_endpoints(records, blocks),
        **_version_shares(records, blocks),
    }


def complete(one: Readings, other: Readings) -> None:
    """Gives each of two runs the counts that only the other has: of what never happened there are 0."""
    for mine, theirs in ((one, other), (other, one)):
        for metric, statistic in theirs.items():
            if metric not in mine:
                mine[metric] = Quotient.count(np.zeros(statistic.blocks))


def _requests(records: Records, blocks: Blocks) -> Readings:
    rows = records.requests
    done = blocks.window.holds(rows.start) & (rows.status > 0)
    start, latency = rows.start[done], (rows.end - rows.start)[done]
    completed, ok = blocks.count(start), blocks.count(start[rows.status[done] < 400])
    block = blocks.of(start)
    found: Readings = {"latency.mean": Times(latency, block, blocks.number, None)}
    for key in COMPARED:
        found[f"latency.{key}"] = Times(latency, block, blocks.number, QUANTILES[key])
    seconds = np.full(blocks.number, blocks.window.length / blocks.number)
    found["requests.throughput"] = Quotient(completed, seconds)
    found["requests.success_ratio"] = Quotient(ok, completed)
    lost = blocks.count(rows.start[rows.status == 0])
    if lost.any():
        found["requests.unfinished"] = Quotient.count(lost)
    return found


def _attempts(records: Records, blocks: Blocks) -> Readings:
    rows = records.attempts
    total, originals = blocks.count(rows.request_start), blocks.count(rows.request_start[~rows.extra])
    return {"attempts.total": Quotient.count(total), "attempts.amplification": Quotient(total, originals)}


def _failures(records: Records, blocks: Blocks) -> Readings:
    rows = records.requests
    bad = blocks.window.holds(rows.start) & (rows.status >= 400)
    reasons, start = failure_reasons(rows, bad), rows.start[bad]
    return {
        f"failures.{reason}": Quotient.count(blocks.count(start[reasons == reason]))
        for reason in np.unique(reasons)
    }


def _edges(records: Records, blocks: Blocks) -> Readings:
    """Of each edge its retries, hedges, ejections, connections, and, between services, why calls failed."""
    found: dict[str, Floats] = {}
    calls, tries = records.calls, records.attempts
    for index, (caller, service) in enumerate(records.edges):
        edge = f"edges.{caller} -> {service}"
        for name, kind in EXTRA.items():
            here = (tries.edge == index) & (tries.kind == kind)
            found[f"{edge}.{name}"] = blocks.count(tries.request_start[here])
        ejected = np.array([time for time, where, _ in records.ejections if where == index])
        found[f"{edge}.ejections"] = blocks.count(ejected)
        times: dict[str, list[float]] = {}
        for time, where, what in records.connections:
            if where == index:
                times.setdefault(f"{edge}.connections.{what}", []).append(time)
        found |= {metric: blocks.count(np.array(each)) for metric, each in times.items()}
        if caller != CLIENT:
            mine = (calls.edge == index) & ((calls.flag != "") | (calls.status >= 400))
            reasons, start = failure_reasons(calls, mine), calls.request_start[mine]
            for reason in np.unique(reasons):
                told = "statuses" if reason.isdigit() else "flags"
                found[f"{edge}.{told}.{reason}"] = blocks.count(start[reasons == reason])
    return {metric: Quotient.count(counts) for metric, counts in found.items() if counts.any()}


def _endpoints(records: Records, blocks: Blocks) -> Readings:
    """Of each edge to a service that has endpoints, by endpoint: what occurs, and what the client waits."""
    found: Readings = {}
    calls, tries = records.calls, records.attempts
    for index, (caller, service) in enumerate(records.edges):
        for place, endpoint in enumerate(records.endpoints.get(service, ())):
            mine = (calls.edge == index) & (calls.endpoint == place)
            retries = (tries.edge == index) & (tries.endpoint == place) & (tries.kind == EXTRA["retries"])
            counts = {
                "requests": blocks.count(calls.request_start[mine]),
                "failed": blocks.count(calls.request_start[mine & (calls.status >= 400)]),
                "retries": blocks.count(tries.request_start[retries]),
            }
            path = f"edges.{caller} -> {service}.endpoints.{endpoint}"
            found |= {f"{path}.{name}": Quotient.count(each) for name, each in counts.items() if each.any()}
            done = mine & blocks.window.holds(calls.request_start) & (calls.status > 0)
            if caller == CLIENT and done.any():
                latency, block = (calls.end - calls.start)[done], blocks.of(calls.request_start[done])
                found[f"{path}.latency.mean"] = Times(latency, block, blocks.number, None)
    return found


def _version_shares(records: Records, blocks: Blocks) -> Readings:
    versions: dict[str, dict[str, list[int]]] = {}
    for index, (service, version, _) in enumerate(records.replicas):
        versions.setdefault(service, {}).setdefault(version, []).append(index)
    found: Readings = {}
    for service, members in versions.items():
        if len(members) > 1:
            start, replica = records.attempts.request_start, records.attempts.replica
            counts = {name: blocks.count(start[np.isin(replica, where)]) for name, where in members.items()}
            total = np.sum(list(counts.values()), axis=0)
            for version, count in counts.items():
                found[f"services.{service}.versions.{version}.share"] = Quotient(count, total)
    return found
