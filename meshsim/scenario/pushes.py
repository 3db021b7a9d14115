"""Checks of policies, as the file writes them and as its `set` events change them."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import ValidationError

from meshsim import units
from meshsim.errors import halves
from meshsim.scenario.endpoints import check_level
from meshsim.scenario.explain import explain
from meshsim.scenario.findings import Finding, Findings, entries, mapping
from meshsim.scenario.keys import push, resolve_push
from meshsim.scenario.model import Policy
from meshsim.scenario.names import Path, dotted
from meshsim.scenario.outline import Outline
from meshsim.scenario.references import References, check_split


def check_pushes(document: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Check every policy's split, and that what each `set` event makes of the policies is valid.

    Problems go to the line of the event that brings them in.
    """
    policies = copy.deepcopy(mapping(document.get("policies")))
    for name, policy in policies.items():
        for finding in [*check_split(outline, name, policy), *check_level(name, policy)]:
            findings.add(("policies", name, *finding.path), finding.message, finding.remedy)
    for path, event in sorted(entries(document, "events"), key=lambda entry: _at(entry[1])):
        for key, value in mapping(event.get("set")).items():
            _check_change((*path, "set", key), key, value, policies, outline, findings)


def _at(event: dict[str, Any]) -> float:
    try:
        return units.duration(event.get("at"))
    except ValueError:
        return 0.0  # the models refuse it


def _check_change(
    place: Path, key: str, value: object, policies: dict[str, Any], outline: Outline, findings: Findings
) -> None:
    """Apply one change, and report what is wrong after it that was right before."""
    try:
        path = resolve_push(policies, key)
        if path[-2:] == ("empirical", "file"):
            raise ValueError("a file is read only once; set the whole time, {empirical: {file: ...}}")
        name = str(path[1])
        before = set(_problems(name, policies.get(name, {}), outline))
        push(policies, {key: value})
    except ValueError as error:
        findings.add(place, *halves(error))
        return
    if outline.services:
        References(outline, findings).target(place, name)
    for finding in _problems(name, policies[name], outline):
        if finding not in before:
            _add(findings, place, path, finding)


def _add(findings: Findings, place: Path, changed: Path, finding: Finding) -> None:
    """Report a problem of a policy by the key below the change, or else by the policy's own key."""
    wrong = (*changed[:2], *finding.path)
    if wrong[: len(changed)] == changed:
        findings.add((*place, *wrong[len(changed) :]), finding.message, finding.remedy)
    else:
        findings.add(place, f"then {dotted(wrong)} {finding.message}", finding.remedy)


def _problems(name: str, policy: object, outline: Outline) -> list[Finding]:
    found = [*check_split(outline, name, policy), *check_level(name, policy)]
    try:
        Policy.model_validate(policy)
    except ValidationError as error:
        found += explain(error, policy, ("policies", name))
    return found
