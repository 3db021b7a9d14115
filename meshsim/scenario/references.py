"""Checks that names refer to things that exist: callees, policies, links, targets of load and events."""

from __future__ import annotations

import re
from typing import Any

from meshsim.errors import shown
from meshsim.scenario.endpoints import check_endpoint, check_endpoints
from meshsim.scenario.findings import Finding, Findings, entries, mapping, sequence
from meshsim.scenario.model import CLIENT
from meshsim.scenario.names import LONGEST_NAME, NAME, Path, listed, suggestion
from meshsim.scenario.outline import MOST_REPLICAS, Outline

EDGE = re.compile(r"(\S+) -> (\S+)")
RESERVED = {
    CLIENT: "the caller that load comes from",
    "default": "the link of edges that have none of their own",
}
NO_ENDPOINT = {
    "load": "write to: {0}, endpoints: {{{1}: 1}}",
    "objectives": "write service: {0}, endpoint: {1}",
    "events": "an event acts on a whole service: write service: {0}",
}
"""Where a service is named and no endpoint can be: what to write instead."""


def is_name(name: str) -> bool:
    """Whether a service may be called so."""
    return NAME.fullmatch(name) is not None and name not in RESERVED


def check_references(document: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Check every name in a document against what it defines."""
    _check_names(document, outline, findings)
    if not outline.services:
        return  # the models say that there are none; every reference would be wrong for that one reason
    references = References(outline, findings)
    for service in outline.services:
        for call in outline.calls(service):
            references.endpoint(call.path, call.callee)
    check_endpoints(document, outline, findings)
    _check_cycles(outline, findings)
    for name in mapping(document.get("policies")):
        references.target(("policies", name), name)
    for name in mapping(document.get("links")):
        if name != "default":
            references.edge(("links", name), name, also=("default",))
    for path, load in entries(document, "load"):
        references.service((*path, "to"), load.get("to"))
    for path, objective in entries(document, "objectives"):
        references.service((*path, "service"), objective.get("service"))
    for path, event in entries(document, "events"):
        references.event(path, event)


def check_split(outline: Outline, name: str, policy: object) -> list[Finding]:
    """Check the versions in the split of the policy of a service or edge; paths begin at the policy."""
    split = mapping(mapping(policy).get("split"))
    service = name.rpartition(" -> ")[2].partition("/")[0]
    if not split or service not in outline.services:
        return []
    versions = outline.versions(service)
    if not versions:
        message = f"{service} has no versions to split between"
        return [Finding(("split",), message, "leave split out, or give it versions")]
    unknown = [version for version in split if version not in versions]
    found = [_no_version(("split", version), service, version, versions) for version in unknown]
    if all(weight == 0 for weight in split.values()):
        found.append(Finding(("split",), "the weights are all 0", "give one version more"))
    return found


def _no_version(path: Path, service: str, version: str, versions: dict[str, Any]) -> Finding:
    return Finding(path, f"{service} has no version {shown(version)}", suggestion(version, versions))


class References:
    """Checks single references against what a document defines."""

    def __init__(self, outline: Outline, findings: Findings) -> None:
        self._outline = outline
        self._findings = findings

    def service(self, path: Path, name: object) -> bool:
        """Check that `name`, if it is text at all, is a service; say whether it is."""
        if not isinstance(name, str):
            return False
        if name in self._outline.services:
            return True
        service, slash, endpoint = name.partition("/")
        if slash and service in self._outline.services:
            remedy = NO_ENDPOINT.get(str(path[0]), "write {0}").format(service, endpoint)
            self._findings.add(path, f"{shown(name)} is an endpoint", remedy)
        elif name == CLIENT:
            remedy = "it is where load comes from; name a service"
            self._findings.add(path, "the client can't be called", remedy)
        else:
            self._findings.add_unknown(path, "service", name, self._outline.services)
        return False

    def endpoint(self, path: Path, name: str) -> None:
        """Check what a call names, or a policy: a service, or one of its endpoints, ``cart/add``."""
        service, slash, endpoint = name.partition("/")
        if self.service(path, service) and slash:
            self._findings.extend(check_endpoint(self._outline, path, service, endpoint))

    def target(self, path: Path, name: str) -> None:
        """Check the key of a policy: a service or one of its endpoints, or these as an edge reaches them."""
        if "->" not in name:
            self.endpoint(path, name)
            return
        caller, _, target = name.partition(" -> ")
        service, slash, _ = caller.partition("/")
        if slash and target and service in self._outline.services:
            remedy = f"a policy is for all calls of a service: write {service} -> {target}"
            self._findings.add(path, f"{shown(caller)} is an endpoint", remedy)
            return
        edge, slash, endpoint = name.partition("/")
        self.edge(path, edge)
        service = edge.rpartition(" -> ")[2]
        if slash and service in self._outline.services:
            self._findings.extend(check_endpoint(self._outline, path, service, endpoint))

    def edge(self, path: Path, name: object, also: tuple[str, ...] = ()) -> None:
        """Check that `name`, if it is text at all, is an edge that can carry calls."""
        if not isinstance(name, str):
            return
        match = EDGE.fullmatch(name)
        if not match:
            remedy = 'write "caller -> service", with a space on both sides of the arrow'
            if "->" not in name:
                remedy = suggestion(name, [*also, *(" -> ".join(edge) for edge in self._outline.edges)])
            self._findings.add(path, f"{shown(name)} is no edge", remedy)
            return
        caller, callee = match.groups()
        known = caller == CLIENT or self.service(path, caller)
        if self.service(path, callee) and known and (caller, callee) not in self._outline.edges:
            called = listed([to for (by, to) in self._outline.edges if by == caller], "and") or "nothing"
            self._findings.add(path, f"{caller} never calls {callee}", f"{caller} calls {called}")

    def event(self, path: Path, event: dict[str, Any]) -> None:
        """Check the targets of an event."""
        self.service((*path, "service"), event.get("service"))
        self.edge((*path, "link"), event.get("link"))
        self._version(path, event)
        for index, name in enumerate(sequence(event.get("nack"))):
            if name != CLIENT:
                self.service((*path, "nack", index), name)
        if isinstance(event.get("replica"), str):
            self._replica((*path, "replica"), event["replica"])

    def _version(self, path: Path, event: dict[str, Any]) -> None:
        """Check the version whose replicas an event is about, and that it is named where it must be."""
        service, version = event.get("service"), event.get("version")
        if not isinstance(service, str) or service not in self._outline.services:
            return
        versions = self._outline.versions(service)
        if isinstance(version, str) and not versions:
            self._findings.add((*path, "version"), f"{service} has no versions", "leave it out")
        elif isinstance(version, str) and version not in versions:
            self._findings.extend([_no_version((*path, "version"), service, version, versions)])
        elif version is None and len(versions) > 1 and event.get("replicas") is not None:
            remedy = f"write version: {next(iter(versions))}, or another"
            self._findings.add((*path, "replicas"), f"{service} has several versions", remedy)

    def _replica(self, path: Path, name: str) -> None:
        service, *rest = name.split("/")
        if not self.service(path, service):
            return
        versions = self._outline.versions(service)
        example = f"{service}/{next(iter(versions))}/0" if versions else f"{service}/0"
        if len(rest) != (2 if versions else 1) or not rest[-1].isdecimal() or not rest[-1].isascii():
            self._findings.add(path, f"{shown(name)} is not a replica", f"write one such as {example}")
        elif versions and rest[0] not in versions:
            self._findings.extend([_no_version(path, service, rest[0], versions)])
        else:
            replicas = self._outline.most_replicas[service, rest[0] if versions else ""]
            if replicas and not (len(rest[-1]) < 10 and int(rest[-1]) < replicas):
                remedy = f"{name.rpartition('/')[0]} has {replicas}, numbered from 0"
                self._findings.add(path, f"no replica {shown(name)}", remedy)


def _check_names(document: dict[str, Any], outline: Outline, findings: Findings) -> None:
    """Names must leave room for the keys and ids that are made of them."""
    for service in outline.services:
        path: Path = ("services", service)
        if service in RESERVED:
            findings.add(path, f"{shown(service)} is {RESERVED[service]}", "name the service otherwise")
        for place in (path, *((*path, "versions", version) for version in outline.versions(service))):
            if not NAME.fullmatch(str(place[-1])):
                remedy = f"use at most {LONGEST_NAME} letters, digits, _ and -"
                findings.add(place, f"{shown(place[-1])} is no name", remedy)
    total = outline.most_replicas.total()
    if total > MOST_REPLICAS:
        remedy = f"write at most {MOST_REPLICAS:,} in all"
        findings.add(("services",), f"there are {total:,} replicas", remedy)


def _check_cycles(outline: Outline, findings: Findings) -> None:
    """Calls must not come back to where they began: such a request would never end."""
    callees: dict[str, list[str]] = {service: [] for service in outline.services}
    for caller, callee in outline.edges:
        if caller in callees and callee in callees:
            callees[caller].append(callee)
    done: set[str] = set()
    for start in callees:
        cycle = _cycle(start, callees, done)
        if cycle:
            names = cycle if len(cycle) < 20 else [*cycle[:9], "...", *cycle[-9:]]
            path = outline.edges[cycle[-2], cycle[-1]]
            findings.add(path, f"the calls go in a circle: {' -> '.join(names)}", "break it")


def _cycle(start: str, callees: dict[str, list[str]], done: set[str]) -> list[str]:
    """The first circle met when going deep from `start`, as the names along it; without recursion."""
    if start in done:
        return []
    way = {start: iter(callees[start])}  # insertion order is the way from `start`
    while way:
        here = next(reversed(way))
        callee = next(way[here], None)
        if callee is None:
            done.add(here)
            del way[here]
        elif callee in way:
            names = list(way)
            done.update(names)
            return [*names[names.index(callee) :], callee]
        elif callee not in done:
            way[callee] = iter(callees[callee])
    return []
