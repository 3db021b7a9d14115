"""What the client's proxy refuses by itself: rate limits, and circuit breakers in front of unlimited workers.

Sources:
    Berger 1991 (:mod:`meshsim.theory.bucket`). Erlang 1917: a gauge of K requests in flight is a loss system
    of K servers, whatever the law of a call's time.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf, isfinite

from meshsim.scenario.model import CLIENT, Load, Policy
from meshsim.theory.bucket import bucket_refused
from meshsim.theory.erlang import erlang_b
from meshsim.theory.recognise.flows import Flows, process_of
from meshsim.theory.recognise.law import ShapeUnknownError
from meshsim.theory.recognise.responses import Edge, Responses
from meshsim.theory.recognise.structure import Structure, Target, UnsolvedError
from meshsim.theory.recognise.understood import LOSS_SYSTEM, unknown
from meshsim.units import UNLIMITED

BURST_MAX = 2_000
FAR = 20.0
"""A bucket too large for its chain is never empty, or never full, if it is so far from its own rate."""

RARE = 1e-3
"""A breaker whose limit fewer calls than this share find reached is left out of the calculation."""


def rate_limits(structure: Structure) -> tuple[dict[Edge, float], list[str]]:
    """The share each of the client's rate limits refuses, and what is not exact about it."""
    shares: dict[Edge, float] = {}
    reasons = []
    for name, targets in _buckets(structure).items():
        limit = structure.policy(CLIENT, targets[0]).rate_limit
        if limit is None:
            continue
        edge, (loads, lam) = f"{CLIENT} -> {name}", _arriving(structure, targets)
        poisson = all(process_of(load) == "poisson" for load in loads)
        if poisson and limit.burst <= BURST_MAX:
            refused = bucket_refused(lam, limit.rate, limit.burst) if lam else 0.0
        else:
            refused = max(0.0, 1.0 - limit.rate / lam) if lam else 0.0
            if poisson:
                if abs(1.0 - lam / limit.rate) * limit.burst < FAR:
                    reasons.append(f"{edge}: the load is near the rate of a very large bucket")
            elif len(loads) > 1 or process_of(loads[0]) != "constant" or lam < structure.offered(loads[0]):
                reasons.append(f"{edge}: the rate limit is solved for Poisson or constant arrivals only")
        shares |= dict.fromkeys(((CLIENT, target) for target in targets), refused)
    return shares, reasons


def _buckets(structure: Structure) -> dict[Target, list[Target]]:
    """What the client asks for by bucket: an endpoint may have its own, the others have the service's."""
    found: dict[Target, list[Target]] = {}
    for target in dict.fromkeys(entry.target for entry in structure.entries):
        service, _, endpoint = target.partition("/")
        own = structure.scenario.limits_itself(CLIENT, service, endpoint)
        found.setdefault(target if own else service, []).append(target)
    return found


def _arriving(structure: Structure, targets: Collection[Target]) -> tuple[list[Load], float]:
    """The loads that ask for any of some targets, and how many such requests a second no fault aborts."""
    entries = [entry for entry in structure.entries if entry.target in targets]
    rate = 0.0
    for entry in entries:
        abort = structure.policy(CLIENT, entry.target).fault.abort
        rate += entry.share * structure.offered(entry.load) * (1.0 - (abort.percent if abort else 0.0))
    return [entry.load for entry in entries], rate


def breakers(structure: Structure, responses: Responses) -> tuple[dict[Edge, float], list[str]]:
    """The share each circuit breaker refuses, where it can be known, and what is not exact."""
    shares: dict[Edge, float] = {}
    reasons = []
    for caller, service in structure.edges:
        policy = structure.policy(caller, service)
        if not limits(policy):
            continue
        asked = [target for _, target in structure.shared(caller, service)]
        poisson = all(process_of(load) == "poisson" for load in _arriving(structure, asked)[0])
        if caller == CLIENT and poisson and all(_loss_system(structure, target) for target in asked):
            rates = {target: _arriving(structure, [target])[1] for target in asked}
            calls = sum(rate * responses.routed_mean(caller, target) for target, rate in rates.items())
            shares[caller, service] = erlang_b(policy.circuit_breaker.max_requests, calls)
        else:
            reason = "the breaker ties refusals to the load; solved as if it never acted"
            reasons.append(f"{caller} -> {service}: {reason}")
    return shares, reasons


def within_reach(structure: Structure, responses: Responses, flows: Flows) -> None:
    """Refuses breakers that are not solved, unless there is room for all that is in flight.

    The number of calls that one caller has in flight is calculated without the breaker, by Little's law, and
    taken to be geometric, as at an M/M/1: with more workers, or unlimited ones, fewer calls get so far.

    Raises:
        UnsolvedError: a limit is in reach; what passes then depends on it, and no formula says how.
    """
    for caller, service in structure.edges:
        policy = structure.policy(caller, service)
        if not limits(policy) or (caller, service) in responses.blocked:
            continue
        try:
            shared = structure.shared(caller, service)
            mean = sum(flows.calls[edge] * responses.routed_mean(*edge) for edge in shared)
        except ShapeUnknownError:
            mean = inf
        mean /= structure.instances(caller)
        least = least_limit(policy)
        if not isfinite(mean) or (mean / (1.0 + mean)) ** least > RARE:
            about = f"{mean:.3g}" if isfinite(mean) else "an unknown number of"
            raise UnsolvedError(
                f"{caller} -> {service}: {about} calls are in flight on average, so the breaker's limit of"
                f" {least} is in reach; the breaker ties refusals to the load, which no formula here follows"
            )


def limits(policy: Policy) -> bool:
    """Whether a circuit breaker limits requests, connections or pending ones."""
    breaker = policy.circuit_breaker
    return min(breaker.max_connections, breaker.max_pending, breaker.max_requests) < UNLIMITED


def least_limit(policy: Policy) -> int:
    """How many calls a breaker lets act at once before it keeps or refuses any."""
    return min(policy.circuit_breaker.max_connections, policy.circuit_breaker.max_requests)


def _loss_system(structure: Structure, service: str) -> bool:
    """Whether the client's breaker only counts requests in flight whose time does not depend on the load."""
    some = structure.policy(CLIENT, service).circuit_breaker.max_requests > 0
    alone = not unknown(LOSS_SYSTEM, structure.policy_keys(CLIENT, service))
    return some and alone and structure.visits[service] == 0
