"""Checks of policies, as the file writes them, and of what its `set` events push."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import ValidationError

from meshsim.errors import halves
from meshsim.scenario.document import Document, without_lines
from meshsim.scenario.endpoints import check_level
from meshsim.scenario.explain import explain
from meshsim.scenario.fields import AsTuple, Model
from meshsim.scenario.findings import Finding, Findings, entries, mapping
from meshsim.scenario.keys import push, resolve_push
from meshsim.scenario.mesh import Mtls
from meshsim.scenario.model import AccessRule, Policy, Scenario, Service
from meshsim.scenario.names import Path, dotted
from meshsim.scenario.outline import Outline, begins
from meshsim.scenario.references import References, check_split
from meshsim.scenario.security import check_rules_of_access

PARTS: dict[str, Any] = {"policies": {}, "access": [], "services": {}, "mesh": {}}
"""The keys below which something can be pushed, and what is there where they are not given."""
DETECTIONS = ("failure_accrual", "outlier_detection")
"""Keys of a policy of which one can be in force."""


class _Rules(Model):
    """Access rules, as they are pushed."""

    access: Annotated[tuple[AccessRule, ...], AsTuple] = ()


def check_pushes(document: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Check every policy's split, and that what each `set` event makes of the policies is valid.

    Problems go to the line of the event that brings them in.
    """
    config = {key: copy.deepcopy(document.get(key) or empty) for key, empty in PARTS.items()}
    policies = config["policies"] = mapping(config["policies"])
    _check_policies(policies, outline, findings)
    for path, event in sorted(entries(document, "events"), key=lambda entry: begins(entry[1])):
        wrong = []
        for key, value in mapping(event.get("set")).items():
            place = (*path, "set", key)
            wrong += [(place, *each) for each in _change(place, key, value, config, outline, findings)]
        for place, changed, finding in wrong:
            if finding in _problems(str(changed[1]), policies, outline):  # no later key has mended it
                _add(findings, place, changed, finding)


def _check_policies(policies: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Check policies against what there is, and against each other."""
    for name, policy in policies.items():
        found = [*check_split(outline, name, policy), *check_level(name, policy)]
        for finding in [*found, *(_check_edge(name, policies) if "->" in name else ())]:
            findings.add(("policies", name, *finding.path), finding.message, finding.remedy)


class PushedReader:
    """Reads what is pushed in the mesh of a `scenario`, as strictly as its file was read."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    @cached_property
    def _defined(self) -> tuple[Document, Outline]:
        document = without_lines(self._scenario.as_config(), self._scenario.name)
        return document, Outline(document.value)

    def read(self, config: Mapping[str, Any]) -> Scenario:
        """The scenario with what is pushed in force, of the form of `Scenario.pushable`.

        Raises:
            ScenarioError: it names what there is not, or contradicts itself.
            ValueError: a value is not valid; or KeyError, TypeError, AttributeError: it has not that form.
        """
        document, outline = self._defined
        findings = Findings(document)
        policies = config["policies"]
        for name in policies:
            References(outline, findings).target(("policies", name), name)
        _check_policies(policies, outline, findings)
        findings.extend(check_rules_of_access(config["access"], outline, ("access",)))
        findings.raise_any()
        for name in self._scenario.services:
            Service.model_validate({"mtls": config["services"][name]["mtls"]})
        if self._scenario.mesh.mtls is not None:
            Mtls.model_validate(config["mesh"]["mtls"])
        return self._scenario.with_pushed(config)


def _change(
    place: Path, key: str, value: object, config: dict[str, Any], outline: Outline, findings: Findings
) -> list[tuple[Path, Finding]]:
    """Apply one change; its path, with each thing that is wrong after it and was right before."""
    policies = config["policies"]
    try:
        path = resolve_push(config, key)
        if path[0] != "policies":
            push(config, {key: value})
            _check_other(place, path, value, outline, findings)
            return []
        if path[-2:] == ("empirical", "file"):
            raise ValueError("a file is read only once; set the whole time, {empirical: {file: ...}}")
        name = str(path[1])
        before = set(_problems(name, policies, outline))
        push(config, {key: value})
    except ValueError as error:
        findings.add(place, *halves(error))
        return []
    if outline.services:
        References(outline, findings).target(place, name)
    return [(path, finding) for finding in _problems(name, policies, outline) if finding not in before]


def _check_other(place: Path, path: Path, value: object, outline: Outline, findings: Findings) -> None:
    """Check the pushed value of what is no policy: access rules, or an mTLS mode."""
    models: dict[str | int, type[Model]] = {"access": _Rules, "mesh": Mtls, "services": Service}
    key = "access" if path[0] == "access" else str(path[-1])
    try:
        models[path[0]].model_validate({key: value})
    except ValidationError as error:
        for finding in explain(error, {key: value}, path[:-1]):
            findings.add((*place, *finding.path[1:]), finding.message, finding.remedy)
    if path[0] == "access":
        findings.extend(check_rules_of_access(value, outline, place))
    elif path[0] == "services" and outline.services:
        References(outline, findings).service(place, path[1])
        if mapping(outline.services.get(str(path[1]))).get("sidecar") is False:
            findings.add(place, "there is no sidecar", "leave it out")


def _add(findings: Findings, place: Path, changed: Path, finding: Finding) -> None:
    """Report a problem of a policy by the key below the change, or else by the policy's own key."""
    wrong = (*changed[:2], *finding.path)
    if wrong[: len(changed)] == changed:
        findings.add((*place, *wrong[len(changed) :]), finding.message, finding.remedy)
    else:
        findings.add(place, f"then {dotted(wrong)}: {finding.message}", finding.remedy)


def _problems(name: str, policies: dict[str, Any], outline: Outline) -> list[Finding]:
    policy = policies.get(name, {})
    found = [*check_split(outline, name, policy), *check_level(name, policy)]
    for edge in policies:
        if edge == name or edge.endswith(f" -> {name}"):
            found += _check_edge(edge, policies)
    try:
        Policy.model_validate(policy)
    except ValidationError as error:
        found += explain(error, policy, ("policies", name))
    return found


def _check_edge(name: str, policies: dict[str, Any]) -> list[Finding]:
    """Check that an edge's policy and its service's, on which it lies, do not detect failures in two ways."""
    service = name.rpartition(" -> ")[2]
    own, whole = mapping(policies[name]), mapping(policies.get(service))
    return [
        Finding((), f"{kind} excludes {other} of {service}", f"write {other}: null beside it")
        for kind, other in (DETECTIONS, DETECTIONS[::-1])
        if own.get(kind) is not None and other not in own and whole.get(other) is not None
    ]
