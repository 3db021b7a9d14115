"""What an Envoy's statistics say of connections: openings, failures, and why they ended."""

from __future__ import annotations

from meshsim.live.envoy.connections import counts
from meshsim.mesh.connection import COUNTED


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
