"""The names a scenario file defines: services, versions, replicas, and the edges that carry calls.

It is read off the raw document, before types are checked, so that wrong names are reported together with
wrong values. What is not a mapping or list where one should be is passed over here; the models refuse it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from meshsim import units
from meshsim.scenario.findings import entries, mapping, sequence
from meshsim.scenario.model import CLIENT
from meshsim.scenario.names import Path
from meshsim.scenario.rolls import Group, rolls

MOST_REPLICAS = 100_000
"""Of all services, those that events may add included."""


class Call(NamedTuple):
    """A `call` step of a script."""

    path: Path
    callee: str
    in_use: bool

    @property
    def service(self) -> str:
        """Whom it calls; the callee may name an endpoint after a ``/``."""
        return self.callee.partition("/")[0]


class Outline:
    """What a document defines: raw services by name, and by edge where its first call stands."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.services: dict[str, Any] = mapping(document.get("services"))
        self.edges: dict[tuple[str, str], Path] = {}
        self._events = [event for _, event in entries(document, "events")]
        for path, load in entries(document, "load"):
            if isinstance(load.get("to"), str):
                self.edges.setdefault((CLIENT, load["to"]), (*path, "to"))
        for name in self.services:
            for call in self.calls(name):
                if call.in_use:
                    self.edges.setdefault((name, call.service), call.path)

    def calls(self, service: str) -> Iterator[Call]:
        """The calls in the scripts of a service, of its versions and of their endpoints."""
        path: Path = ("services", service)
        versions = self.versions(service)
        inherited = not versions or any("script" not in mapping(version) for version in versions.values())
        yield from _calls(self.services[service], path, inherited)
        for name, version in versions.items():
            yield from _calls(version, (*path, "versions", name), True)
            yield from _endpoints_calls(version, (*path, "versions", name))
        yield from _endpoints_calls(self.services[service], path)

    def versions(self, service: str) -> dict[str, Any]:
        """A service's raw versions by name; none for a service that does not exist."""
        return mapping(mapping(self.services.get(service)).get("versions"))

    def endpoints(self, service: str) -> dict[str, Any]:
        """A service's raw endpoints by name; none for a service that does not exist."""
        return mapping(mapping(self.services.get(service)).get("endpoints"))

    def replicas(self, service: str, version: str = "") -> int | None:
        """How many replicas a version (or a service without any) has; None where the number is not valid."""
        own = mapping(self.services.get(service)).get("replicas", 1)
        number = mapping(self.versions(service).get(version)).get("replicas", own)
        return number if isinstance(number, int) and not isinstance(number, bool) else None

    @cached_property
    def most_replicas(self) -> Counter[Group]:
        """How many replicas each version may have in all, with those that events may add."""
        start = {
            (service, version): number
            for service in self.services
            for version in self.versions(service) or ("",)
            if (number := self.replicas(service, version)) is not None
        }
        events = []
        for event in sorted(self._events, key=begins):
            service, number, restart = (event.get(key) for key in ("service", "replicas", "restart"))
            versions = self.versions(service) or ("",) if isinstance(service, str) else ()
            groups = [(str(service), each) for each in versions if event.get("version") in (None, each)]
            wanted = number if isinstance(number, int) and 0 <= number <= MOST_REPLICAS else None
            events.append(([each for each in groups if each in start], wanted, restart is not None))
        found = Counter(start)
        for roll in rolls(start, events):
            found[roll.group] += roll.more
        return found


def begins(event: dict[str, Any]) -> float:
    """When an event begins, s; 0 where that is not valid, which the models say."""
    try:
        return units.duration(event.get("at"))
    except ValueError:
        return 0.0


def _endpoints_calls(deployment: object, path: Path) -> Iterator[Call]:
    for name, endpoint in mapping(mapping(deployment).get("endpoints")).items():
        yield from _calls(endpoint, (*path, "endpoints", name), True)


def _calls(deployment: object, path: Path, in_use: bool) -> Iterator[Call]:
    for index, stage in enumerate(sequence(mapping(deployment).get("script"))):
        steps = list(enumerate(stage)) if isinstance(stage, list) else [(None, stage)]
        for position, step in steps:
            callee = mapping(step).get("call")
            if isinstance(callee, str):
                place: Path = (index,) if position is None else (index, position)
                yield Call((*path, "script", *place, "call"), callee, in_use)
