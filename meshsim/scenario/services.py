"""Services, their versions and the scripts they run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag

from meshsim import units
from meshsim.errors import shown
from meshsim.scenario.fields import AsTuple, Count, Model, PositiveCount, Ratio, by_key
from meshsim.scenario.names import suggestion
from meshsim.scenario.times import ConstantTime, Time

ZERO = ConstantTime.model_construct(constant=0.0)  # constructed: validating would build a schema on import


class CallStep(Model):
    """A call to another service.

    Attributes:
        call: the service.
        probability: how often the call is made at all.
        optional: whether the caller carries on when the call fails.
    """

    call: str
    probability: Ratio = 1.0
    optional: bool = False


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
    """

    replicas: Annotated[int, Field(ge=1, le=100_000)] = 1
    workers: PositiveCount = units.UNLIMITED
    queue: Count = units.UNLIMITED
    discipline: Literal["fifo", "lifo", "priority"] = "fifo"
    holds_worker: bool = True
    when_abandoned: Literal["finish", "leave_queue", "stop"] = "finish"
    time: Time = ZERO
    errors: Ratio = 0.0
    script: Annotated[tuple[Stage, ...], AsTuple] = ()
    live: Live | None = None


class Service(Deployment):
    """A service; its versions inherit the fields they don't give.

    Attributes:
        versions: by name; fields not given are the service's.
    """

    versions: dict[str, Deployment] = Field(default_factory=dict)

    def deployments(self) -> dict[str, Deployment]:
        """Every version with its fields filled in, in order; the one of a service without any is ``""``."""
        own = {name: getattr(self, name) for name in Deployment.model_fields}
        if not self.versions:
            return {"": Deployment.model_construct(**own)}
        return {
            name: Deployment.model_construct(
                **{**own, **{field: getattr(version, field) for field in version.model_fields_set}}
            )
            for name, version in self.versions.items()
        }
