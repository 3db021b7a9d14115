"""Where each value of the policies in force comes from: a line of the file, a preset, or silence."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshsim.scenario.document import Document
from meshsim.scenario.fields import Choice, Model, keyed_fields
from meshsim.scenario.keys import lookup, push, resolve_push
from meshsim.scenario.model import Policy, Scenario
from meshsim.scenario.names import Path, dotted
from meshsim.scenario.presets import PRESETS, Default
from meshsim.scenario.settings import TIMES

ABSENT: tuple[Any, ...] = (None, False, 0, 0.0, "0s", "unlimited", [], {})
"""Values of keys that nobody writes which are not worth a word: nothing acts."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is written: the key, from the top, its file and its line (0: not of a file)."""

    key: str
    file: str
    line: int


Route = tuple[str, str, str]
"""Caller, service, and endpoint or ``""``."""
Origin = Place | Default | None
"""Who says a value; None is silence, which leaves it to meshsim."""
Values = dict[str, tuple[Any, Origin]]
"""By key below a policy: the value as in a file, and who says it."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What a caller applies to a service, or to an endpoint of it.

    Attributes:
        route: ``a -> b`` or ``a -> b/endpoint``.
        since: when it comes into force, s; 0 is the start, after which only what changes is there.
        values: what is said; None is off.
    """

    route: str
    since: float
    values: Values


def in_force(scenario: Scenario, document: Document) -> list[InForce]:
    """The policies of every edge, and what differs for endpoints, from the start and after each push."""
    written = _Written(document)
    pushes = sorted((event.at, number) for number, event in enumerate(scenario.events) if event.set)
    found: list[InForce] = []
    before: dict[Route, Values] = {}
    for since, number in [(0.0, -1), *pushes]:
        if number >= 0:
            written.push(number, scenario)
        stage = scenario if number < 0 else scenario.policies_after(number)
        now = {route: written.values(stage, route) for route in stage.routes()}
        for (caller, service, endpoint), values in now.items():
            edge = now[caller, service, ""] if endpoint else {}
            known = before.get((caller, service, endpoint), {})
            gone = {key: (None, known[key][1]) for key in known if key not in values}
            new = {
                key: said
                for key, said in {**values, **gone}.items()
                if known.get(key) != said and edge.get(key) != said
            }
            if new:
                name = f"{caller} -> {service}/{endpoint}".removesuffix("/")
                found.append(InForce(name, since, new))
        before = now
    return found


def written_at(scenario: Scenario, route: Route, path: Path) -> Path | None:
    """The path, from the top, of what says a key of a route's policy; None where nothing written does."""
    for name in _layers(*route):
        layer = scenario.policies.get(name)
        if layer is not None and path[0] in layer.model_fields_set:
            return ("policies", name, *path) if given(layer, path) else None
    return None


def given(policy: Policy, path: Path) -> bool:
    """Whether a policy says a key itself, or the block that it is in as off."""
    here: Any = policy
    for part in path:
        if not isinstance(here, Model):
            return True
        if part not in here.model_fields_set:
            return False
        here = getattr(here, str(part))
    return True


class _Written:
    """What can be pushed, as it is written, and changed by one push after the other."""

    def __init__(self, document: Document) -> None:
        self.document = document
        parts: dict[str, Any] = {"policies": {}, "access": [], "services": {}, "mesh": {}}
        self.config = copy.deepcopy({key: document.value.get(key) or empty for key, empty in parts.items()})
        self.pushed: list[tuple[Path, Place]] = []

    def push(self, number: int, scenario: Scenario) -> None:
        """An event's `set`: what it says is now written there."""
        for key, value in scenario.events[number].set.items():
            path = resolve_push(self.config, key)
            push(self.config, {key: value})
            place = self.document.place(("events", number, "set", key))
            self.pushed.append((path, Place(f"events[{number}].set", *place)))

    def values(self, scenario: Scenario, route: Route) -> Values:
        """What is in force, by key below the policy."""
        preset = PRESETS.get(scenario.mesh.preset)
        found: Values = {}
        policy = scenario.policy(*route)
        for path, value in _leaves(policy):
            key = dotted(path)
            default = preset.default(key) if preset else None
            filled = given(policy, path) or (value is None and len(path) == 1)
            if written := written_at(scenario, route, path):
                found[key] = lookup(self.config, written)[0], self.place(written)
            elif default is not None and filled:
                found[key] = default.value, default
            elif value not in ABSENT:
                found[key] = value, None
        if scenario.mesh.mtls is not None:
            found["mtls"] = self._mtls(scenario, *route[:2])
        return found

    def _mtls(self, scenario: Scenario, caller: str, service: str) -> tuple[str, Origin]:
        """The mode of a service, as one caller meets it."""
        mode = scenario.mode(service)
        for member in (service, caller):
            if not scenario.has_sidecar(member):
                word = "plaintext, refused" if mode == "strict" else "plaintext"
                return word, self.place(("services", member, "sidecar"))
        for path in (("services", service, "mtls"), ("mesh", "mtls", "mode")):
            if lookup(self.config, path)[0] is not None:
                return str(mode), self.place(path)
        return str(mode), None

    def place(self, path: Path) -> Place:
        """Where a key stands: in the file, or in the last push that said it."""
        for pushed, place in reversed(self.pushed):
            shorter = min(len(pushed), len(path))
            if pushed[:shorter] == path[:shorter]:
                return place
        return Place(dotted(path), *self.document.place(path))


def _layers(caller: str, service: str, endpoint: str) -> list[str]:
    """The names of the policies of a route, the one that wins first."""
    edge = f"{caller} -> {service}"
    own = [f"{edge}/{endpoint}", f"{service}/{endpoint}"] if endpoint else []
    return [*own, edge, service]


def _leaves(model: Model, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The keys of a policy below its blocks, each with its value as a file could have it."""
    for key, name, _ in keyed_fields(type(model)):
        value = getattr(model, name)
        if isinstance(value, Model) and not isinstance(value, (Choice, *TIMES)):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), model.model_copy(update={name: value}).as_config()[key]
