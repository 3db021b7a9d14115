"""What the client's proxy refuses by itself: rate limits, and circuit breakers in front of unlimited workers.

Sources:
    Berger 1991 (:mod:`meshsim.theory.bucket`). Erlang 1917: a gauge of K requests in flight is a loss system
    of K servers, whatever the law of a call's time.
"""

from __future__ import annotations

from meshsim.scenario.model import CLIENT, Load, Policy
from meshsim.theory.bucket import bucket_refused
from meshsim.theory.erlang import erlang_b
from meshsim.theory.recognise.obstacles import limits
from meshsim.theory.recognise.responses import Edge, Responses
from meshsim.theory.recognise.structure import Structure
from meshsim.units import UNLIMITED


def rate_limits(structure: Structure) -> tuple[dict[Edge, float], list[str]]:
    """The share each of the client's rate limits refuses, and what is not exact about it."""
    shares: dict[Edge, float] = {}
    reasons = []
    for service in dict.fromkeys(load.to for load in structure.scenario.load):
        policy = structure.policy(CLIENT, service)
        if policy.rate_limit is None:
            continue
        loads = [load for load in structure.scenario.load if load.to == service]
        passed = 1.0 - (policy.fault.abort.percent if policy.fault.abort else 0.0)
        lam = sum(structure.offered(load) for load in loads) * passed
        limit = policy.rate_limit
        if all(_steady(load, "poisson") for load in loads):
            shares[CLIENT, service] = bucket_refused(lam, limit.rate, limit.burst) if lam else 0.0
            continue
        shares[CLIENT, service] = max(0.0, 1.0 - limit.rate / lam) if lam else 0.0
        if len(loads) > 1 or not _steady(loads[0], "constant") or passed < 1.0:
            reasons.append(
                f"{CLIENT} -> {service}: the rate limit is solved for Poisson or constant arrivals only"
            )
    return shares, reasons


def breakers(structure: Structure, responses: Responses) -> tuple[dict[Edge, float], list[str]]:
    """The share each circuit breaker refuses, where it can be known, and what is not exact."""
    shares: dict[Edge, float] = {}
    reasons = []
    for caller, service in structure.scenario.edges():
        policy = structure.policy(caller, service)
        if service not in structure.used or not limits(policy):
            continue
        loads = [load for load in structure.scenario.load if load.to == service]
        if (
            caller == CLIENT
            and _loss_system(structure, policy, service)
            and all(_steady(x, "poisson") for x in loads)
        ):
            lam = sum(structure.offered(load) for load in loads)
            lam *= 1.0 - (policy.fault.abort.percent if policy.fault.abort else 0.0)
            shares[caller, service] = erlang_b(
                policy.circuit_breaker.max_requests, lam * responses.routed_mean(caller, service)
            )
        else:
            reasons.append(
                f"{caller} -> {service}: the breaker ties refusals to the load; solved as if it never acted"
            )
    return shares, reasons


def _loss_system(structure: Structure, policy: Policy, service: str) -> bool:
    """Whether a breaker only counts requests in flight whose time does not depend on the load."""
    breaker = policy.circuit_breaker
    only = breaker.max_pending >= UNLIMITED and breaker.max_connections >= UNLIMITED
    single = (
        policy.retries is None and policy.hedge is None and policy.rate_limit is None and not policy.split
    )
    return only and single and breaker.max_requests > 0 and structure.visits[service] == 0


def _steady(load: Load, kind: str) -> bool:
    return load.users is None and load.arrivals.kind == kind and not load.profile
