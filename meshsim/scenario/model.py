"""A scenario as frozen, typed models: what the YAML says, units parsed, nothing decided yet.

The models are the configuration of everything inside; the machines in `policies` and the objects in
`mesh` are built from them and never see a dict. Silence means absence: a policy that is not configured does
not act, and its field is None. The parts are in the modules beside this one; most of their names are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema

from meshsim import units
from meshsim.scenario.access import AccessRule
from meshsim.scenario.arrivals import Mmpp, ProfilePoint
from meshsim.scenario.fields import DURATION, AsTuple, Duration, Later, Model, PositiveDuration
from meshsim.scenario.filling import filled
from meshsim.scenario.keys import push
from meshsim.scenario.mesh import Link, Mesh, Mtls, MtlsMode, Proxy
from meshsim.scenario.policy import (
    Balance,
    Connection,
    FailureAccrual,
    Fault,
    Hedge,
    OutlierDetection,
    Policy,
    RateLimit,
    Retries,
)
from meshsim.scenario.services import ZERO, CallStep, Deployment, Service, SleepStep, Stage, Step
from meshsim.scenario.times import ConstantTime, Time
from meshsim.scenario.traffic import Event, Load, Objective, Refused, Tracing, refused_after
from meshsim.scenario.variation import Sweep

__all__ = [
    "CLIENT", "ZERO", "AccessRule", "Balance", "CallStep", "ConstantTime", "Deployment", "Event",
    "FailureAccrual", "Fault", "Hedge", "Link", "Load", "Mesh", "Mmpp", "Model", "Mtls", "Objective",
    "OutlierDetection", "Policy",
    "ProfilePoint", "Proxy", "RateLimit", "Retries", "Scenario", "Service", "SleepStep", "Stage", "Step",
    "Time",
]  # fmt: skip

CLIENT = "client"
"""The caller that load comes from."""


def _warmup(value: Any) -> float | str:
    return "auto" if value == "auto" else units.duration(value)


Warmup = Annotated[
    float | Literal["auto"],
    BeforeValidator(_warmup),
    WithJsonSchema({"anyOf": [DURATION, {"const": 0}, {"const": "auto"}]}),
]


class Scenario(Model):  # noqa: PLW1641 - it holds dicts, so nothing can hash it
    """The file as a whole.

    Attributes:
        schema_version: `schema`; the version of this file format.
        name: what the run is called.
        description: one sentence a reader sees first.
        seed: of all random numbers.
        duration: when arrivals stop, warm-up included.
        warmup: requests that start before it are not measured; ``auto`` finds it by MSER-5.
        drain: how long after `duration` the run may go on to finish what it began.
        engine: which engine runs it.
        keep: a row of every request, call and attempt, or counts, histograms and time series only.
        services: by name.
        mesh: the data plane and its control plane.
        links: by ``default`` or ``"a -> b"``.
        policies: by service or ``"a -> b"``, which narrows it to one caller.
        access: who may call what; without a rule that allows, everybody may.
        load: requests from the client.
        events: faults, and configuration pushes.
        objectives: what must hold.
        sweep: values by dotted key, for `meshsim.sweep`.
        tracing: which requests leave spans.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str = ""
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    duration: PositiveDuration
    warmup: Warmup = 0.0
    drain: Duration | None = None
    engine: Literal["auto", "fast", "simpy", "reference"] = "auto"
    keep: Literal["records", "histograms"] = "records"
    services: Annotated[dict[str, Service], Field(min_length=1)]
    mesh: Mesh = Field(default_factory=Mesh)
    nodes: Later = None
    links: dict[str, Link] = Field(default_factory=dict)
    policies: dict[str, Policy] = Field(default_factory=dict)
    access: Annotated[tuple[AccessRule, ...], AsTuple] = ()
    load: Annotated[tuple[Load, ...], Field(min_length=1), AsTuple]
    events: Annotated[tuple[Event, ...], AsTuple] = ()
    rollouts: Later = None
    objectives: Annotated[tuple[Objective, ...], AsTuple] = ()
    sweep: Sweep = Field(default_factory=dict)
    tracing: Tracing = Field(default_factory=Tracing)

    _folder: Path | None = PrivateAttr(default=None)

    def __repr__(self) -> str:
        said = f"{len(self.services)} services, {len(self.load)} loads, {self.duration:g} s, seed {self.seed}"
        return f"<Scenario {self.name[:60]!r}: {said}>"

    __str__ = __repr__  # not pydantic's, which is pages long

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, wherever their files are."""
        return isinstance(other, Scenario) and all(
            getattr(self, name) == getattr(other, name) for name in type(self).model_fields
        )

    @property
    def folder(self) -> Path | None:
        """Where the files that it names are; None for one that was not read from a file."""
        return self._folder

    def policy(self, caller: str, service: str, endpoint: str = "") -> Policy:
        """What `caller` applies to `service`, or to one of its endpoints: what is written, and the preset.

        A preset's connections take part where something is written of how long connections last.
        """
        written, preset = self.written(caller, service, endpoint), self.mesh.preset
        silent = preset != "none" and "connection" not in written.model_fields_set
        if silent and self.connects(caller, service):
            written = written.model_copy(update={"connection": Connection()})
        return filled(written, preset)

    def written(self, caller: str, service: str, endpoint: str = "") -> Policy:
        """The same without the preset.

        It is the service's policy, each field replaced where the edge has one, then where the endpoint has
        one, then where the endpoint has one on this edge.
        """
        found = self.policies.get(service, Policy())
        names = [f"{caller} -> {service}"]
        if endpoint:
            names += [f"{service}/{endpoint}", f"{caller} -> {service}/{endpoint}"]
        for layer in (self.policies[name] for name in names if name in self.policies):
            found = found.model_copy(update={name: getattr(layer, name) for name in layer.model_fields_set})
        return found

    def limits_itself(self, caller: str, service: str, endpoint: str) -> bool:
        """Whether an endpoint has a rate limit of its own; else it shares that of the service."""
        names = (f"{service}/{endpoint}", f"{caller} -> {service}/{endpoint}")
        return any(
            name in self.policies and "rate_limit" in self.policies[name].model_fields_set for name in names
        )

    def link(self, caller: str, service: str) -> Link:
        """The link of an edge: its own, or the default one."""
        return self.links.get(f"{caller} -> {service}", self.links.get("default", Link()))

    def has_sidecar(self, member: str) -> bool:
        """Whether a service's replicas have sidecars; the client counts as one with a sidecar."""
        outside = member != CLIENT and not self.services[member].sidecar
        return self.mesh.dataplane == "sidecar" and not outside

    def mode(self, service: str) -> MtlsMode | None:
        """What the sidecars of a service accept of their callers; None where there is no mTLS."""
        if self.mesh.mtls is None or not self.has_sidecar(service):
            return None
        return self.services[service].mtls or self.mesh.mtls.mode

    def secures(self, caller: str, service: str) -> bool:
        """Whether callers use mTLS: where both sides have it, unless the upstream takes plaintext alone.

        Source: Istio's automatic mTLS.
        """
        return self.has_sidecar(caller) and self.mode(service) in ("strict", "permissive")

    def refuses(self, caller: str, service: str) -> bool:
        """Whether a service, which takes mTLS alone, refuses what a caller sends: plaintext."""
        return self.mode(service) == "strict" and not self.secures(caller, service)

    def identity(self, caller: str, service: str) -> str:
        """Who the caller is to a service's sidecar: its name, or nobody where it comes without mTLS."""
        return caller if self.secures(caller, service) else ""

    @property
    def has_rules(self) -> bool:
        """Whether there are access rules at any time."""
        return bool(self.access) or any("access" in event.set for event in self.events)

    def connects(self, caller: str, service: str) -> bool:
        """Whether something is said of an edge's connections: by the link or the service, or by mTLS."""
        versions = self.services[service].deployments().values()
        keep_alive = any(version.keep_alive > 0.0 for version in versions)
        mtls = self.mode(service) is not None
        return mtls or keep_alive or self.link(caller, service).connect != ZERO

    def edges(self) -> list[tuple[str, str]]:
        """Every (caller, service) that can carry calls: the client's first, then in order of the file."""
        return list(dict.fromkeys((caller, service) for caller, service, _ in self._named()))

    def calls(self) -> list[tuple[str, str, str]]:
        """Every (caller, service, endpoint) that loads and scripts name; ``""`` is the service itself."""
        return list(dict.fromkeys(self._named()))

    def routes(self) -> list[tuple[str, str, str]]:
        """Every (caller, service, endpoint) that can carry calls, in order of the edges, then of the file.

        The first of each edge is that to the service itself, ``""``, whether or not it is called.
        """
        named = set(self._named())
        return [
            (caller, service, endpoint)
            for caller, service in self.edges()
            for endpoint in ("", *self.services[service].endpoints)
            if not endpoint or (caller, service, endpoint) in named
        ]

    def _named(self) -> Iterator[tuple[str, str, str]]:
        """(caller, service, endpoint) as loads and scripts name them, again and again."""
        for load in self.load:
            yield from ((CLIENT, load.to, endpoint) for endpoint in load.endpoints or ("",))
        for name, service in self.services.items():
            steps = (step for script in service.scripts() for stage in script for step in stage)
            yield from ((name, step.service, step.endpoint) for step in steps if isinstance(step, CallStep))

    def policies_after(self, event_index: int) -> Scenario:
        """The scenario with what is in force after one of its `set` events: policies, rules, modes.

        It has the changes of that event, `events[event_index]`, and of all `set` events that begin before
        it, in order of time, then of the file.

        Raises:
            IndexError: no such event.
            ValueError: the event sets nothing, or what it sets is not valid (a loaded scenario's is).
        """
        if not 0 <= event_index < len(self.events):
            raise IndexError(f"no event {event_index}")
        last = (self.events[event_index].at, event_index)
        if not self.events[event_index].set:
            raise ValueError(f"event {event_index} sets nothing")
        config = self.pushable()
        pushes = sorted((event.at, index) for index, event in enumerate(self.events) if event.set)
        for at, index in pushes:
            if (at, index) <= last:
                push(config, self.events[index].set)
        return self.with_pushed(config)

    def with_pushed(self, config: Mapping[str, Any]) -> Scenario:
        """The scenario with what is pushed in force, of the form of `pushable`; ValueError if not valid."""
        policies = {name: Policy.model_validate(raw) for name, raw in config["policies"].items()}
        access = tuple(AccessRule.model_validate(rule) for rule in config["access"])
        services = {
            name: service.model_copy(update={"mtls": config["services"][name]["mtls"]})
            for name, service in self.services.items()
        }
        mtls = self.mesh.mtls
        if mtls is not None:
            mtls = mtls.model_copy(update={"mode": config["mesh"]["mtls"]["mode"]})
        mesh = self.mesh.model_copy(update={"mtls": mtls})
        return self.model_copy(
            update={"policies": policies, "access": access, "services": services, "mesh": mesh}
        )

    def nacked_after(self, event_index: int) -> frozenset[str]:
        """The services whose proxies refuse what is in force after a `set` event; errors as `policies_after`.

        A proxy refuses all of it as long as a change is in it that it refuses: until all keys of that are set
        anew, or what they are a part of.
        """
        last = (self.events[event_index].at, event_index)
        pushes = sorted((event.at, index) for index, event in enumerate(self.events) if event.set)
        refused: list[Refused] = []
        for _, index in pushes[: pushes.index(last) + 1]:
            refused = refused_after(refused, self.events[index])
        return frozenset(service for _, services in refused for service in services)

    def pushable(self) -> dict[str, Any]:
        """What events can set, as a file could have it."""
        return {
            "policies": {name: policy.as_config() for name, policy in self.policies.items()},
            "access": [rule.as_config() for rule in self.access],
            "services": {name: {"mtls": service.mtls} for name, service in self.services.items()},
            "mesh": {"mtls": {"mode": self.mesh.mtls.mode if self.mesh.mtls else None}},
        }

    @property
    def drain_limit(self) -> float:
        """How long the run may last after `duration`, s: `drain`, or the longer of a minute and it."""
        return max(60.0, self.duration) if self.drain is None else self.drain
