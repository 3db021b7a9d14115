"""Access rules that a scenario could do without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshsim.policies.access import Asked, Rule
from meshsim.scenario.permissions import Permissions

UNMATCHED, COVERED, UNUSED = "unmatched", "covered", "unused"


@dataclass(slots=True)
class Use:
    """What a rule does, for all requests that callers of the scenario could make to its endpoints."""

    matches: int = 0
    needed: bool = False
    decides: int = 0


def uses(permissions: Permissions) -> dict[int, Use]:
    """What each rule in force does, by its number; callers are asked about as known, and as unknown."""
    scenario = permissions.scenario
    found = {number: Use() for number in range(len(scenario.access))}
    for service, policy in permissions.policies.items():
        config = scenario.services[service]
        principals = {"", *(scenario.identity(caller, service) for caller, _ in permissions.kinds(service))}
        for endpoint in ("", *config.endpoints):
            page = config.address(endpoint)
            for principal in principals:
                matched = [rule for rule in policy.rules if rule.matches(Asked(principal, endpoint, *page))]
                for rule in matched:
                    found[rule.number].matches += 1
                for number in _needed(policy.rules, matched):
                    found[number].needed = True
    for call in permissions.calls():
        if call.decision.rule is not None:
            found[call.decision.rule].decides += 1
    return found


def _needed(rules: list[Rule], matched: list[Rule]) -> Iterator[int]:
    """Rules without any one of which this request would be decided in another way."""
    denials = [rule for rule in matched if rule.denies]
    permits = [rule for rule in matched if not rule.denies]
    closing = [rule for rule in rules if not rule.denies]
    if len(denials) == 1 and (permits or not closing):
        yield denials[0].number
    elif not denials and len(permits) == 1 and len(closing) > 1:
        yield permits[0].number
    elif not denials and not permits and len(closing) == 1:
        yield closing[0].number


def spare(permissions: Permissions) -> Iterator[tuple[int, str, str]]:
    """Number, kind and reason of each rule that no call of the scenario needs."""
    for number, use in uses(permissions).items():
        match = permissions.scenario.access[number].match
        verb = "denies" if permissions.scenario.access[number].denies else "allows"
        if not use.matches and not use.needed:
            if match.callers and not any(_known(permissions, service) for service in permissions.policies):
                yield number, UNMATCHED, "no request matches it: without mTLS nobody knows who calls"
            else:
                yield number, UNMATCHED, "no request to an endpoint of the scenario matches it"
        elif not use.needed:
            yield number, COVERED, "without it every request would be decided in the same way"
        elif not use.decides and use.matches:
            yield number, UNUSED, f"what it {verb} no load and no script asks for"


def _known(permissions: Permissions, service: str) -> bool:
    return permissions.scenario.mode(service) in ("strict", "permissive")
