"""The fewest permissions that a scenario's calls need, as access rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from meshsim.scenario.access import AccessRule
from meshsim.scenario.mesh import Mtls
from meshsim.scenario.model import Scenario
from meshsim.scenario.permissions import Stage, stages

Rule = dict[str, Any]


def with_identities(scenario: Scenario) -> Scenario:
    """The scenario itself, or where it has no mTLS, the same with sidecars and mTLS: rules name callers."""
    if scenario.mesh.mtls is not None:
        return scenario
    mesh = scenario.mesh.model_copy(update={"dataplane": "sidecar", "mtls": Mtls.model_validate({})})
    return scenario.model_copy(update={"mesh": mesh})


def least_rules(scenario: Scenario) -> list[Rule]:
    """Rules that allow the calls of a scenario with mTLS, at every time, and no others, as in a file.

    A caller that comes without mTLS at some time can't be named: what it needs is open to everybody who
    comes so (`not_from: ["*"]`). A service without sidecar asks no rules, and has none here.
    """
    needs: dict[str, dict[str, set[str]]] = {name: {} for name in scenario.services}
    every = [stage.scenario for stage in stages(scenario)]
    for caller, service, endpoint in scenario.calls():
        for principal in sorted({stage.identity(caller, service) for stage in every}, reverse=True):
            needs[service].setdefault(principal, set()).add(endpoint)
    found: list[Rule] = []
    for service, callers in needs.items():
        if scenario.has_sidecar(service):
            found += _rules(scenario, service, callers)
    return found


def _rules(scenario: Scenario, service: str, callers: dict[str, set[str]]) -> Iterable[Rule]:
    """Those of one service: callers who need the same share one."""
    if not callers:
        return [{"allow": {"to": service, "from": []}}]
    endpoints = [*scenario.services[service].endpoints]
    alike: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for principal, named in callers.items():
        wanted = tuple(name for name in endpoints if name in named)
        if wanted or not endpoints:
            alike.setdefault((principal != "", wanted), []).append(principal)
        if endpoints and "" in named:
            alike.setdefault((principal != "", ("",)), []).append(principal)
    return [
        {"allow": {"to": service, **_who(known, who), **_what(what)}} for (known, what), who in alike.items()
    ]


def _who(known: bool, principals: list[str]) -> dict[str, Any]:
    return {"from": principals} if known else {"not_from": ["*"]}


def _what(endpoints: tuple[str, ...]) -> dict[str, Any]:
    if endpoints == ("",):
        return {"methods": ["GET"], "paths": ["/"]}
    return {"endpoints": [*endpoints]} if endpoints else {}


def under(stage: Stage, rules: list[Rule]) -> Scenario:
    """A stage with other rules in force."""
    access = tuple(AccessRule.model_validate(rule) for rule in rules)
    return stage.scenario.model_copy(update={"access": access})
