"""A scenario as frozen, typed models: what the YAML says, units parsed, nothing decided yet.

The models are the configuration of everything inside; the machines in `policies` and the objects in
`mesh` are built from them and never see a dict. Silence means absence: a policy that is not written does
not act, and its field is None.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from meshsim import units
from meshsim.scenario.fields import Count, Duration, Later, Model, Positive, Rate, Ratio, Weight
from meshsim.scenario.times import ConstantTime, Time

CLIENT = "client"
"""The caller that load comes from."""

ZERO = ConstantTime(constant=0.0)

Replicas = Annotated[int, Field(ge=1, le=100_000)]
Workers = Annotated[Count, Field(ge=1)]


# ---- services ---------------------------------------------------------------------------------------


class CallStep(Model):
    """A call to another service.

    Attributes:
        probability: how often the call is made at all.
        optional: whether the caller carries on when the call fails.
    """

    call: str
    probability: Ratio = 1.0
    optional: bool = False


class SleepStep(Model):
    """A pause that needs no worker time of its own (the worker is held as `holds_worker` says)."""

    sleep: Time


Step = Annotated[
    Annotated[CallStep, Tag("call")] | Annotated[SleepStep, Tag("sleep")],
    Discriminator(
        lambda value: "sleep" if "sleep" in (value if isinstance(value, dict) else type(value).model_fields) else "call"
    ),
]


def _concurrent(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Stage = Annotated[tuple[Step, ...], BeforeValidator(_concurrent), Field(min_length=1)]
"""Steps that start together; a lone step is a stage of one."""


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
        script: stages, one after the other.
    """

    replicas: Replicas = 1
    workers: Workers = units.UNLIMITED
    queue: Count = units.UNLIMITED
    discipline: Literal["fifo", "lifo", "priority"] = "fifo"
    holds_worker: bool = True
    when_abandoned: Literal["finish", "leave_queue", "stop"] = "finish"
    time: Time = ZERO
    errors: Ratio = 0.0
    script: tuple[Stage, ...] = ()


class Service(Deployment):
    """A service; its versions inherit the fields they don't give."""

    versions: dict[str, Deployment] = {}

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


# ---- the mesh and its links -------------------------------------------------------------------------


class Proxy(Model):
    """One traversal of a sidecar; a queue like any other (first in, first out, unlimited room)."""

    time: Time = ZERO
    workers: Workers = units.UNLIMITED


def _dataplane(value: Any) -> Any:
    if value in ("node", "ambient"):
        raise ValueError(f"{value!r} is not supported yet in this version of meshsim; write none or sidecar")
    return value


def _preset(value: Any) -> Any:
    if value in ("envoy", "istio", "linkerd"):
        raise ValueError(f"{value!r} is not supported yet in this version of meshsim; write the policies out")
    return value


class Mesh(Model):
    """The data plane and its control plane."""

    dataplane: Annotated[Literal["none", "sidecar"], BeforeValidator(_dataplane)] = "none"
    preset: Annotated[Literal["none"], BeforeValidator(_preset)] = "none"
    proxy: Proxy = Proxy()
    mtls: Later = None
    push_delay: Time = ZERO


class Link(Model):
    """The way between a caller's proxy and an upstream's, both directions alike.

    Attributes:
        latency: of one message, one way.
        loss: share of transmissions lost; TCP sends again after 200 ms, doubling.
    """

    latency: Time = ZERO
    loss: Ratio = 0.0


# ---- policies ---------------------------------------------------------------------------------------

RetryCondition = Literal[
    "5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "reset-before-request",
    "retriable-4xx", "envoy-ratelimited",
]  # fmt: skip


class Backoff(Model):
    """Envoy's jittered back-off: before retry n, uniform on [0, min(base · 2^(n-1), max))."""

    base: Duration = 0.025
    max: Duration | None = None  # 10 x base

    @property
    def ceiling(self) -> float:
        """`max`, or Envoy's default of ten times the base."""
        return 10.0 * self.base if self.max is None else self.max


class RetryBudget(Model):
    """How many retries a proxy may have: Envoy's share of what is in flight, or Linkerd's of what ended.

    Attributes:
        ratio: retries per request.
        min_concurrency: Envoy: retries in flight always allowed.
        min_per_second: Linkerd: retries per second always allowed. Given with or without `ttl`, it makes
            the budget Linkerd's.
        ttl: Linkerd: how long an ended request counts.
    """

    ratio: Annotated[float, BeforeValidator(units.ratio)] = 0.2
    min_concurrency: Annotated[int, Field(ge=0)] | None = None
    min_per_second: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    ttl: Annotated[Duration, Field(ge=1.0, le=60.0)] | None = None

    @property
    def kind(self) -> Literal["envoy", "linkerd"]:
        return "linkerd" if self.min_per_second is not None or self.ttl is not None else "envoy"

    @model_validator(mode="after")
    def _one_kind(self) -> RetryBudget:
        if self.kind == "linkerd" and self.min_concurrency is not None:
            raise ValueError("min_concurrency is Envoy's budget, min_per_second and ttl are Linkerd's: give one kind")
        return self


