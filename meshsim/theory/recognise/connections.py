"""How long an attempt waits for its connection: where that is known, a constant time.

With `max_requests: 1` every attempt has a connection opened for it alone. If each takes the same time to
open, they are open in the order in which they began, and serve the attempts in the same order: each waits for
its own. So every attempt begins a constant time later, and whatever was a Poisson process still is one. Where
connections are used again, an attempt waits for one or not by what came before it: no formula here says how
often. An attempt that leaves while its connection opens leaves one to another attempt, which is the same.

Source:
    The model page (docs/background/model.md), *Connections*. Kingman, Poisson Processes (1993), ch. 5.
"""

from __future__ import annotations

from math import inf

from meshsim.scenario.model import CLIENT, ZERO
from meshsim.scenario.times import ConstantTime
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.structure import Structure, UnsolvedError
from meshsim.units import UNLIMITED


def connecting(structure: Structure, caller: str, service: str) -> float:
    """How long every attempt of an edge waits for its connection, s; 0 where they open in no time.

    Raises:
        UnsolvedError: it is not the same for all.
    """
    connect = structure.scenario.link(caller, service).connect
    if connect == ZERO:
        return 0.0
    reason = _reason(structure, caller, service)
    if not isinstance(connect, ConstantTime):
        reason = "connections take random times to open: the first that is open serves who waited longest"
    if reason:
        raise UnsolvedError(f"{caller} -> {service}: {reason}")
    return connect.build().mean


def _reason(structure: Structure, caller: str, service: str) -> str:
    """Why attempts have no connections of their own, or do not wait for them; empty if they do."""
    time = structure.scenario.link(caller, service).connect.build().mean
    policy = structure.policy(caller, service)
    connection, breaker = policy.connection, policy.circuit_breaker
    if connection is None or connection.max_requests > 1:
        return "connections are used again, so that a request's latency depends on the traffic before it"
    if (connection.connect_timeout or inf) <= time:
        return "no connection opens within its connect_timeout"
    if min(breaker.max_connections, breaker.max_pending, breaker.max_requests) < UNLIMITED:
        return "the breaker counts connections that are being opened, which no formula here follows"
    leaves = policy.hedge or 0.0 < policy.timeout <= time or (policy.timeout > 0.0 and policy.retries)
    if leaves or (caller != CLIENT and caller in abandoned(structure)):
        return "an attempt may leave while its connection opens, which then serves another"
    return ""
