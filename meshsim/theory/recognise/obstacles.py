"""What prevents an exact solution, found before anything is computed."""

from __future__ import annotations

from meshsim.scenario.model import CLIENT
from meshsim.theory.recognise.structure import Structure, per_try_timeout
from meshsim.theory.recognise.understood import PRODUCT_FORM, unknown
from meshsim.units import UNLIMITED


def product_form(structure: Structure) -> str:
    """What keeps a scenario's stations from being a network with product form; empty if nothing does.

    Source: Jackson 1957; Kelly, Reversibility and Stochastic Networks (1979), ch. 3: fixed random routes and
    one exponential law a station.
    """
    for station in structure.stations.values():
        if not station.quasi_reversible:
            plain = "exponentially, with room for all and nothing held meanwhile"
            return f"{station.name} does not serve {plain}"
        if structure.prioritised(station):
            return f"{station.name} serves by priority"
    for caller, service in structure.edges:
        if not structure.visits[service]:
            continue
        policy = structure.policy(caller, service)
        if not all(
            structure.thins(caller, service, version) for version in structure.shares(caller, service)
        ):
            return f"{service} has several replicas and is not balanced at random"
        beyond = unknown(PRODUCT_FORM, structure.policy_keys(caller, service))
        if beyond:
            return f"{beyond[0]} makes requests depend on each other"
        if structure.cut(caller, service) and (caller != CLIENT or policy.retries):
            return f"{caller} -> {service} has a time-out"
    if any(queues for _, queues in structure.forks):
        return "calls at the same time pass queues"
    return ""


def left_out(structure: Structure) -> list[str]:
    """What is left out of the calculation although it may act: nothing is exact then."""
    found = []
    for caller, service in structure.edges:
        policy = structure.policy(caller, service)
        retries, tries = policy.retries, policy.retries or policy.hedge
        uneven = not policy.split and not structure.alike(service)
        fails = policy.outlier_detection and _may_fail(structure, caller, service)
        budget = retries and retries.budget
        limited = policy.rate_limit and caller != CLIENT
        bounded = tries and policy.circuit_breaker.max_retries < UNLIMITED
        ranked = uneven and policy.balance.kind == "least_request"
        turns = uneven and policy.balance.kind == "round_robin" and tries
        acts = {
            "max_retries ties retries to the load; solved as if it never acted": bounded,
            "the retry budget ties retries to the load; solved as if it never acted": budget,
            "outlier detection ejects hosts that fail; solved as if it never did": fails,
            "the rate limit of a service's own proxies; solved as if it never acted": limited,
            "least_request over unequal replicas; solved as if each got its equal share": ranked,
            "a retry goes to the next host, not to any; solved as if to any": turns,
        }
        found += [f"{caller} -> {service}: {words}" for words, acting in acts.items() if acting]
    return found


def _may_fail(structure: Structure, caller: str, service: str) -> bool:
    """Whether an attempt can end with a status of 500 or more."""
    policy = structure.policy(caller, service)
    if policy.timeout > 0.0 or per_try_timeout(policy) > 0.0:
        return True
    deployments = structure.deployments[service].values()
    fails = any(each.errors > 0.0 or each.queue < UNLIMITED or each.script for each in deployments)
    return fails or structure.link(caller, service).loss > 0.0


def abandoned(structure: Structure) -> dict[str, str]:
    """Services whose work may be cut short because a caller gave up, and by whom.

    Where it is not (``finish``), a time-out changes nothing behind it.
    """
    found: dict[str, str] = {}
    queues = structure.scenario.mesh.proxy.workers < UNLIMITED
    for caller, service in structure.edges:
        for deployment in structure.deployments[service].values() if structure.cut(caller, service) else ():
            leaves = deployment.when_abandoned == "leave_queue" and (queues or deployment.workers < UNLIMITED)
            if deployment.when_abandoned == "stop" or leaves:
                found[service] = f"{caller} -> {service}"
    for service in structure.order:  # and what it has called meanwhile
        for _, callee in structure.graph.out_edges(service):
            if service in found and callee not in found:
                found[callee] = found[service]
    return found