class Retries(Model):
    """When a failed try is tried again.

    Attributes:
        attempts: tries beyond the first.
        per_try_timeout: for each try, from the moment it has a connection.
        on: what is worth a retry.
    """

    attempts: Count = 1
    per_try_timeout: Duration = 0.0
    on: Annotated[tuple[RetryCondition, ...], Field(min_length=1)] = ("5xx",)
    backoff: Backoff = Backoff()
    budget: RetryBudget | None = None


class LeastRequest(Model):
    """Envoy's: of `choices` hosts drawn with replacement, the one with the fewest requests in flight.

    Attributes:
        choices: how many are drawn.
        selection: ``full_scan`` looks at every host instead, ties at random.
    """

    choices: Annotated[int, Field(ge=2, le=1000)] = 2
    selection: Literal["n_choices", "full_scan"] = "n_choices"


class Balance(Model):
    """Which balancer, with its options."""

    kind: Literal["round_robin", "random", "least_request"] = "round_robin"
    least_request: LeastRequest = LeastRequest()

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        name, options = value, {}
        if isinstance(value, dict) and value and "kind" not in value:
            if len(value) != 1:
                raise ValueError("give one balancer")
            name, options = next(iter(value.items()))
        if not isinstance(name, str):
            return value
        if name in ("peak_ewma", "ring_hash", "maglev"):
            raise ValueError(f"{name!r} is not supported yet in this version of meshsim")
        if options and name != "least_request":
            raise ValueError(f"{name!r} has no options")
        return {"kind": name, "least_request": options or {}}


class CircuitBreaker(Model):
    """Envoy's thresholds, per cluster and calling proxy: gauges, no open or half-open state."""

    max_connections: Count = units.UNLIMITED
    max_pending: Count = units.UNLIMITED
    max_requests: Count = units.UNLIMITED
    max_retries: Count = units.UNLIMITED


class OutlierDetection(Model):
    """Envoy's ejection of hosts with consecutive 5xx.

    Attributes:
        consecutive_5xx: that many in a row eject.
        interval: un-ejection happens on this grid only.
        base_ejection_time: times the number of ejections so far, up to `max_ejection_time`.
        max_ejection_percent: an ejection that would pass it does not happen.
        min_health_percent: below it, all hosts are used (panic); 0 turns panic off.
    """

    consecutive_5xx: Annotated[int, Field(ge=1)] = 5
    interval: Annotated[Duration, Field(gt=0)] = 10.0
    base_ejection_time: Annotated[Duration, Field(gt=0)] = 30.0
    max_ejection_time: Annotated[Duration, Field(gt=0)] = 300.0
    max_ejection_percent: Ratio = 0.1
    min_health_percent: Ratio = 0.0


class RateLimit(Model):
    """Envoy's local rate limit: a token bucket that starts full and refills continuously."""

    burst: Annotated[int, Field(ge=1)]
    rate: Annotated[Rate, Field(gt=0)]


class Hedge(Model):
    """A second try beside a slow first one: after `after`, and again, `max` in all."""

    after: Annotated[Duration, Field(gt=0)]
    max: Annotated[int, Field(ge=1, le=100)] = 1


class FaultDelay(Model):
    """A share of calls waits before it is routed."""

    percent: Ratio = 1.0
    time: Time


class FaultAbort(Model):
    """A share of calls is answered by the proxy."""

    percent: Ratio = 1.0
    status: Annotated[int, Field(ge=200, le=599)] = 503


