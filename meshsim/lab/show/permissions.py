"""Who may call whom, and by which rule: the other half of ``meshsim check --explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshsim.scenario.document import Document
from meshsim.scenario.model import Scenario
from meshsim.scenario.permissions import Permission, Permissions, Stage, stages
from meshsim.units import show_duration

WORDS = {True: "allowed", False: "denied"}


def facts(scenario: Scenario, document: Document) -> dict[str, Any]:
    """As ``--json`` has them, where there are rules at any time: who may call whom.

    Services that no rule names are `open`. Of others there is every pair, and endpoints that differ; after
    a push, of those that it changes.
    """
    if not scenario.has_rules:
        return {}
    found: list[dict[str, Any]] = []
    before: dict[str, list[dict[str, Any]]] = {}
    for stage in stages(scenario):
        permissions = Permissions(stage.scenario)
        now = {
            service: [_decision(stage, permissions, document, each) for each in permissions.pairs(service)]
            for service in permissions.policies
        }
        new = [
            said
            for service, decisions in now.items()
            if before.get(service) != decisions
            for said in decisions
        ]
        open_ = [service for service in scenario.services if service not in permissions.policies]
        if stage.event < 0 or new or open_ != found[-1]["open"]:
            found.append({"since": stage.since, "open": open_, "decisions": new})
        before = now
    return {"access": found[0], "access_pushed": found[1:]}


def _decision(stage: Stage, permissions: Permissions, document: Document, each: Permission) -> dict[str, Any]:
    said: dict[str, Any] = dict(zip(("caller", "service", "endpoint"), each[:3], strict=True))
    said |= {"allowed": each.decision.allowed, "rule": each.decision.rule, "from": None}
    if each.decision.rule is not None:
        place = stage.place(document, each.decision.rule)
        said["from"] = {"file": place.file, "line": place.line, "key": place.key}
    return {**said, "why": permissions.reason(each, "" if said["from"] is None else said["from"]["key"])}


def lines(facts: dict[str, Any]) -> Iterator[str]:
    """A block for each service that rules name, after the start and after each push."""
    before: list[str] = []
    for stage in [facts["access"], *facts["access_pushed"]] if "access" in facts else ():
        since = f", from {show_duration(stage['since'])}" if stage["since"] else ""
        if stage["open"] and stage["open"] != before:
            yield f"no rule names {', '.join(stage['open'])}{since}: all may call"
            yield ""
        before = stage["open"]
        services: dict[str, list[dict[str, Any]]] = {}
        for each in stage["decisions"]:
            services.setdefault(each["service"], []).append(each)
        for service, decisions in services.items():
            yield f"who may call {service}{since}"
            yield from _rows(decisions)
            yield ""


def _rows(decisions: list[dict[str, Any]]) -> Iterator[str]:
    """Callers of one fate together."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for each in decisions:
        caller, endpoint = each["caller"], each["endpoint"]
        origin = each["from"]
        why = each["why"]
        if origin is not None:
            why = f"line {origin['line']}: {origin['key']}" if origin["line"] else origin["key"]
        alike.setdefault((endpoint, WORDS[each["allowed"]], why), []).append(caller)
    rows = [
        (f"{', '.join(callers)}{f' /{endpoint}' if endpoint else ''}", word, why)
        for (endpoint, word, why), callers in alike.items()
    ]
    wide = max(len(who) for who, _, _ in rows)
    for who, word, why in rows:
        yield f"  {who:{wide}}  {word:7}  {why}"
