"""How long an attempt waits for its connection: where that is known, a constant time.

With `max_requests: 1` every attempt has a connection opened for it alone. If each takes the same time to
open, they are open in the order in which they began, and serve the attempts in the same order: each waits for
its own. So every attempt begins a constant time later, and whatever was a Poisson process still is one. Where
connections are used again, an attempt waits for one or not by what came before it: no formula here says how
often. An attempt that leaves while its connection opens leaves it to the next, which then waits for less.

Source:
    The model page (docs/background/model.md), *Connections*. Kingman, Poisson Processes (1993), ch. 5.
"""

from __future__ import annotations

from math import inf

from meshsim.scenario.model import ZERO
from meshsim.scenario.times import ConstantTime
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.security import handshake
from meshsim.theory.recognise.structure import Structure, Target, UnsolvedError
from meshsim.units import UNLIMITED


def connecting(structure: Structure, caller: Target, target: Target) -> float:
    """How long every attempt of an edge waits for its connection, s; 0 where they open in no time.

    Raises:
        UnsolvedError: it is not the same for all.
    """
    connect = structure.link(caller, target).connect
    secured = handshake(structure, caller, target)
    if connect == ZERO and secured == 0.0:
        return 0.0
    lasts = connect.build().mean + secured
    reason = _reason(structure, caller, target, lasts)
    if not isinstance(connect, ConstantTime):
        reason = "connections take random times to open: the first that is open serves who waited longest"
    if reason:
        raise UnsolvedError(f"{caller} -> {target}: {reason}")
    return lasts


def _reason(structure: Structure, caller: Target, target: Target, time: float) -> str:
    """Why attempts have no connections of their own, or do not wait for them; empty if they do."""
    policy = structure.policy(caller, target)
    connection, breaker = policy.connection, policy.circuit_breaker
    if connection is None or connection.max_requests > 1:
        return "connections are used again, so that a request's latency depends on the traffic before it"
    if (connection.connect_timeout or inf) <= time:
        return "no connection opens within its connect_timeout"
    if min(breaker.max_connections, breaker.max_pending, breaker.max_requests) < UNLIMITED:
        return "the breaker counts connections that are being opened, which no formula here follows"
    if any(_leaves(structure, *edge, time) for edge in structure.shared(caller, target)):
        return "an attempt may leave while its connection opens, which then serves another"
    return ""


def _leaves(structure: Structure, caller: Target, target: Target, time: float) -> bool:
    """Whether an attempt may not wait for its connection to open."""
    policy = structure.policy(caller, target)
    limited = policy.timeout > 0.0 and (policy.timeout <= time or policy.retries is not None)
    return limited or policy.hedge is not None or caller in abandoned(structure)
