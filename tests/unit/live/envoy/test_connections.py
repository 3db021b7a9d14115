"""What an Envoy's statistics say of connections: openings, failures, and why they ended."""

from __future__ import annotations

from typing import Any, cast

from meshsim.live.envoy.connections import (
    PLAINTEXT,
    UNTRUSTED,
    ConnectionCounts,
    Reading,
    counts,
    inward,
    without_rejected,
)
from meshsim.live.envoy.process import Envoy
from meshsim.live.launcher import TickClock
from meshsim.mesh.connection import COUNTED, OPENED
from meshsim.scenario import loads
from meshsim.scenario.topology import Topology


def found(**stats: int) -> dict[str, int]:
    """What is not 0, of two clusters of a service."""
    named = {f"cluster.cart/v1.upstream_cx_{name}": value for name, value in stats.items()}
    numbers = counts({**named, "cluster.cart.upstream_cx_total": 0})
    return {name: number for name, number in zip(COUNTED, numbers, strict=True) if number}


def test_a_refused_connection_has_failed_and_was_not_closed_by_the_server() -> None:
    """Measured on 1.40: the other side has ended it, but not one that timed out."""
    assert found(total=2, connect_fail=2, destroy=2, destroy_remote=2) == {"failed": 2}
    assert found(total=4, connect_fail=4, connect_timeout=4, destroy_local=4) == {"failed": 4}


def test_ends_have_their_reasons() -> None:
    assert found(total=3, destroy_local=2, max_requests=2) == {"opened": 3, "max_requests": 2}
    assert found(total=1, destroy_local=1, idle_timeout=1) == {"opened": 1, "idle_timeout": 1}
    assert found(total=1, destroy_local=1, max_duration_reached=1) == {"opened": 1, "max_age": 1}


def test_the_server_closes_an_idle_connection_and_breaks_a_busy_one() -> None:
    assert found(total=31, destroy_remote=30) == {"opened": 31, "server": 30}
    raced = {"destroy_remote": 30, "destroy_remote_with_active_rq": 30, "destroy_with_active_rq": 30}
    assert found(total=31, **raced) == {"opened": 31, "broken": 30}


class Opening:
    """In place of an Envoy: it opens ten connections a second."""

    def __init__(self) -> None:
        self.proxy = cast(Any, self)
        self.caller, self.upstreams, self.listeners = "client", ["cart"], ["outbound"]
        self.now = 0.0
        self.stuck = False

    def stats(self, pattern: str) -> dict[str, int]:
        if self.stuck:
            raise TimeoutError
        return {"cluster.cart.upstream_cx_total": round(10 * self.now)}


def test_what_opens_before_the_warm_up_ends_is_not_measured_and_what_opens_until_the_load_ends_is() -> None:
    scenario = loads(
        "{name: x, duration: 4.5s, warmup: 1.3s, services: {cart: {}}, load: [{to: cart, rate: 1/s}],"
        " policies: {cart: {connection: {max_requests: 1}}}}"
    )
    envoy, clock = Opening(), TickClock()
    read = ConnectionCounts(cast(Envoy, envoy), Topology(scenario))
    Reading(clock, [read], scenario)
    for tick in range(60):
        envoy.now = tick / 10
        clock.advance(envoy.now)
    read.read(6.0)
    times = [time for time, _, what in read.rows if what == OPENED]
    assert [sum(time < 1.3 for time in times), sum(1.3 <= time < 4.5 for time in times)] == [13, 32]


def test_an_envoy_that_does_not_answer_is_asked_again() -> None:
    scenario = loads(
        "{name: x, duration: 9s, services: {cart: {keep_alive: 1s}}, load: [{to: cart, rate: 1/s}]}"
    )
    envoy = Opening()
    read = ConnectionCounts(cast(Envoy, envoy), Topology(scenario))
    for second in range(1, 5):
        envoy.now, envoy.stuck = float(second), second == 2
        read.read(envoy.now)
    assert [sum(time == when for time, _, _ in read.rows) for when in (0.0, 1.0, 2.0, 3.0)] == [10, 20, 0, 10]


def test_a_handshake_that_the_upstream_then_rejects_is_not_secured() -> None:
    assert found(total=2, connect_fail=1)["failed"] == 1
    shaken = {"cluster.cart.upstream_cx_total": 3, "cluster.cart.upstream_cx_connect_fail": 1}
    shaken |= {"cluster.cart.ssl.handshake": 2, "cluster.cart.ssl.fail_verify_san": 1}
    counted = dict(zip(COUNTED, counts(shaken), strict=True))
    assert (counted["opened"], counted["secured"], counted["untrusted"]) == (2, 2, 1)
    secured, rejected = COUNTED.index("secured"), COUNTED.index("rejected")
    caller, callee = (ConnectionCounts(cast(Envoy, Opening()), Topology(ONE)) for _ in range(2))
    caller.rows = [(1.0, 0, OPENED), (1.0, 0, secured), (2.0, 0, secured)]
    callee.rows = [(2.0, 0, rejected)]
    without_rejected([caller, callee])
    assert caller.rows == [(1.0, 0, OPENED), (1.0, 0, secured)]
    assert callee.rows == [(2.0, 0, rejected)]


def test_what_an_upstream_rejects_is_put_down_to_the_one_edge_that_it_can_be() -> None:
    topology = Topology(SECURED)
    number = topology.number_of
    assert inward(topology, "cart") == {number["old", "cart"]: PLAINTEXT, number["shop", "cart"]: UNTRUSTED}
    assert inward(topology, "shop") == {number["client", "shop"]: UNTRUSTED}


SECURED = loads(
    "{name: x, duration: 4s, services: {shop: {script: [{call: cart}]}, cart: {}, old: {sidecar: false,"
    " script: [{call: cart}]}}, mesh: {dataplane: sidecar, mtls: {mode: strict}},"
    " load: [{to: shop, rate: 1/s}, {to: old, rate: 1/s}]}"
)

ONE = loads("{name: x, duration: 4s, services: {cart: {}}, load: [{to: cart, rate: 1/s}]}")
