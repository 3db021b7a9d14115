"""From the recorder's columns to the tables of `meshsim.measure.records`."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from meshsim.measure.records import Attempts, Calls, Floats, Grid, Ints, Records, Requests
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.recorder import Gauge
from meshsim.mesh.spans import ATTEMPT_SPAN, CALL_SPAN
from meshsim.policies.outcome import flag_names
from meshsim.scenario.model import Scenario

SPAN_KINDS = ("call", "attempt", "server")


def floats(column: array[float]) -> Floats:
    """A column as an array of its own."""
    return np.array(column, dtype=np.float64)


def integers(column: array[int]) -> Ints:
    """A column as an array of its own."""
    return np.array(column, dtype=np.int64)


def names(column: array[int], name: Any) -> Any:
    """A column of small numbers as the names they stand for."""
    values, places = np.unique(integers(column), return_inverse=True)
    table = np.array([name(int(value)) for value in values], dtype=np.str_)
    return table[places] if len(values) else np.array([], dtype="U1")


def requests(mesh: Mesh, replicas: list[tuple[str, str, str]]) -> Requests:
    """The table of requests."""
    recorder = mesh.recorder
    return Requests(
        load=integers(recorder.request_load),
        start=floats(recorder.request_start),
        end=floats(recorder.request_end),
        status=integers(recorder.request_status),
        flag=names(recorder.request_flags, flag_names),
        attempts=integers(recorder.request_attempts),
        version=names(recorder.request_host, lambda host: replicas[host][1] if host >= 0 else ""),
    )


def calls(mesh: Mesh) -> Calls:
    """The table of calls."""
    recorder = mesh.recorder
    return Calls(
        edge=integers(recorder.call_edge),
        request_start=floats(recorder.call_request_start),
        start=floats(recorder.call_start),
        end=floats(recorder.call_end),
        status=integers(recorder.call_status),
        flag=names(recorder.call_flags, flag_names),
        extra=integers(recorder.call_extra).astype(np.bool_),
    )


def attempts(mesh: Mesh) -> Attempts:
    """The table of attempts."""
    recorder = mesh.recorder
    return Attempts(
        edge=integers(recorder.attempt_edge),
        replica=integers(recorder.attempt_replica),
        kind=integers(recorder.attempt_kind),
        extra=integers(recorder.attempt_extra).astype(np.bool_),
        request_start=floats(recorder.attempt_request_start),
        sent=floats(recorder.attempt_sent),
        arrived=floats(recorder.attempt_arrived),
        answered=floats(recorder.attempt_answered),
        status=integers(recorder.attempt_status),
        ended=floats(recorder.attempt_ended),
    )


def integrals(gauges: list[Gauge], end: float, grid: Grid) -> Floats:
    """What gauges have integrated: (gauges, bins), as far as the longest goes."""
    for gauge in gauges:
        gauge.add(0, end)
    count = max([grid.last] + [len(gauge.bins) for gauge in gauges])
    table = np.zeros((len(gauges), count))
    for row, gauge in enumerate(gauges):
        table[row, : len(gauge.bins)] = gauge.bins
    return table


def spans(mesh: Mesh, replicas: list[tuple[str, str, str]]) -> list[dict[str, object]]:
    """The rows of sampled spans."""
    rows: list[dict[str, object]] = []
    for (
        kind,
        trace,
        span,
        parent,
        edge,
        replica,
        number,
        attempt_kind,
        extra,
        start,
        end,
        status,
        flags,
    ) in mesh.tracer.rows:
        where = replicas[replica] if replica >= 0 else ("", "", "")
        caller, service = mesh.edges[edge] if edge >= 0 else ("", where[0])
        rows.append(
            {
                "trace_id": f"{trace:032x}",
                "span_id": f"{span:016x}",
                "parent_id": f"{parent:016x}" if parent else "",
                "kind": SPAN_KINDS[kind],
                "service": caller if kind in (CALL_SPAN, ATTEMPT_SPAN) else service,
                "peer": service if kind in (CALL_SPAN, ATTEMPT_SPAN) else "",
                "replica": where[2],
                "name": f"{caller} -> {service}" if caller else service,
                "start": start,
                "end": end,
                "status": status,
                "flag": flag_names(flags),
                "attempt": number,
                "attempt_kind": attempt_kind,
                "extra": extra,
            }
        )
    return rows


def records(
    scenario: Scenario, mesh: Mesh, engine: str, seed: int, end: float, complete: bool, interrupted: bool
) -> Records:
    """Everything a run leaves."""
    grid = Grid.of(scenario)
    replicas = [(*_split(name), name) for name in mesh.replicas]
    return Records(
        engine=engine,
        seed=seed,
        end=end,
        complete=complete,
        grid=grid,
        edges=list(mesh.edges),
        replicas=replicas,
        requests=requests(mesh, replicas),
        calls=calls(mesh),
        attempts=attempts(mesh),
        busy=integrals([replica.busy_gauge for replica in mesh.replicas.values()], end, grid),
        queued=integrals([replica.queue_gauge for replica in mesh.replicas.values()], end, grid),
        ejections=list(mesh.recorder.ejections),
        spans=spans(mesh, replicas),
        interrupted=interrupted,
    )


def _split(name: str) -> tuple[str, str]:
    """Service and version of a replica's id."""
    parts = name.split("/")
    return parts[0], parts[1] if len(parts) == 3 else ""
