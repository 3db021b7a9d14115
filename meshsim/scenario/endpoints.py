"""Checks of endpoints: their names, methods and paths, who names them, and what policies of them may say."""

from __future__ import annotations

from typing import Any

from meshsim.errors import shown
from meshsim.scenario.findings import Finding, Findings, entries, mapping
from meshsim.scenario.names import LONGEST_NAME, NAME, Path, suggestion
from meshsim.scenario.outline import Outline

CLUSTER_LEVEL = {
    "balance": "its endpoints share hosts",
    "connection": "its endpoints share connections",
    "circuit_breaker": "its endpoints share connections",
    "outlier_detection": "its endpoints share hosts",
    "failure_accrual": "its endpoints share hosts",
}
"""Keys of a policy that belong to the clusters of a service, with all that it is asked for. The others
belong to a route, and may differ by endpoint."""


def check_endpoints(document: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Check the endpoints of all services, and whoever names them other than by a call."""
    for service in outline.services:
        path: Path = ("services", service)
        endpoints = outline.endpoints(service)
        for endpoint in endpoints:
            if not NAME.fullmatch(str(endpoint)):
                remedy = f"use at most {LONGEST_NAME} letters, digits, _ and -"
                findings.add((*path, "endpoints", endpoint), f"{shown(endpoint)} is no name", remedy)
        for version, config in outline.versions(service).items():
            for endpoint in mapping(mapping(config).get("endpoints")):
                if endpoint not in endpoints:
                    place = (*path, "versions", version, "endpoints", endpoint)
                    remedy = f"give it under services.{service}.endpoints"
                    findings.add(place, f"{service} has no endpoint {shown(endpoint)}", remedy)
        _check_addresses(path, endpoints, _plain(document, outline, service), findings)
    for path, load in entries(document, "load"):
        to, mix = load.get("to"), mapping(load.get("endpoints"))
        if isinstance(to, str) and to in outline.services:
            for endpoint in mix:
                findings.extend(check_endpoint(outline, (*path, "endpoints", endpoint), to, endpoint))
        if mix and all(weight == 0 for weight in mix.values()):
            findings.add((*path, "endpoints"), "the weights are all 0", "give one endpoint more")
    for path, objective in entries(document, "objectives"):
        of, name = objective.get("service"), objective.get("endpoint")
        if isinstance(of, str) and of in outline.services and isinstance(name, str):
            findings.extend(check_endpoint(outline, (*path, "endpoint"), of, name))


def check_endpoint(outline: Outline, path: Path, service: str, endpoint: str) -> list[Finding]:
    """Check that a service has an endpoint."""
    known = outline.endpoints(service)
    if endpoint in known:
        return []
    if not known:
        return [
            Finding(path, f"{service} has no endpoints", f"ask for {service} itself, or give it endpoints")
        ]
    return [Finding(path, f"{service} has no endpoint {shown(endpoint)}", suggestion(endpoint, known))]


def check_level(name: str, policy: object) -> list[Finding]:
    """Check that the policy of an endpoint says nothing that is its service's; paths begin at the policy."""
    edge, slash, _ = name.partition("/")
    if not slash:
        return []
    whole = f'policies."{edge}"' if " " in edge else f"policies.{edge}"
    found = [
        Finding((key,), f"belongs to the service: {why}", f"write it under {whole}")
        for key, why in CLUSTER_LEVEL.items()
        if key in mapping(policy)
    ]
    if "budget" in mapping(mapping(policy).get("retries")):
        why = "belongs to the service: its endpoints share the retry budget"
        found.append(Finding(("retries", "budget"), why, f"write it under {whole}.retries"))
    return found


def _plain(document: dict[str, Any], outline: Outline, service: str) -> Path | None:
    """Where a service is asked without naming an endpoint, if anywhere."""
    for path, load in entries(document, "load"):
        if load.get("to") == service and not mapping(load.get("endpoints")):
            return (*path, "to")
    calls = (call for caller in outline.services for call in outline.calls(caller))
    return next((call.path for call in calls if call.callee == service), None)


def _check_addresses(path: Path, endpoints: dict[str, Any], plain: Path | None, findings: Findings) -> None:
    """Two endpoints of one method and path could not be told apart."""
    taken: dict[tuple[str, str], str] = {}
    for name, raw in endpoints.items():
        config = mapping(raw)
        address = str(config.get("method", "GET")), str(config.get("path") or f"/{name}")
        place = (*path, "endpoints", name)
        if address in taken:
            first = (*path, "endpoints", taken[address])
            line = findings.document.place(first)[1]
            message = f"{address[0]} {address[1]} is also endpoint {taken[address]}, on line {line}"
            findings.add(place, message, "change the method or the path of one")
        elif address == ("GET", "/") and plain is not None:
            message = f"GET / is what a call of {path[1]} without an endpoint asks for"
            findings.add(place, message, f"name {path[1]}/{name} where it is called, or change the path")
        taken.setdefault(address, name)
