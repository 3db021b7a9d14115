"""The table of spans: what a tracer has as numbers, in words."""

from __future__ import annotations

import numpy as np
import pytest

from meshsim.measure.spans import COLUMNS, Spans, span_rows, span_table
from meshsim.mesh.request import Request
from meshsim.mesh.spans import ATTEMPT_SPAN, CALL_SPAN, SERVER_SPAN, SPANS, Tracer
from meshsim.policies.outcome import UF, URX, add_flag
from meshsim.scenario import loads
from meshsim.scenario.topology import Topology

TOPOLOGY = Topology(
    loads("""
name: spans
duration: 1s
services:
  front: {script: [{call: cart/add}]}
  cart: {replicas: 2, endpoints: {add: {method: POST}}}
mesh: {dataplane: sidecar}
load: [{to: front, rate: 1/s}]
""")
)
TO_FRONT = TOPOLOGY.routes.index(("client", "front", ""))
TO_ADD = TOPOLOGY.routes.index(("front", "cart", "add"))
FRONT, CART_1 = ([label for _, _, label in TOPOLOGY.labels].index(name) for name in ("front/0", "cart/1"))
HIGH = (1 << 64) - 1


def traced() -> Tracer:
    """A call of the client's, and of one of front's the second attempt and its server span."""
    tracer, request = Tracer(), Request(-1, HIGH, 0.0, 0, True)
    request.half = 0xAB
    add = tracer.add
    add(CALL_SPAN, request, 1, 0, TO_FRONT, -1, 2, 0, False, 0.5, 2.0, 503, add_flag(URX, UF))
    add(ATTEMPT_SPAN, request, HIGH, 1, TO_ADD, CART_1, 1, 1, True, 0.75, 1.5, 0, 0)
    add(SERVER_SPAN, request, 3, HIGH, 1, CART_1, 1, 1, True, 1.0, float("nan"), -1, 0)
    add(SERVER_SPAN, request, 4, 5, 0, FRONT, 0, 0, False, 1.0, 1.25, 200, 0)
    return tracer


def test_numbers_become_words() -> None:
    call, attempt, cart, front = span_rows(span_table(Spans.of(traced()), TOPOLOGY))
    trace = f"{0xAB:016x}" + "f" * 16
    assert call == {
        "trace_id": trace, "span_id": f"{1:016x}", "parent_id": "", "kind": "call", "service": "client",
        "peer": "front", "replica": "", "endpoint": "", "name": "client -> front", "start": 0.5, "end": 2.0,
        "status": 503, "flag": "URX,UF", "attempt": 2, "attempt_kind": "first", "extra": False,
    }  # fmt: skip
    assert attempt == {
        "trace_id": trace, "span_id": "f" * 16, "parent_id": f"{1:016x}", "kind": "attempt",
        "service": "front", "peer": "cart", "replica": "cart/1", "endpoint": "add", "name": "front -> cart",
        "start": 0.75, "end": 1.5, "status": 0, "flag": "", "attempt": 1, "attempt_kind": "retry",
        "extra": True,
    }  # fmt: skip
    assert np.isnan(cart.pop("end"))
    assert cart == {
        "trace_id": trace, "span_id": f"{3:016x}", "parent_id": "f" * 16, "kind": "server",
        "service": "cart", "peer": "", "replica": "cart/1", "endpoint": "add", "name": "cart",
        "start": 1.0, "status": -1, "flag": "", "attempt": 1, "attempt_kind": "retry", "extra": True,
    }  # fmt: skip
    assert (front["service"], front["replica"], front["endpoint"], front["name"]) == (
        "front", "front/0", "", "front",
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 5 * SPANS])
def test_a_table_has_its_types_however_long_and_keeps_nothing_of_the_tracer(count: int) -> None:
    tracer, request = Tracer(), Request(-1, 7, 0.0, 0, True)
    for number in range(count):
        tracer.add(CALL_SPAN, request, number + 1, 0, TO_FRONT, -1, 1, 0, False, 0.0, 1.0, 200, 0)
    table = span_table(Spans.of(tracer), TOPOLOGY)
    assert list(table) == list(COLUMNS)
    for name, kind in COLUMNS.items():
        assert (len(table[name]), table[name].dtype.kind) == (count, np.dtype(kind).kind), name
        assert table[name].base is None
    tracer.add(CALL_SPAN, request, 1, 0, TO_FRONT, -1, 1, 0, False, 0.0, 1.0, 200, 0)
    assert len(table["span_id"]) == count
