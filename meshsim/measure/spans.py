"""Spans of sampled requests: the table that `spans.parquet` holds.

As a tracing system would see them: a *call* span is a caller's call, all its tries together; an
*attempt* span, its child, one try as its caller saw it, from sending to its end; a *server* span, the
attempt's child, its stay at the replica. Which requests leave spans is `tracing.sampling`, decided by a
keyed draw, so that the same requests are traced whatever the policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.measurements import Measurements
from meshsim.measure.table import Table
from meshsim.mesh.spans import ATTEMPT_SPAN, CALL_SPAN, SPAN_KEYS, SPAN_NUMBERS, SPAN_TIMES, Tracer
from meshsim.policies.outcome import flag_names
from meshsim.scenario.topology import Topology

KINDS = ("call", "attempt", "server")
ATTEMPT_KINDS = ("first", "retry", "hedge")

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
"""The keys of each dict in :attr:`meshsim.measure.measurements.Measurements.spans`, and their types."""


def spans(records: Sequence[Measurements]) -> Table:
    """The spans of all replications, with a last column `replication`, from 0."""
    rows = [row for record in records for row in record.spans]
    table: Table = {name: np.array([row[name] for row in rows], dtype=kind) for name, kind in COLUMNS.items()}
    table["replication"] = np.repeat(np.arange(len(records)), [len(record.spans) for record in records])
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
        return self.keys.tobytes() + self.times.tobytes() + self.numbers.tobytes()

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The keys, times and numbers of each, in a row."""
        each = [column for part in (self.keys, self.times, self.numbers) for column in part.T.tolist()]
        return zip(*each, strict=True)


def span_rows(spans: Spans, topology: Topology) -> list[dict[str, object]]:
    """Spans with the keys of `COLUMNS`, where a tracer has routes and replicas as numbers."""
    routes, replicas, endpoints = topology.routes, topology.labels, topology.endpoints
    rows: list[dict[str, object]] = []
    for (
        half,
        trace,
        span,
        parent,
        start,
        end,
        kind,
        route,
        replica,
        number,
        tried,
        extra,
        status,
        flags,
    ) in spans.rows():
        by_caller = kind in (CALL_SPAN, ATTEMPT_SPAN)
        service, _, where = replicas[replica] if replica >= 0 else ("", "", "")
        caller, endpoint = "", ""
        if by_caller:
            caller, service, endpoint = routes[route]
        else:
            endpoint = endpoints[service][route]
        rows.append(
            {
                "trace_id": f"{half:016x}{trace:016x}",
                "span_id": f"{span:016x}",
                "parent_id": f"{parent:016x}" if parent else "",
                "kind": KINDS[kind],
                "service": caller if by_caller else service,
                "peer": service if by_caller else "",
                "replica": where,
                "endpoint": endpoint,
                "name": f"{caller} -> {service}" if caller else service,
                "start": start,
                "end": end,
                "status": status,
                "flag": flag_names(flags),
                "attempt": number,
                "attempt_kind": ATTEMPT_KINDS[tried],
                "extra": bool(extra),
            }
        )
    return rows
