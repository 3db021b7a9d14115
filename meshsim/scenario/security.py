"""Checks of identities and access rules: what they need, and whom they name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from meshsim.errors import shown
from meshsim.policies.access import matches
from meshsim.scenario.access import PATTERN
from meshsim.scenario.endpoints import check_endpoint
from meshsim.scenario.findings import Finding, Findings, entries, mapping, sequence
from meshsim.scenario.model import CLIENT
from meshsim.scenario.names import Path, suggestion
from meshsim.scenario.outline import Outline

SIDECARS = "write mesh.dataplane: sidecar"


def check_security(document: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Check what needs sidecars and mTLS, and the services that access rules name."""
    mesh = mapping(document.get("mesh"))
    for path, what in _needing_sidecars(document, outline):
        if mesh.get("dataplane", "none") == "none":
            findings.add(path, f"{what} without sidecars", SIDECARS)
    for path in _needing_mtls(document, outline):
        if mesh.get("mtls") is None:
            findings.add(path, "there is no mTLS in this mesh", "write mesh.mtls, or leave it out")
    for service, config in outline.services.items():
        if "mtls" in mapping(config) and mapping(config).get("sidecar") is False:
            findings.add(("services", service, "mtls"), "there is no sidecar", "leave mtls or sidecar out")
    findings.extend(check_rules_of_access(document.get("access"), outline, ("access",)))


def check_rules_of_access(rules: object, outline: Outline, path: Path) -> Iterator[Finding]:
    """Check whom access rules name; `path` is theirs."""
    for number, rule in enumerate(sequence(rules) if outline.services else ()):
        for kind in ("allow", "deny"):
            match = mapping(mapping(rule).get(kind))
            yield from _check_match((*path, number, kind), match, outline)


def _check_match(path: Path, match: dict[str, Any], outline: Outline) -> Iterator[Finding]:
    services = outline.services
    called = list(_names(path, match, "to"))
    for place, name in called:
        if name == CLIENT:
            yield Finding(place, "the client can't be called", "name a service")
        else:
            yield from _check_name(place, "service", name, services)
    known = {name for _, name in called if name in services}
    known |= {name for _, each in called if "*" in each for name in services if matches(each, name)}
    if known and not any(mapping(services[name]).get("sidecar", True) for name in known):
        yield Finding((*path, "to"), "has no sidecar that could ask the rule", "leave the rule out")
    for key in ("from", "not_from"):
        for place, name in _names(path, match, key):
            yield from _check_name(place, "service", name, [*services, CLIENT])
    for key in ("endpoints", "not_endpoints"):
        for place, name in _names(path, match, key):
            exact = [service for service in known if "*" not in name]
            wrong = [check_endpoint(outline, place, service, name) for service in sorted(exact)]
            if wrong and all(wrong):
                yield from wrong[0]


def _check_name(path: Path, what: str, name: str, names: Collection[str]) -> Iterator[Finding]:
    if "*" in name and not any(matches(name, each) for each in names):
        yield Finding(path, f"no {what} is like {shown(name)}", suggestion(name, names))
    elif "*" not in name and name not in names:
        yield Finding(path, f"no {what} {shown(name)}", suggestion(name, names))


def _names(path: Path, match: dict[str, Any], key: str) -> Iterator[tuple[Path, str]]:
    """The patterns of a field, written alone or as a list, with their paths."""
    value = match.get(key)
    texts = [
        ((*path, key), value),
        *(((*path, key, index), each) for index, each in enumerate(sequence(value))),
    ]
    for place, each in texts:
        if isinstance(each, str) and PATTERN.fullmatch(each):  # the models refuse what is none
            yield place, each


def _needing_sidecars(document: dict[str, Any], outline: Outline) -> Iterator[tuple[Path, str]]:
    if mapping(document.get("mesh")).get("mtls") is not None:
        yield ("mesh", "mtls"), "there is no mTLS"
    if document.get("access"):
        yield ("access",), "nobody asks access rules"
    for path, event in entries(document, "events"):
        if "access" in mapping(event.get("set")):
            yield (*path, "set", "access"), "nobody asks access rules"
    for service, config in outline.services.items():
        if mapping(config).get("sidecar") is False:
            yield ("services", service, "sidecar"), "has no effect"


def _needing_mtls(document: dict[str, Any], outline: Outline) -> Iterator[Path]:
    for service, config in outline.services.items():
        if mapping(config).get("mtls") is not None:
            yield "services", service, "mtls"
    for path, event in entries(document, "events"):
        if event.get("component") == "ca":
            yield (*path, "component")
        for key in mapping(event.get("set")):
            if str(key).startswith("mesh.mtls") or str(key).endswith(".mtls"):
                yield (*path, "set", key)
