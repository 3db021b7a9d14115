"""The verb `access`: the least rules for the calls of a scenario, and what its written rules do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from meshsim.measure.access import AccessReport, DeniedCall, SpareRule
from meshsim.scenario.document import Document
from meshsim.scenario.dump import dump
from meshsim.scenario.least import Rule, least_rules, under, with_identities
from meshsim.scenario.load import load_placed
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides
from meshsim.scenario.permissions import Permissions, refused, stages
from meshsim.scenario.spare import spare


def access(scenario: str | Path | Scenario, *, overrides: Overrides = ()) -> AccessReport:
    """Propose the access rules that a scenario's calls need, and no others.

    Args:
        scenario: a file, or a scenario.
        overrides: as for :func:`meshsim.run`.

    Returns:
        The proposal, checked by deciding every call with it; the calls that the written rules deny, and the
        rules that no call needs, at the start and after each push.

    Raises:
        ScenarioError: it can't be used.
    """
    written, document = load_placed(scenario, overrides)
    known = with_identities(written)
    proposal = least_rules(known)
    checks = [Permissions(under(stage, proposal)) for stage in stages(known)]
    every = zip(*(check.calls() for check in checks), strict=True)
    open_ = [
        number
        for service, config in known.services.items()
        for caller, number in checks[0].kinds(service)
        if any(checks[0].decide(caller, service, endpoint).allowed for endpoint in ("", *config.endpoints))
    ]
    pairs = len(known.services) * (len(known.services) + 1)
    return AccessReport(
        scenario=written.name,
        calls=len(written.calls()),
        proposal=proposal,
        allowed=sum(all(each.decision.allowed for each in call) for call in every),
        closed=pairs - sum(open_),
        pairs=pairs,
        denied=list(_denied(written, document)),
        spare=list(_spare(written, document)),
        notes=list(_notes(written, proposal)),
        rules=len(written.access),
    )


def as_yaml(proposal: list[Rule]) -> str:
    """Rules as a part of a scenario's file."""
    return dump({"access": proposal})


def _denied(scenario: Scenario, document: Document) -> Iterator[DeniedCall]:
    """Calls that are denied, from when on: the start, or the push that does it."""
    before: set[tuple[str, str, str]] = set()
    for stage in stages(scenario):
        permissions = Permissions(stage.scenario)
        denied = [each for each in permissions.calls() if not each.decision.allowed]
        for each in denied:
            if each[:3] not in before:
                rule = each.decision.rule
                place = None if rule is None else stage.place(document, rule)
                key = None if place is None else place.key
                why = permissions.reason(each, key or "")
                yield DeniedCall(*each[:3], stage.since, key, 0 if place is None else place.line, why)
        before = {each[:3] for each in denied}


def _spare(scenario: Scenario, document: Document) -> Iterator[SpareRule]:
    """Rules that nobody needs, of the file and of each push of rules."""
    for stage in stages(scenario):
        if stage.event == stage.rules:  # its rules are new
            for number, kind, why in spare(Permissions(stage.scenario)):
                place = stage.place(document, number)
                yield SpareRule(place.key, place.line, kind, why)


def _notes(scenario: Scenario, proposal: list[Rule]) -> Iterator[str]:
    if scenario.mesh.mtls is None:
        yield (
            "rules name callers by their identity, and this mesh has no mTLS: with them write"
            " mesh: {dataplane: sidecar, mtls: {mode: strict}}"
        )
    elif any("not_from" in rule["allow"] for rule in proposal):
        yield (
            'not_from: ["*"] allows whoever comes without mTLS: a caller has no sidecar, or a service has'
            " mtls: disable"
        )
    for caller, callee in refused(scenario):
        yield f"{caller} -> {callee}: plaintext, which {callee} (strict) refuses before it asks any rule"
    called = {service for _, service, _ in scenario.calls()}
    for name, service in scenario.services.items():
        if not service.sidecar and name in called:
            yield f"{name} has no sidecar, so it can have no rules: it is open to all"
