"""The access rules of each service, from the configuration to what its sidecars ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from meshsim.policies.access import AccessPolicy, Asked, Rule, matches
from meshsim.scenario.access import AccessRule
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

FIELDS = (("callers", "principal"), ("endpoints", "endpoint"), ("methods", "method"), ("paths", "path"))
"""Fields of a rule, each with one of its name and ``not_``, and what of a request they look at."""


def access_policy(scenario: Scenario, service: str) -> AccessPolicy:
    """What the sidecars of a service ask; without any, they ask nothing."""
    config = scenario.services[service]
    rules = [
        Rule(number, rule.denies, tuple(_fields(rule)))
        for number, rule in enumerate(scenario.access)
        if scenario.has_sidecar(service) and about(rule, service)
    ]
    return AccessPolicy(rules, {config.address(endpoint): endpoint for endpoint in config.endpoints})


def about(rule: AccessRule, service: str) -> bool:
    """Whether a rule names a service."""
    return any(matches(pattern, service) for pattern in rule.match.to)


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
    """What sidecars ask, by service, of the rules that were asked for last: replicas share it."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._known: dict[str, tuple[Scenario, Guard]] = {}

    def of(self, scenario: Scenario, service: str) -> Guard:
        """That of a service."""
        known = self._known.get(service)
        if known is None or known[0] is not scenario:
            policy = access_policy(scenario, service)
            guard = Guard(policy, frozenset(self._denied(scenario, service, policy)))
            known = self._known[service] = (scenario, guard)
        return known[1]

    def _denied(self, scenario: Scenario, service: str, policy: AccessPolicy) -> Iterator[int]:
        for number, (caller, callee, endpoint) in enumerate(self.topology.routes if policy.rules else ()):
            if callee == service:
                page = scenario.services[service].address(endpoint)
                for secured, principal in enumerate(("", caller)):
                    if not policy.decide(principal, *page).allowed:
                        yield 2 * number + secured