class Fault(Model):
    """Envoy's fault injection, at the calling proxy, before the route."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class Policy(Model):
    """How callers reach a service. What is not written does not act; balancing is round robin."""

    timeout: Duration = 0.0
    retries: Retries | None = None
    balance: Balance = Balance()
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    outlier_detection: OutlierDetection | None = None
    rate_limit: RateLimit | None = None
    hedge: Hedge | None = None
    split: dict[str, Weight] = {}
    fault: Fault = Fault()


# ---- load, events, objectives -----------------------------------------------------------------------


class ProfilePoint(Model):
    """From `at` on, this rate; reached in a straight line over the `ramp` that begins at `at`."""

    at: Duration
    rate: Rate
    ramp: Duration = 0.0


class Mmpp(Model):
    """A Markov-modulated Poisson process: the state cycles through `rates`, staying exponentially long."""

    rates: Annotated[tuple[Rate, ...], Field(min_length=2)]
    mean_times: Annotated[tuple[Annotated[Duration, Field(gt=0)], ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _as_many(self) -> Mmpp:
        if len(self.rates) != len(self.mean_times):
            raise ValueError("give as many mean_times as rates")
        return self


class Trace(Model):
    """Arrivals from a CSV file next to the scenario: its column `time`, seconds from the start.

    The loader reads the file and puts the sorted times in `times`.
    """

    file: str = ""
    times: tuple[float, ...] = ()


class Arrivals(Model):
    """How requests of an open load come."""

    kind: Literal["poisson", "constant", "mmpp", "trace"] = "poisson"
    mmpp: Mmpp | None = None
    trace: Trace | None = None

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and value and "kind" not in value:
            if len(value) != 1:
                raise ValueError("give one of poisson, constant, mmpp, trace")
            return {"kind": next(iter(value)), **value}
        return value


class Load(Model):
    """Requests from the client to one service, open (a rate) or closed (users who think).

    Attributes:
        to: the service.
        rate: arrivals per second of a poisson or constant load.
        profile: the same, changing in time; a load has a rate or a profile.
        users: how many take turns to think and to wait for an answer.
        think: the pause before each request.
        priority: higher is served first by queues with `discipline: priority`.
    """

    to: str
    rate: Annotated[Rate, Field(gt=0)] | None = None
    profile: tuple[ProfilePoint, ...] = ()
    arrivals: Arrivals = Arrivals()
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
    lasts: Annotated[Duration, Field(gt=0)] | None = Field(default=None, alias="for")
    service: str | None = None
    replica: str | None = None
    link: str | None = None
    node: Later = None
    slow: Positive | None = None
    errors: Ratio | None = None
    down: bool = False
    latency_factor: Weight | None = None
    loss: Ratio | None = None
    set: dict[str, Any] = {}


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


# ---- the whole --------------------------------------------------------------------------------------


def _engine(value: Any) -> Any:
    if value == "fast":
        raise ValueError("'fast' is not supported yet in this version of meshsim; write auto, simpy or reference")
    return value


Warmup = Annotated[
    float | Literal["auto"], BeforeValidator(lambda value: value if value == "auto" else units.duration(value))
]


class Scenario(Model):
    """The file as a whole.

    Attributes:
        duration: when arrivals stop, s, warm-up included.
        warmup: requests that start before it are not measured, s; ``auto`` finds it by MSER-5.
        drain: how long after `duration` the run may go on to finish what it began, s.
        links: by ``default`` or ``"a -> b"``.
        policies: by service or ``"a -> b"``.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str = ""
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    duration: Annotated[Duration, Field(gt=0)]
    warmup: Warmup = 0.0
    drain: Duration | None = None
    engine: Annotated[Literal["auto", "simpy", "reference"], BeforeValidator(_engine)] = "auto"
    services: Annotated[dict[str, Service], Field(min_length=1)]
    mesh: Mesh = Mesh()
    nodes: Later = None
    links: dict[str, Link] = {}
    policies: dict[str, Policy] = {}
    access: Later = None
    load: Annotated[tuple[Load, ...], Field(min_length=1)]
    events: tuple[Event, ...] = ()
    rollouts: Later = None
    objectives: tuple[Objective, ...] = ()
    sweep: Later = None
    tracing: Tracing = Tracing()

    def policy(self, caller: str, service: str) -> Policy:
        """What `caller` applies to `service`: the service's policy, each field replaced where the edge has one."""
        base = self.policies.get(service, Policy())
        edge = self.policies.get(f"{caller} -> {service}")
        if edge is None:
            return base
        return base.model_copy(update={name: getattr(edge, name) for name in edge.model_fields_set})

    def link(self, caller: str, service: str) -> Link:
        """The link of an edge: its own, or the default one."""
        return self.links.get(f"{caller} -> {service}", self.links.get("default", Link()))

    def edges(self) -> list[tuple[str, str]]:
        """Every (caller, service) pair that can carry calls: the client's first, then in order of the file."""
        found = {(CLIENT, load.to): None for load in self.load}
        for name, service in self.services.items():
            for deployment in service.deployments().values():
                for stage in deployment.script:
                    for step in stage:
                        if isinstance(step, CallStep):
                            found[name, step.call] = None
        return list(found)

    @property
    def drain_limit(self) -> float:
        """How long after `duration` the run may last, s: `drain`, or the longer of a minute and the duration."""
        return max(60.0, self.duration) if self.drain is None else self.drain
