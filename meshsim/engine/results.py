"""From the recorder's columns to the tables of `meshsim.measure.records`."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from meshsim.engine import streams
from meshsim.measure.grid import Floats, Grid
from meshsim.measure.measurements import Measurements
from meshsim.measure.records import Attempts, Calls, Records, Requests
from meshsim.measure.spans import Spans, span_table
from meshsim.measure.table import Rows, table_of
from meshsim.mesh.certificate import CERTIFICATE_EVENTS
from meshsim.mesh.connection import COUNTED
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.streams import StreamRecorder
from meshsim.policies.outcome import flag_names
from meshsim.scenario.events import Control
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.topology import Topology

TABLE = 1 << 16
"""Numbers that a table of names may have room for: those of all replicas, and of up to three flags."""


def _named(column: array[int], rows: int, name: Any) -> Any:
    """A column of small numbers as the names they stand for."""
    numbers = np.asarray(column)[:rows]
    if not len(numbers):
        return np.array([], dtype="U1")
    low, high = int(numbers.min()), int(numbers.max())
    if high - low >= TABLE:
        values, places = np.unique(numbers, return_inverse=True)
        return np.array([name(int(value)) for value in values], dtype=np.str_)[places]
    # nearly always: counting takes a tenth of the time of sorting
    values = low + np.flatnonzero(np.bincount(numbers - low))
    words = np.array([name(int(value)) for value in values], dtype=np.str_)
    table = np.zeros(high - low + 1, dtype=words.dtype)
    table[values - low] = words
    return table[numbers - low]


def table(kind: type[Rows], name: str, recorder: RowRecorder, topology: Topology, own: bool) -> Rows:
    """A recorder's table of a kind: its column ``request_start`` is `start` of the requests.

    Its columns are copies if it has to `own` them, because the run may go on, or else the recorder's memory.
    """
    rows: int = getattr(recorder, f"{name}s")

    def column(field: str, dtype: type) -> Any:
        if field == "flag":
            return _named(getattr(recorder, f"{name}_flags"), rows, flag_names)
        if field == "version":
            if not topology.versioned:
                return None
            hosts = getattr(recorder, f"{name}_host")
            return _named(hosts, rows, lambda host: topology.replicas[host - 1].version if host else "")
        if field == "endpoint":
            return _endpoints(name, recorder, topology)
        if field == "edge":
            route: Any = np.asarray(getattr(recorder, f"{name}_route"), dtype)[:rows]
            if topology.with_endpoints:
                return np.array(topology.edge_of)[route]
            return route.copy() if own else route
        found: Any = np.asarray(getattr(recorder, f"{name}_{field}"), dtype)[:rows]
        return found.copy() if own else found

    return table_of(kind, column, rows)


def _endpoints(name: str, recorder: RowRecorder, topology: Topology) -> Any:
    """The column of endpoints: of calls and attempts as numbers, of requests as names."""
    if not topology.with_endpoints:
        return None
    numbers = np.array(topology.endpoint_of)
    if name != "request":
        return numbers[np.asarray(getattr(recorder, f"{name}_route"))[: getattr(recorder, f"{name}s")]]
    routes = np.asarray(recorder.call_route)[: recorder.calls]
    client = np.array([caller == CLIENT for caller, _, _ in topology.routes])
    names = np.array([endpoint for _, _, endpoint in topology.routes])
    return names[routes[client[routes]]]  # each request makes one call, in the order of the requests


def integrals(gauges: list[Gauge], end: float, grid: Grid) -> Floats:
    """What gauges have integrated: (gauges, bins), as far as the longest goes."""
    for gauge in gauges:
        gauge.add(0, end)
    count = max([grid.last] + [len(gauge.bins) for gauge in gauges])
    table = np.zeros((len(gauges), count))
    for row, gauge in enumerate(gauges):
        table[row, : len(gauge.bins)] = gauge.bins
    return table


def _certificates(recorder: RowRecorder) -> list[tuple[float, int, str]]:
    return [(time, proxy, CERTIFICATE_EVENTS[what]) for time, proxy, what in recorder.certificates]


def records(
    scenario: Scenario, mesh: Mesh, control: Control, engine: str, seed: int, end: float, complete: bool,
    interrupted: bool, events: int,
) -> Measurements:  # fmt: skip
    """Everything a run leaves."""
    grid = Grid.of(scenario)
    recorder = mesh.recorder
    topology = Topology(scenario)
    replicas = topology.labels
    common: dict[str, Any] = {
        "engine": engine,
        "seed": seed,
        "end": end,
        "complete": complete,
        "grid": grid,
        "edges": list(mesh.edges),
        "replicas": replicas,
        "endpoints": topology.with_endpoints,
        "busy": integrals([replica.busy_gauge for replica in mesh.replicas.values()], end, grid),
        "queued": integrals([replica.queue_gauge for replica in mesh.replicas.values()], end, grid),
        "ejections": list(recorder.ejections),
        "pushes": control.plane.pushes[1:],
        "lives": [] if control.fleet is None else control.fleet.lives,
        "interrupted": interrupted,
        "events": events,
    }
    if isinstance(recorder, StreamRecorder):
        common["certificates"] = None if mesh.authority is None else []
        return streams.histograms(recorder, topology, end, common)
    assert isinstance(recorder, RowRecorder), "a recorder of the engine's own"
    own = not complete
    return Records(
        **common,
        spans=span_table(Spans.of(mesh.tracer), topology),
        connections=[(time, edge, COUNTED[what]) for time, edge, what in recorder.connections],
        certificates=None if mesh.authority is None else _certificates(recorder),
        requests=table(Requests, "request", recorder, topology, own),
        calls=table(Calls, "call", recorder, topology, own),
        attempts=table(Attempts, "attempt", recorder, topology, own),
    )
