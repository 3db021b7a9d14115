"""The access rules of each service, from the configuration to what its sidecars ask."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from meshsim.policies.access import AccessPolicy, Asked, Rule, matches
from meshsim.scenario.access import AccessRule
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

FIELDS = (("callers", "principal"), ("endpoints", "endpoint"), ("methods", "method"), ("paths", "path"))
"""Fields of a rule, each with one of its name and ``not_``, and what of a request they look at."""


def access_policies(scenario: Scenario) -> dict[str, AccessPolicy]:
    """What sidecars ask, by service: of those that a rule names, and that have any."""
    rules: dict[str, list[Rule]] = {}
    for number, rule in enumerate(scenario.access):
        asked = Rule(number, rule.denies, tuple(_fields(rule)))
        for service in named(rule, scenario.services):
            if scenario.has_sidecar(service):
                rules.setdefault(service, []).append(asked)
    return {service: AccessPolicy(some, _endpoints(scenario, service)) for service, some in rules.items()}


def _endpoints(scenario: Scenario, service: str) -> dict[tuple[str, str], str]:
    config = scenario.services[service]
    return {config.address(endpoint): endpoint for endpoint in config.endpoints}


def named(rule: AccessRule, services: Collection[str]) -> list[str]:
    """The services that a rule names."""
    found: dict[str, None] = {}
    for pattern in rule.match.to:
        if "*" in pattern:
            found |= dict.fromkeys(name for name in services if matches(pattern, name))
        elif pattern in services:
            found[pattern] = None
    return [*found]


def _fields(rule: AccessRule) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    for field, looked_at in FIELDS:
        for name, wanted in ((field, True), (f"not_{field}", False)):
            patterns = getattr(rule.match, name)
            if patterns is not None:
                yield Asked._fields.index(looked_at), patterns, wanted


class Guard(NamedTuple):
    """The policy of a service, and the visits that it denies.

    A number of a route to the service is there twice: 2n, and 2n + 1 for visits on secured connections.
    """

    policy: AccessPolicy
    denied: frozenset[int]


class Guards:
    """What sidecars ask, by service, at the start and after each push: replicas share it."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._stages: dict[int, tuple[Scenario, dict[str, AccessPolicy], dict[str, Guard]]] = {}

    def of(self, scenario: Scenario, service: str) -> Guard | None:
        """That of a service; None where it asks nothing."""
        if id(scenario) not in self._stages:  # which lives as long as this: it is kept here
            self._stages[id(scenario)] = scenario, access_policies(scenario), {}
        _, policies, known = self._stages[id(scenario)]
        if service in policies and service not in known:
            policy = policies[service]
            known[service] = Guard(policy, frozenset(self._denied(scenario, service, policy)))
        return known.get(service)

    def _denied(self, scenario: Scenario, service: str, policy: AccessPolicy) -> Iterator[int]:
        for number, (caller, callee, endpoint) in enumerate(self.topology.routes):
            if callee == service:
                page = scenario.services[service].address(endpoint)
                for secured, principal in enumerate(("", caller)):
                    if not policy.decide(principal, *page).allowed:
                        yield 2 * number + secured
