"""What happens to the mesh: load, events, and what must hold."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from meshsim.errors import shown
from meshsim.scenario.fields import (
    AsTuple,
    Duration,
    Later,
    Model,
    Positive,
    PositiveDuration,
    PositiveRate,
    Rate,
    Ratio,
    Weight,
    named,
    one_named,
)
from meshsim.scenario.names import listed, suggestion
from meshsim.scenario.services import ZERO
from meshsim.scenario.times import Time


class ProfilePoint(Model):
    """From `at` on, this rate; reached in a straight line over the `ramp` that begins at `at`."""

    at: Duration
    rate: Rate
    ramp: Duration = 0.0


class Mmpp(Model):
    """A Markov-modulated Poisson process: the state cycles through `rates`, staying exponentially long."""

    rates: Annotated[tuple[Rate, ...], Field(min_length=2), AsTuple]
    mean_times: Annotated[tuple[PositiveDuration, ...], Field(min_length=2), AsTuple]

    @model_validator(mode="after")
    def _as_many(self) -> Mmpp:
        if len(self.rates) != len(self.mean_times):
            raise ValueError(
                f"{len(self.rates)} rates but {len(self.mean_times)} mean_times; give as many of each"
            )
        return self


class Trace(Model):
    """Arrivals from a CSV file next to the scenario.

    Attributes:
        file: its column `time` has seconds from the start, in order.
        times: these; the loader puts them here.
    """

    file: str = ""
    times: Annotated[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...], AsTuple] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Trace:
        if list(self.times) != sorted(self.times):
            raise ValueError("the times are not in order; sort them")
        return self

    def __eq__(self, other: object) -> bool:
        """The same arrivals, whichever file they came from."""
        return isinstance(other, Trace) and self.times == other.times

    def __hash__(self) -> int:
        return hash(self.times)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The form as it is written: without times."""
        parsed = super().__get_pydantic_json_schema__(core, handler)
        del parsed["properties"]["times"]
        return {**parsed, "required": ["file"]}


ARRIVALS = ("poisson", "constant", "mmpp", "trace")


class Arrivals(Model):
    """How requests of an open load come: ``poisson``, ``constant``, ``{mmpp: ...}``, ``{trace: ...}``."""

    kind: Literal["poisson", "constant", "mmpp", "trace"] = "poisson"
    mmpp: Mmpp | None = None
    trace: Trace | None = None

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        if isinstance(value, dict) and (not value or "kind" in value):  # as Python code builds it
            return value
        name = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else value
        if not isinstance(name, str):
            raise ValueError(f"{shown(value)} are not valid arrivals; write one of {listed(ARRIVALS)}")
        if name not in ARRIVALS:
            raise ValueError(f"no arrivals {shown(name)}; {suggestion(name, ARRIVALS)}")
        if isinstance(value, str) and name in ("mmpp", "trace"):
            needed = "{rates: [...], mean_times: [...]}" if name == "mmpp" else "{file: arrivals.csv}"
            raise ValueError(f"{name} needs its options; write {{{name}: {needed}}}")
        if isinstance(value, dict) and name in ("poisson", "constant"):
            raise ValueError(f"{name} has no options; write arrivals: {name}")
        return {"kind": name, **(value if isinstance(value, dict) else {})}

    @model_validator(mode="after")
    def _given(self) -> Arrivals:
        if self.kind in ("mmpp", "trace") and getattr(self, self.kind) is None:
            raise ValueError(f"{self.kind} is empty; write its options")
        return self

    def as_written(self) -> Any:
        return named(self.kind, getattr(self, self.kind, None))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The forms as they are written."""
        parsed = super().__get_pydantic_json_schema__(core, handler)
        options = {name: parsed["properties"][name]["anyOf"][0] for name in ("mmpp", "trace")}
        return one_named(("poisson", "constant"), options, parsed)


class Load(Model):
    """Requests from the client to one service, open (a rate) or closed (users who think).

    Attributes:
        to: the service.
        arrivals: how they come.
        rate: arrivals per second of a poisson or constant load.
        profile: the same, changing in time; a load has a rate or a profile.
        users: how many take turns to think and to wait for an answer.
        think: the pause before each request.
        priority: higher is served first by queues with `discipline: priority`.
    """

    to: str
    rate: PositiveRate | None = None
    profile: Annotated[tuple[ProfilePoint, ...], AsTuple] = ()
    arrivals: Arrivals = Field(default_factory=Arrivals)
    users: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    think: Time = ZERO
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0


class Event(Model):
    """Something that happens at a time: a fault that lasts, or a configuration push.

    Attributes:
        at: when it begins.
        lasts: `for`; how long (to the end of the run where it is not given).
        service, replica, link: what it befalls; exactly one, or `set`.
        slow: factor on service times that start meanwhile.
        errors: share of own failures meanwhile, instead of the configured one.
        down: the replica (or all of the service's) is gone.
        latency_factor: factor on the link's latency.
        loss: the link's loss meanwhile, instead of the configured one.
        set: dotted keys and their new values, pushed to every proxy.
    """

    at: Duration
    lasts: PositiveDuration | None = Field(default=None, alias="for")
    service: str | None = None
    replica: str | None = None
    link: str | None = None
    node: Later = None
    zone: Later = None
    slow: Positive | None = None
    errors: Ratio | None = None
    down: bool = False
    latency_factor: Weight | None = None
    loss: Ratio | None = None
    set: Annotated[dict[str, Any], AfterValidator(copy.deepcopy)] = Field(default_factory=dict)


class Objective(Model):
    """What must hold for the requests to a service: latencies at most, success at least."""

    service: str
    mean: Duration | None = None
    p50: Duration | None = None
    p90: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None
    p999: Duration | None = None
    max: Duration | None = None
    success: Ratio | None = None


class Tracing(Model):
    """Which requests leave spans; Istio's default share."""

    sampling: Ratio = 0.01
