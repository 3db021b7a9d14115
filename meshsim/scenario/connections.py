"""What a valid scenario says of connections that is more often a mistake (:mod:`meshsim.scenario.advice`)."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from meshsim.policies.outcome import RESET
from meshsim.scenario import mechanisms
from meshsim.scenario.model import ZERO, ConstantTime, Policy, Scenario
from meshsim.scenario.policy import Connection
from meshsim.units import show_duration


def retries_after(policy: Policy, status: int, cause: int) -> bool:
    """Whether a policy retries what ends so (:mod:`meshsim.policies.outcome`)."""
    rule = mechanisms.retry_rule(policy)
    return rule is not None and rule.retriable(status, cause, 0.0)


def advise_connections(scenario: Scenario) -> list[str]:
    """A sentence for each thing that does harm, or nothing, each once."""
    found = [each for edge in scenario.edges() for each in _of_edge(scenario, *edge)]
    return list(dict.fromkeys([*_written(scenario), *found]))


def _written(scenario: Scenario) -> Iterator[str]:
    """Of each policy and service as it is written."""
    timeless = all(scenario.link(*edge).connect == ZERO for edge in scenario.edges())
    for name, policy in scenario.policies.items():
        given = policy.connection or Connection()
        for key in ("idle_timeout", "max_age"):
            if getattr(given, key) >= scenario.duration:
                yield f"policies.{name}.connection.{key} has no effect: it is not shorter than duration."
        if timeless and given.connect_timeout:
            why = "connections open in no time (write links.default.connect)"
            yield f"policies.{name}.connection.connect_timeout has no effect: {why}."
    for name, service in scenario.services.items():
        kept = [work.keep_alive for work in service.deployments().values() if work.keep_alive]
        if kept and min(kept) >= scenario.duration:
            yield f"services.{name}.keep_alive has no effect: it is not shorter than duration."


def _of_edge(scenario: Scenario, caller: str, service: str) -> Iterator[str]:
    edge = f"{caller} -> {service}"
    link, policy = scenario.link(caller, service), scenario.policy(caller, service)
    settings = policy.connection or Connection()

    def key(name: str) -> str:
        own = edge in scenario.policies and name in scenario.policies[edge].model_fields_set
        return f"policies.{edge if own else service}.{name}"

    limit, connect = settings.connect_timeout, link.connect
    if isinstance(connect, ConstantTime) and 0.0 < limit <= connect.constant:
        name = edge if edge in scenario.links else "default"
        least = f"links.{name}.connect {show_duration(connect.constant)}"
        limited = f"{key('connection')}.connect_timeout {show_duration(limit)}"
        yield f"{limited} is not above {least}: no connection ever opens."
    works = scenario.services[service].deployments().values()
    kept = [work.keep_alive for work in works if 0.0 < work.keep_alive < scenario.duration]
    way = 2.0 * link.latency.build().mean
    closes = min(settings.idle_timeout or inf, settings.max_age or inf)
    if not kept or settings.max_requests == 1 or closes <= min(kept) - way:
        return
    if way == 0.0:
        name = edge if edge in scenario.links else "default"
        why = f"without latency none is on its way when the server closes (write links.{name}.latency)"
        yield f"services.{service}.keep_alive fails no request of {caller} when simulated: {why}."
        return
    on = set(policy.retries.on) if policy.retries and policy.retries.attempts else set()
    retried = on != set() and retries_after(policy, 503, RESET)
    server = f"services.{service}.keep_alive {show_duration(min(kept))}"
    harm = "the server closes first, and a request that is then on its way fails with 503 UC"
    harm = f"{harm}, and is retried" if retried else harm
    if settings.idle_timeout:
        caller_ = f"{key('connection')}.idle_timeout {show_duration(settings.idle_timeout)}"
        remedy = "make it less" if retried else "make it less, or retry on reset"
        yield f"{caller_} is not below {server} by two latencies: {harm} ({remedy})."
    else:
        yield f"{server} and no {key('connection')}.idle_timeout: {harm} (write one below it)."
    if "reset-before-request" in on and not retried:
        why = "what meets a closing connection has been sent"
        yield f"{key('retries')}.on reset-before-request does not retry that: {why} (write reset)."
