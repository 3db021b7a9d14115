"""Spans of sampled requests: the table that `spans.parquet` holds.

As a tracing system would see them: a *call* span is a caller's call, all its tries together; an
*attempt* span, its child, one try as its caller saw it, from sending to its end; a *server* span, the
attempt's child, its stay at the replica. Which requests leave spans is `tracing.sampling`, decided by a
keyed draw, so that the same requests are traced whatever the policies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshsim.measure.measurements import Measurements
from meshsim.measure.table import Table
from meshsim.mesh.spans import ATTEMPT_SPAN, CALL_SPAN, Tracer
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


def span_rows(tracer: Tracer, topology: Topology) -> list[dict[str, object]]:
    """A tracer's spans with the keys of `COLUMNS`; its rows have routes and replicas as numbers."""
    routes, replicas, endpoints = topology.routes, topology.labels, topology.endpoints
    rows: list[dict[str, object]] = []
    for row in tracer.rows:
        (
            kind, half, trace, span, parent, route, replica, number, attempt_kind, extra, start, end, status,
            flags,
        ) = row  # fmt: skip
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
                "attempt_kind": ATTEMPT_KINDS[attempt_kind],
                "extra": extra,
            }
        )
    return rows
