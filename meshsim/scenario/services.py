"""Services, their versions and the scripts they run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Tag

from meshsim import units
from meshsim.errors import shown
from meshsim.scenario.fields import AsTuple, Count, Duration, Model, PositiveCount, Ratio, by_key
from meshsim.scenario.names import suggestion
from meshsim.scenario.times import ConstantTime, Time

ZERO = ConstantTime.model_construct(constant=0.0)  # constructed: validating would build a schema on import


class CallStep(Model):
    """A call to another service.

    Attributes:
        call: the service, or one of its endpoints: ``cart/add``.
        repeat: how many times it is made, one after the other; the first required one that fails is the last.
        probability: how often it is made at all.
        optional: whether the caller carries on when the call fails.
    """

    call: str
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    probability: Ratio = 1.0
    optional: bool = False

    @property
    def service(self) -> str:
        """Whom it calls."""
        return self.call.partition("/")[0]

    @property
    def endpoint(self) -> str:
        """Which endpoint; empty for the service itself."""
        return self.call.partition("/")[2]


class SleepStep(Model):
    """A pause that needs no worker time of its own (the worker is held as `holds_worker` says)."""

    sleep: Time


def _step(value: Any) -> Any:
    """A step as in the file, refused where it is neither a call nor a sleep."""
    if isinstance(value, Model):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not a step; write {{call: a-service}} or {{sleep: 10ms}}")
    if "call" in value and "sleep" in value:
        raise ValueError("a step either calls or sleeps; make it two steps")
    if "call" not in value and "sleep" not in value:
        name = next(iter(value), "")
        raise ValueError(f"a step needs a call or a sleep; {suggestion(str(name), ('call', 'sleep'))}")
    return value


_EITHER = Annotated[CallStep, Tag("<call>")] | Annotated[SleepStep, Tag("<sleep>")]
Step = Annotated[
    Annotated[_EITHER, by_key(("call", "sleep"))],
    BeforeValidator(_step, json_schema_input_type=CallStep | SleepStep),
]


def _concurrent(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Stage = Annotated[
    tuple[Step, ...],
    Field(min_length=1),
    BeforeValidator(
        _concurrent, json_schema_input_type=Step | Annotated[tuple[Step, ...], Field(min_length=1)]
    ),
]
"""Steps that start together; a lone step is a stage of one."""
Script = Annotated[tuple[Stage, ...], AsTuple]
"""Stages, one after the other."""


def _path(value: str) -> str:
    """A path as requests write it."""
    if not re.fullmatch(r"/[!-~]*", value) or "?" in value or "#" in value:
        raise ValueError(f"{shown(value)} is not a path; begin with /, without spaces, ? and #")
    if set(value) & set("*{}"):
        raise ValueError("patterns are not known here; write the path itself")
    return value


class Live(Model):
    """What runs in the place of a replica when the scenario is run live, instead of a made-up service.

    Attributes:
        command: a program and its arguments; it listens on the port in its environment variable PORT.
        env: more environment variables.
    """

    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), AsTuple]
    env: dict[str, str] = Field(default_factory=dict)


class Deployment(Model):
    """How replicas work: the fields a service and each of its versions have.

    Attributes:
        replicas: how many.
        workers: requests served at once, per replica.
        queue: waiting room per replica; a full one answers 503.
        discipline: which waiting request is served next; `priority` serves the highest first.
        holds_worker: whether the worker stays busy during the replica's own downstream calls.
        when_abandoned: what becomes of work whose caller gave up.
        time: the replica's own time per attempt.
        errors: share of attempts that fail by themselves, with 500.
        script: stages, one after the other; a nested list is concurrent.
        live: a program to run live; None for a service that does what is said here.
        keep_alive: a connection that has been idle at the upstream's side for so long is closed there; 0 is
            never.
        startup: a replica that is added while the mesh runs is ready so long after its start.
        drain: a replica that leaves serves for so long.
    """

    replicas: Annotated[int, Field(ge=1, le=100_000)] = 1
    workers: PositiveCount = units.UNLIMITED
    queue: Count = units.UNLIMITED
    discipline: Literal["fifo", "lifo", "priority"] = "fifo"
    holds_worker: bool = True
    when_abandoned: Literal["finish", "leave_queue", "stop"] = "finish"
    time: Time = ZERO
    errors: Ratio = 0.0
    script: Script = ()
    live: Live | None = None
    keep_alive: Duration = 0.0
    startup: Duration = 0.0
    drain: Duration = 0.0


class EndpointWork(Model):
    """What replicas do for one endpoint; what is not given is as for the service, or the version, itself."""

    time: Time | None = None
    errors: Ratio | None = None
    script: Script | None = None


class Endpoint(EndpointWork):
    """A route of a service, which requests name by method and path.

    Attributes:
        method: of the requests.
        path: of the requests, without a query; ``/`` and the endpoint's name unless told.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: Annotated[str, AfterValidator(_path)] | None = None


class Version(Deployment):
    """A version of a service.

    Attributes:
        endpoints: what it does otherwise than the service, by name.
    """

    endpoints: dict[str, EndpointWork] = Field(default_factory=dict)


class Service(Deployment):
    """A service; its versions inherit the fields they don't give.

    Attributes:
        versions: by name; fields not given are the service's.
        endpoints: by name; a call that names none has the service's own time, errors and script.
        mtls: what its sidecars accept of their callers, in place of `mesh.mtls.mode`.
        sidecar: whether it has sidecars where the mesh has; without, it has no identity either.
    """

    versions: dict[str, Version] = Field(default_factory=dict)
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    mtls: Literal["strict", "permissive", "disable"] | None = None
    sidecar: bool = True

    def deployments(self) -> dict[str, Deployment]:
        """Every version with its fields filled in, in order; the one of a service without any is ``""``."""
        own = {name: getattr(self, name) for name in Deployment.model_fields}
        if not self.versions:
            return {"": Deployment.model_construct(**own)}
        return {
            name: Deployment.model_construct(
                **{
                    **own,
                    **{field: getattr(version, field) for field in version.model_fields_set & own.keys()},
                }
            )
            for name, version in self.versions.items()
        }

    def work(self, version: str, endpoint: str) -> Deployment:
        """A version's deployment as requests to an endpoint find it; ``""`` is the service itself."""
        found = self.deployments()[version]
        if not endpoint:
            return found
        layers: list[EndpointWork] = [self.endpoints[endpoint]]
        if version and endpoint in self.versions[version].endpoints:
            layers.append(self.versions[version].endpoints[endpoint])
        for layer in layers:
            given = {name: getattr(layer, name) for name in EndpointWork.model_fields}
            found = found.model_copy(
                update={name: value for name, value in given.items() if value is not None}
            )
        return found

    def scripts(self) -> Iterator[tuple[Stage, ...]]:
        """Every script that its replicas may run."""
        for version in self.deployments():
            for endpoint in ("", *self.endpoints):
                yield self.work(version, endpoint).script

    def address(self, endpoint: str) -> tuple[str, str]:
        """Method and path of an endpoint, or of a call that names none."""
        if not endpoint:
            return "GET", "/"
        found = self.endpoints[endpoint]
        return found.method, f"/{endpoint}" if found.path is None else found.path
