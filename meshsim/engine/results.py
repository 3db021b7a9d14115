"""From the recorder's columns to the tables of `meshsim.measure.records`."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from meshsim.engine import streams
from meshsim.measure.grid import Floats, Grid, Ints
from meshsim.measure.measurements import Measurements
from meshsim.measure.records import Attempts, Calls, Records, Requests
from meshsim.measure.spans import span_rows
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.streams import StreamRecorder
from meshsim.policies.outcome import flag_names
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

TABLE = 1 << 16
"""Numbers that a table of names may have room for: those of all replicas, and of up to three flags."""


class Columns:
    """Makes arrays of a recorder's columns.

    Attributes:
        own: whether each is a copy, because the run may go on; otherwise it is the recorder's own memory.
    """

    def __init__(self, own: bool) -> None:
        self.own = own

    def floats(self, column: array[float], rows: int) -> Floats:
        """The rows of a column."""
        found = np.asarray(column, dtype=np.float64)[:rows]
        return found.copy() if self.own else found

    def integers(self, column: array[int], rows: int) -> Ints:
        """The rows of a column."""
        found = np.asarray(column, dtype=np.int64)[:rows]
        return found.copy() if self.own else found

    def names(self, column: array[int], rows: int, name: Any) -> Any:
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


def requests(columns: Columns, recorder: RowRecorder, replicas: list[tuple[str, str, str]]) -> Requests:
    """The table of requests."""
    return Requests(
        load=columns.integers(recorder.request_load, recorder.requests),
        start=columns.floats(recorder.request_start, recorder.requests),
        end=columns.floats(recorder.request_end, recorder.requests),
        status=columns.integers(recorder.request_status, recorder.requests),
        flag=columns.names(recorder.request_flags, recorder.requests, flag_names),
        attempts=columns.integers(recorder.request_attempts, recorder.requests),
        version=columns.names(
            recorder.request_host, recorder.requests, lambda host: replicas[host][1] if host >= 0 else ""
        ),
    )


def calls(columns: Columns, recorder: RowRecorder) -> Calls:
    """The table of calls."""
    return Calls(
        edge=columns.integers(recorder.call_edge, recorder.calls),
        request_start=columns.floats(recorder.call_request_start, recorder.calls),
        start=columns.floats(recorder.call_start, recorder.calls),
        end=columns.floats(recorder.call_end, recorder.calls),
        status=columns.integers(recorder.call_status, recorder.calls),
        flag=columns.names(recorder.call_flags, recorder.calls, flag_names),
        extra=columns.integers(recorder.call_extra, recorder.calls).astype(np.bool_),
    )


def attempts(columns: Columns, recorder: RowRecorder) -> Attempts:
    """The table of attempts."""
    return Attempts(
        edge=columns.integers(recorder.attempt_edge, recorder.attempts),
        replica=columns.integers(recorder.attempt_replica, recorder.attempts),
        kind=columns.integers(recorder.attempt_kind, recorder.attempts),
        extra=columns.integers(recorder.attempt_extra, recorder.attempts).astype(np.bool_),
        request_start=columns.floats(recorder.attempt_request_start, recorder.attempts),
        sent=columns.floats(recorder.attempt_sent, recorder.attempts),
        arrived=columns.floats(recorder.attempt_arrived, recorder.attempts),
        answered=columns.floats(recorder.attempt_answered, recorder.attempts),
        status=columns.integers(recorder.attempt_status, recorder.attempts),
        ended=columns.floats(recorder.attempt_ended, recorder.attempts),
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


def records(
    scenario: Scenario, mesh: Mesh, engine: str, seed: int, end: float, complete: bool, interrupted: bool,
    events: int,
) -> Measurements:  # fmt: skip
    """Everything a run leaves."""
    grid = Grid.of(scenario)
    recorder = mesh.recorder
    replicas = Topology(scenario).labels
    common: dict[str, Any] = {
        "engine": engine,
        "seed": seed,
        "end": end,
        "complete": complete,
        "grid": grid,
        "edges": list(mesh.edges),
        "replicas": replicas,
        "busy": integrals([replica.busy_gauge for replica in mesh.replicas.values()], end, grid),
        "queued": integrals([replica.queue_gauge for replica in mesh.replicas.values()], end, grid),
        "ejections": list(recorder.ejections),
        "spans": span_rows(mesh.tracer, mesh.edges, replicas),
        "interrupted": interrupted,
        "events": events,
    }
    if isinstance(recorder, StreamRecorder):
        return streams.histograms(recorder, end, common)
    assert isinstance(recorder, RowRecorder), "a recorder of the engine's own"
    columns = Columns(own=not complete)
    return Records(
        **common,
        requests=requests(columns, recorder, replicas),
        calls=calls(columns, recorder),
        attempts=attempts(columns, recorder),
    )
