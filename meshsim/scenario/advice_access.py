"""What access rules and modes say in vain, or against their purpose (:mod:`meshsim.scenario.advice`)."""

from __future__ import annotations

from collections.abc import Iterator

from meshsim.scenario.guards import named
from meshsim.scenario.model import Scenario
from meshsim.scenario.permissions import Permissions, Stage, refused, stages
from meshsim.scenario.spare import UNUSED, spare
from meshsim.units import show_duration


def advise_access(scenario: Scenario) -> list[str]:
    """A sentence for each rule without effect, or that can be got round, and each service that one closes."""
    found: list[str] = []
    denied: set[tuple[str, str, str]] = set()
    for stage in stages(scenario) if scenario.has_rules else ():
        permissions = Permissions(stage.scenario)
        if stage.event == stage.rules:  # its rules are new
            found += _rules(stage, permissions)
        found += _closed(stage, permissions, denied)
        denied = {each[:3] for each in permissions.calls() if not each.decision.allowed}
    return list(dict.fromkeys(found))


def advise_plaintext(scenario: Scenario) -> list[str]:
    """A sentence for each caller without a sidecar whose calls are refused for that."""
    return [
        f"services.{caller}.sidecar: false: {service} takes mTLS alone{_since(since)} and refuses its calls,"
        f" 503 UC (write services.{service}.mtls: permissive, or give {caller} a sidecar)."
        for (caller, service), since in refused(scenario).items()
    ]


def _since(since: float) -> str:
    return f" from {show_duration(since)} on" if since else ""


def _rules(stage: Stage, permissions: Permissions) -> Iterator[str]:
    scenario = stage.scenario
    strangers = set()
    for number, rule in enumerate(scenario.access):
        key = f"{stage.key(number)}.{'deny' if rule.denies else 'allow'}.from"
        services = named(rule, permissions.policies)
        if not rule.match.callers:
            continue
        if scenario.mesh.mtls is None:
            strangers.add(number)
            yield f"{key} matches nobody: without mTLS no caller has an identity (write mesh.mtls)."
            continue
        for service in services:
            for caller in rule.match.callers:
                if (caller, service) in permissions.edges and not scenario.identity(caller, service):
                    why = (
                        "it has no sidecar"
                        if not scenario.has_sidecar(caller)
                        else f"{service} has mtls: disable"
                    )
                    yield f"{key} does not match {caller}: it comes to {service} without mTLS ({why})."
        open_ = [name for name in services if scenario.mode(name) != "strict"]
        if rule.denies and open_:
            yield (
                f"{key} can be got round: {', '.join(open_)} may be called in plaintext, which names nobody"
                " (write mtls: strict, or deny with not_from whom you know)."
            )
    for number, kind, why in spare(permissions):
        if kind != UNUSED and number not in strangers:
            yield f"{stage.key(number)} has no effect: {why}."


def _closed(stage: Stage, permissions: Permissions, before: set[tuple[str, str, str]]) -> Iterator[str]:
    """Services that rules which allow close to calls that the scenario makes."""
    closed: dict[str, list[str]] = {}
    for each in permissions.calls():
        if not each.decision.allowed and each.decision.rule is None and each[:3] not in before:
            name = f"{each.service}/{each.endpoint}".removesuffix("/")
            closed.setdefault(each.service, []).append(f"{each.caller} -> {name}")
    for service, calls in closed.items():
        rules = [rule.number for rule in permissions.policies[service].rules if not rule.denies]
        yield (
            f"{stage.key(rules[0])} closes {service} to all that no rule allows: {', '.join(calls)}"
            " (meshsim access proposes rules for all calls)."
        )
