"""Who may call whom, from the start and after each push: every pair of callers and services, decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from meshsim.policies.access import Asked, Decision, matches
from meshsim.scenario.document import Document
from meshsim.scenario.guards import access_policies
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.origins import Place

PRINCIPAL = Asked._fields.index("principal")


@dataclass(frozen=True, slots=True)
class Stage:
    """What is in force from a moment on.

    Attributes:
        since: s; 0 is the start.
        scenario: with the policies, rules and modes in force.
        event: that pushed the last of them; -1 at the start.
        rules: number of the event that pushed the access rules; -1 where they are the file's.
    """

    since: float
    scenario: Scenario
    event: int
    rules: int

    def place(self, document: Document, rule: int) -> Place:
        """Where one of the rules in force is written."""
        pushed = () if self.rules < 0 else ("events", self.rules, "set")
        return Place(self.key(rule), *document.place((*pushed, "access", rule)))

    def key(self, rule: int) -> str:
        """The key of one of the rules in force."""
        return f"{'' if self.rules < 0 else f'events[{self.rules}].set.'}access[{rule}]"


def refused(scenario: Scenario) -> dict[tuple[str, str], float]:
    """The edges whose calls come in plaintext to who takes mTLS alone, and since when, s."""
    found: dict[tuple[str, str], float] = {}
    for stage in stages(scenario) if scenario.mesh.mtls is not None else ():
        for caller, service in scenario.edges():
            if stage.scenario.refuses(caller, service):
                found.setdefault((caller, service), stage.since)
    return found


def stages(scenario: Scenario) -> list[Stage]:
    """The start, and every push, in order of time."""
    found = [Stage(0.0, scenario, -1, -1)]
    for at, number in sorted((event.at, number) for number, event in enumerate(scenario.events) if event.set):
        rules = number if "access" in scenario.events[number].set else found[-1].rules
        found.append(Stage(at, scenario.policies_after(number), number, rules))
    return found


class Permission(NamedTuple):
    """What becomes of a call.

    Attributes:
        principal: who the caller is to the service: empty without mTLS.
        endpoint: of the service; ``""`` for the service itself.
    """

    caller: str
    service: str
    endpoint: str
    principal: str
    decision: Decision


class Permissions:
    """What one stage's rules decide.

    Attributes:
        made, edges: the calls that loads and scripts make, and between whom.
        policies: of the services that a rule names, and that have sidecars to ask it.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.made = scenario.calls()
        self.edges = {(caller, service) for caller, service, _ in self.made}
        self._callers = {CLIENT, *scenario.services}
        self._whole = {service for _, service, endpoint in self.made if not endpoint}
        policies = access_policies(scenario)
        self.policies = {service: policies[service] for service in scenario.services if service in policies}

    def of(self, caller: str, service: str, endpoint: str) -> Permission:
        """One call, as the modes of this stage let it come."""
        principal = self.scenario.identity(caller, service)
        return Permission(caller, service, endpoint, principal, self.decide(principal, service, endpoint))

    def decide(self, principal: str, service: str, endpoint: str) -> Decision:
        """The same by whom the service sees."""
        policy = self.policies.get(service)
        page = self.scenario.services[service].address(endpoint)
        return Decision(allowed=True, rule=None) if policy is None else policy.decide(principal, *page)

    def calls(self) -> list[Permission]:
        """Every call that loads and scripts make."""
        return [self.of(*call) for call in self.made]

    def kinds(self, service: str) -> list[tuple[str, int]]:
        """Callers that the rules of a service tell apart, and how many each stands for.

        The rest, whom no rule names, are alike: one stands for all.
        """
        policy = self.policies.get(service)
        fields = [field for rule in policy.rules for field in rule.fields] if policy else []
        patterns = {each for place, some, _ in fields for each in some if place == PRINCIPAL and each != "*"}
        wide = [pattern for pattern in patterns if "*" in pattern]
        names = patterns & self._callers
        names |= {name for name in self._callers if wide and any(matches(pattern, name) for pattern in wide)}
        rest = self._callers - names
        found = [(name, 1) for name in sorted(names)]
        known = [name for name in rest if self.scenario.has_sidecar(name)]
        return [*found, (min(known or rest), len(rest))] if rest else found

    def pairs(self, service: str) -> Iterator[Permission]:
        """Every caller of a service, also those that make no calls: as a whole, and endpoints that differ."""
        for caller in (CLIENT, *self.scenario.services):
            whole = self.of(caller, service, "")
            found = [
                self.of(caller, service, endpoint) for endpoint in self.scenario.services[service].endpoints
            ]
            alike = all(each.decision == found[0].decision for each in found)
            if found and alike and service not in self._whole:  # nobody asks for GET /
                whole = found[0]._replace(endpoint="")
            yield whole
            yield from (each for each in found if each.decision != whole.decision)

    def reason(self, call: Permission, place: str = "") -> str:
        """Why a call is allowed or denied, in words; `place` is that of the rule that decides."""
        decision, policy = call.decision, self.policies.get(call.service)
        if decision.rule is not None:
            return f"{place or f'access[{decision.rule}]'} {'allows' if decision.allowed else 'denies'} it"
        if not self.scenario.has_sidecar(call.service):
            return f"{call.service} has no sidecar that asks rules"
        if decision.allowed or policy is None:
            return f"no rule allows anything to {call.service}, so all may"
        page = self.scenario.services[call.service].address(call.endpoint)
        if not call.principal and policy.decide(call.caller, *page).allowed:
            return f"it comes without mTLS, so no rule knows {call.caller}"
        return "no rule allows it"
