"""What stands in the way of an exact solution, found before anything is computed."""

from __future__ import annotations

from meshsim.scenario.model import CLIENT, Policy, Scenario
from meshsim.theory.recognise.structure import Structure
from meshsim.units import UNLIMITED


def product_form(structure: Structure) -> str:
    """What keeps a scenario's stations from being a network with product form; empty if nothing does.

    Source: Jackson 1957; Kelly, Reversibility and Stochastic Networks (1979), ch. 3: fixed random routes and
    one exponential law a station.
    """
    for station in structure.stations.values():
        if not station.quasi_reversible:
            return (
                f"{station.name} does not serve exponentially, with room for all and nothing held meanwhile"
            )
        if structure.prioritised(station):
            return f"{station.name} serves by priority"
    for caller, service in _edges_to_queues(structure):
        policy = structure.policy(caller, service)
        hosts = max(
            structure.hosts(caller, service, version) for version in structure.shares(caller, service)
        )
        if hosts > 1 and policy.balance.kind != "random":
            return f"{service} has several replicas and is not balanced at random"
        if policy.rate_limit is not None or limits(policy):
            return f"{caller} -> {service} has a rate limit or a circuit breaker"
        if structure.timed(caller, service) and (caller != CLIENT or policy.retries or policy.hedge):
            return f"{caller} -> {service} has a time-out or a hedge"
    if any(queues for _, queues in structure.forks):
        return "calls at the same time pass queues"
    return ""


def _edges_to_queues(structure: Structure) -> list[tuple[str, str]]:
    edges = [edge for edge in structure.scenario.edges() if edge[1] in structure.used]
    return [(caller, service) for caller, service in edges if structure.visits[service]]


def limits(policy: Policy) -> bool:
    """Whether a circuit breaker limits requests, connections or pending ones."""
    breaker = policy.circuit_breaker
    return min(breaker.max_connections, breaker.max_pending, breaker.max_requests) < UNLIMITED


def unfollowed(scenario: Scenario, structure: Structure) -> list[str]:
    """Mechanisms that are left out of the calculation, as if they never acted: nothing is exact then."""
    found = []
    for caller, service in scenario.edges():
        if service not in structure.used:
            continue
        edge, policy = f"{caller} -> {service}", structure.policy(caller, service)
        tries = policy.retries is not None or policy.hedge is not None
        if tries and policy.circuit_breaker.max_retries < UNLIMITED:
            found.append(f"{edge}: max_retries ties retries to the load; solved as if it never acted")
        if policy.retries is not None and policy.retries.budget is not None:
            found.append(f"{edge}: the retry budget ties retries to the load; solved as if it never acted")
        if policy.outlier_detection is not None and _may_fail(scenario, structure, caller, service):
            found.append(f"{edge}: outlier detection ejects hosts that fail; solved as if it never did")
        if policy.rate_limit is not None and caller != CLIENT:
            found.append(f"{edge}: the rate limit of a service's own proxies; solved as if it never acted")
        uneven = not policy.split and not structure.alike(service)
        if uneven and policy.balance.kind == "least_request":
            found.append(
                f"{edge}: least_request over unequal replicas; solved as if each got its equal share"
            )
        if uneven and policy.balance.kind == "round_robin" and tries:
            found.append(f"{edge}: a retry goes to the next host, not to any; solved as if to any")
    return found


def _may_fail(scenario: Scenario, structure: Structure, caller: str, service: str) -> bool:
    """Whether an attempt can end with a status of 500 or more."""
    policy = structure.policy(caller, service)
    if policy.timeout > 0.0 or (policy.retries and policy.retries.per_try_timeout > 0.0):
        return True
    for deployment in structure.deployments[service].values():
        if deployment.errors > 0.0 or deployment.queue < UNLIMITED or deployment.script:
            return True
    return scenario.link(caller, service).loss > 0.0


def abandoned(structure: Structure) -> dict[str, str]:
    """Services whose work may be cut short because a caller gave up, and by whom.

    Where it is not (``finish``), a time-out changes nothing behind it.
    """
    found: dict[str, str] = {}
    for caller, service in structure.scenario.edges():
        policy = structure.policy(caller, service)
        per_try = policy.retries.per_try_timeout if policy.retries else 0.0
        gives_up = policy.timeout > 0.0 or per_try > 0.0 or policy.hedge is not None
        for deployment in structure.deployments[service].values() if gives_up else ():
            queueless = deployment.workers >= UNLIMITED and structure.scenario.mesh.proxy.workers >= UNLIMITED
            if deployment.when_abandoned == "stop" or (
                deployment.when_abandoned == "leave_queue" and not queueless
            ):
                found[service] = f"{caller} -> {service}"
    for service in structure.order:  # and what it has called meanwhile
        for _, callee in structure.graph.out_edges(service):
            if service in found and callee not in found:
                found[callee] = found[service]
    return {service: edge for service, edge in found.items() if service in structure.used}
