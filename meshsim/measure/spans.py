"""Spans of sampled requests: the table that `spans.parquet` holds.

As a tracing system would see them: a *call* span is a caller's call, all its tries together; an
*attempt* span, its child, one try as its caller saw it, from sending to its end; a *server* span, the
attempt's child, its stay at the replica. Which requests leave spans is `tracing.sampling`, decided by a
keyed draw, so that the same requests are traced whatever the policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.measurements import Measurements
from meshsim.measure.table import Table
from meshsim.mesh.spans import SERVER_SPAN, SPAN_KEYS, SPAN_NUMBERS, SPAN_TIMES, Tracer
from meshsim.policies.outcome import flag_names
from meshsim.scenario.topology import Topology

KINDS = ("call", "attempt", "server")
ATTEMPT_KINDS = ("first", "retry", "hedge")
Ints = NDArray[np.int64]

COLUMNS: dict[str, type] = {
    "trace_id": str,  # 16 bytes as 32 hexadecimal digits; one a request
    "span_id": str,  # 8 bytes as 16 hexadecimal digits
    "parent_id": str,  # span_id of the span that caused it; empty for the client's call
    "kind": str,  # "call", "attempt" or "server"
    "service": str,  # whose span it is: the callee's for "server", else the caller's
    "peer": str,  # the callee of a "call" or "attempt"; may be empty for "server"
    "replica": str,  # where the attempt was sent to, such as cart/v1/0; empty for "call"
    "endpoint": str,  # of the callee; empty for the service itself
    "name": str,  # for people: "caller -> service"
    "start": float,  # s
    "end": float,  # s; NaN if it never ended
    "status": int,  # 0 without an answer, -1 for work that was dropped
    "flag": str,  # Envoy's response flags
    "attempt": int,  # number of the attempt in its call, from 0; of a "call", how many were sent
    "attempt_kind": str,  # "first", "retry" or "hedge"; a live service can't know a hedge: "retry"
    "extra": bool,  # whether it or an ancestor is a retry or a hedge
}
"""The columns of :attr:`meshsim.measure.measurements.Measurements.spans`, and their types."""


def spans(records: Sequence[Measurements]) -> Table:
    """The spans of all replications, with a last column `replication`, from 0."""
    counts = [len(record.spans["span_id"]) if record.spans else 0 for record in records]
    own = [record.spans for record in records if record.spans]
    table: Table = {
        name: np.concatenate([np.array([], kind), *(each[name] for each in own)])
        for name, kind in COLUMNS.items()
    }
    table["replication"] = np.repeat(np.arange(len(records)), counts)
    return table


ROW_BYTES = 8 * (SPAN_KEYS + SPAN_TIMES + SPAN_NUMBERS)
"""Of one span that `Spans.packed` packs."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans as a tracer keeps them: (n, SPAN_KEYS), (n, SPAN_TIMES) and (n, SPAN_NUMBERS)."""

    keys: NDArray[np.uint64]
    times: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @classmethod
    def _flat(cls, keys: Any, times: Any, numbers: Any) -> Spans:
        """Of three buffers with one row after the other."""
        return cls(
            np.frombuffer(keys, np.uint64).reshape(-1, SPAN_KEYS),
            np.frombuffer(times, np.float64).reshape(-1, SPAN_TIMES),
            np.frombuffer(numbers, np.int64).reshape(-1, SPAN_NUMBERS),
        )

    @classmethod
    def of(cls, tracer: Tracer, begin: int = 0) -> Spans:
        """What a tracer has now, from a row on; no copy: it is to be used before the tracer gets more."""
        every = cls._flat(tracer.keys, tracer.times, tracer.numbers)
        return every.chosen(slice(begin, tracer.spans))

    @classmethod
    def read(cls, data: bytes) -> Spans:
        """What `packed` packed."""
        count = len(data) // ROW_BYTES
        times, numbers = 8 * SPAN_KEYS * count, 8 * (SPAN_KEYS + SPAN_TIMES) * count
        return cls._flat(data[:times], data[times:numbers], data[numbers:])

    @classmethod
    def pooled(cls, each: Iterable[Spans]) -> Spans:
        """All of several."""
        every = [cls._flat(b"", b"", b""), *each]
        return cls(*(np.concatenate([getattr(one, name) for one in every]) for name in cls.__slots__))

    def chosen(self, places: slice | NDArray[Any]) -> Spans:
        """Those at these places."""
        return Spans(self.keys[places], self.times[places], self.numbers[places])

    def packed(self) -> bytes:
        """All of them as bytes."""
        return b"".join([self.keys.data, self.times.data, self.numbers.data])


def span_table(spans: Spans, topology: Topology) -> Table:
    """Spans with the columns of `COLUMNS`, where a tracer has routes and replicas as numbers.

    NOTE: a column at a time. Rows, as dictionaries, cost a run more than all that leaves the spans.
    """
    kind, route, replica, number, tried, extra, status, flags = spans.numbers.T
    digits = np.frombuffer(spans.keys.astype(">u8").tobytes().hex().encode(), "S16").astype(str)
    half, trace, span, parent = digits.reshape(-1, SPAN_KEYS).T
    table: Table = {
        "trace_id": np.char.add(half, trace),
        "span_id": span,
        "parent_id": np.where(spans.keys[:, 3] == 0, "", parent),
        "kind": np.array(KINDS)[kind],
        **_places(kind, route, replica, topology),
        "start": spans.times[:, 0],
        "end": spans.times[:, 1],
        "status": status,
        **_each(flags, lambda value: (flag_names(value),), ["flag"]),
        "attempt": number,
        "attempt_kind": np.array(ATTEMPT_KINDS)[tried],
        "extra": extra != 0,
    }
    return {name: table[name].copy() for name in COLUMNS}  # of the tracer's memory nothing is kept


def _places(kind: Ints, route: Ints, replica: Ints, topology: Topology) -> Table:
    """The columns that say whose spans they are, and about whom: the same for many."""
    replicas = len(topology.labels) + 1

    def words(place: int) -> tuple[str, ...]:
        above, there = divmod(place, replicas)
        number, at_server = divmod(above, 2)
        service, _, where = topology.labels[there - 1] if there else ("", "", "")
        if at_server:
            return service, "", where, topology.endpoints[service][number], service
        caller, service, endpoint = topology.routes[number]
        return caller, service, where, endpoint, f"{caller} -> {service}"

    codes = (2 * route + (kind == SERVER_SPAN)) * replicas + replica + 1
    return _each(codes, words, ("service", "peer", "replica", "endpoint", "name"))


def _each(values: Ints, words: Callable[[int], tuple[str, ...]], names: Sequence[str]) -> Table:
    """Columns with what is said of each value, which is found once for all that are equal."""
    distinct, which = np.unique(values, return_inverse=True)
    rows = [words(value) for value in distinct.tolist()]
    return {name: np.array([row[place] for row in rows], str)[which] for place, name in enumerate(names)}


def span_rows(table: Table) -> list[dict[str, Any]]:
    """The rows of a table, by column."""
    columns = [column.tolist() for column in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]
