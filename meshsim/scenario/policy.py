"""Policies: how callers reach a service. Silence means absence."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from meshsim import units
from meshsim.scenario.fields import (
    AsTuple,
    Choice,
    Count,
    Duration,
    Later,
    Model,
    PositiveCount,
    PositiveDuration,
    PositiveRate,
    Ratio,
    Weight,
)
from meshsim.scenario.times import Time

RetryCondition = Literal[
    "5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "reset-before-request",
    "retriable-4xx", "envoy-ratelimited", "per-try-timeout",
    "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
]  # fmt: skip
Status = Annotated[int, Field(ge=200, le=599)]


class Backoff(Model):
    """The wait before retry n, by its bound min(base · 2^(n-1), max): Envoy's is uniform on [0, bound).

    Attributes:
        base: the first bound.
        max: the largest bound, and the longest wait; Envoy's default is 10 x base.
        jitter: makes it Linkerd's: the bound, and up to this share of it on top.
    """

    base: Duration = 0.025
    max: Duration | None = None
    jitter: Ratio | None = None

    @property
    def ceiling(self) -> float:
        """`max`, or Envoy's default of ten times the base."""
        return 10.0 * self.base if self.max is None else self.max

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of the bound between which a wait is uniform, before `max` cuts it."""
        return (0.0, 1.0) if self.jitter is None else (1.0, 1.0 + self.jitter)


LEAST_RATIO = 1e-6
"""Of Linkerd's budget: below it, one retry would cost more than a run has requests."""


class RetryBudget(Model):
    """How many retries a proxy may have: Envoy's share of what is in flight, or Linkerd's of what ended.

    Attributes:
        ratio: retries per request.
        min_concurrency: Envoy: retries in flight always allowed.
        min_per_second: Linkerd: retries per second always allowed. Given with or without `ttl`, it makes
            the budget Linkerd's.
        ttl: Linkerd: how long an ended request counts.
    """

    ratio: Ratio = 0.2
    min_concurrency: Annotated[int, Field(ge=0, le=units.UNLIMITED)] | None = None
    min_per_second: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    ttl: Annotated[Duration, Field(ge=1.0, le=60.0)] | None = None

    @property
    def kind(self) -> Literal["envoy", "linkerd"]:
        """Whose budget it is."""
        return "linkerd" if self.min_per_second is not None or self.ttl is not None else "envoy"

    @model_validator(mode="after")
    def _one_kind(self) -> RetryBudget:
        if self.kind == "linkerd" and self.min_concurrency is not None:
            kinds = "min_concurrency is Envoy's budget, min_per_second and ttl are Linkerd's"
            raise ValueError(f"{kinds}; keep one kind")
        if self.kind == "linkerd" and 0.0 < self.ratio < LEAST_RATIO:
            message = f"a ratio of {self.ratio} lets no retry be saved up"
            raise ValueError(f"{message}; write 0 or at least 0.0001%")
        return self


def _no_statuses(conditions: Any) -> Any:
    """Refuses among conditions what is a key of its own."""
    for each in conditions if isinstance(conditions, list) else ():
        if each == "retriable-status-codes" or type(each) is int:
            status = each if type(each) is int else 503
            raise ValueError(f"{each} is not a condition; write statuses: [{status}]")
    return conditions


def _conditions(fields: dict[str, Any]) -> tuple[RetryCondition, ...]:
    """What is retried where nothing says it: the statuses alone, if there are some."""
    return () if fields.get("statuses") else ("5xx",)


class Retries(Model):
    """When a failed try is tried again.

    Attributes:
        attempts: tries beyond the first.
        per_try_timeout: for each try, from the moment it has a connection; 0 is none.
        statuses: responses of the upstream with these are worth a retry: Envoy's `retriable-status-codes`.
        on: what else is worth a retry; 5xx, or nothing where there are `statuses`.
        backoff: the wait before a retry.
        previous_hosts: whether a retry avoids hosts that the call has tried: Envoy's predicate of this name.
        host_attempts: how often it picks again to avoid one; then it takes what comes.
        budget: how many retries a proxy may have; where there is none, `circuit_breaker.max_retries` counts.
    """

    attempts: Count = 1
    per_try_timeout: Duration = 0.0
    statuses: Annotated[tuple[Status, ...], Field(min_length=1), AsTuple] = ()
    on: Annotated[tuple[RetryCondition, ...], Field(min_length=1), AsTuple, BeforeValidator(_no_statuses)] = (
        Field(default_factory=_conditions)
    )
    backoff: Backoff = Field(default_factory=Backoff)
    previous_hosts: bool = False
    host_attempts: Annotated[int, Field(ge=1, le=100)] = 1
    budget: RetryBudget | None = None


class LeastRequest(Model):
    """Envoy's: of `choices` hosts drawn with replacement, the one with the fewest requests in flight.

    Attributes:
        choices: how many are drawn.
        selection: ``full_scan`` looks at every host instead, ties at random.
    """

    choices: Annotated[int, Field(ge=2, le=1000)] = 2
    selection: Literal["n_choices", "full_scan"] = "n_choices"


class PeakEwma(Model):
    """Linkerd's: of two different hosts, the one with the lower latency x (requests under way + 1).

    Attributes:
        decay: how fast what was observed is forgotten.
        rtt: the latency of a host nobody has heard of.
    """

    decay: PositiveDuration = 10.0
    rtt: PositiveDuration = 0.03


class Balance(Choice):
    """Which balancer, with its options: ``random``, ``{least_request: {choices: 2}}``."""

    KEY, NOUN, UNFIT = "balance", "balancer", "is not a balancer"
    LATER = ("ring_hash", "maglev")

    kind: Literal["round_robin", "random", "least_request", "peak_ewma"] = "round_robin"
    least_request: LeastRequest = Field(default_factory=LeastRequest)
    peak_ewma: PeakEwma = Field(default_factory=PeakEwma)


class Connection(Model):
    """How long a connection to a replica lasts, as Envoy's `HttpProtocolOptions` say it.

    Attributes:
        connect_timeout: an opening that would take as long fails then; 0 is none.
        idle_timeout: the caller closes a connection that has served nobody for so long; 0 is never.
        max_requests: the caller closes a connection after the response to so many.
        max_age: the caller closes a connection that has been open for so long, once it is free; 0 is never.
    """

    connect_timeout: Duration = 0.0
    idle_timeout: Duration = 0.0
    max_requests: PositiveCount = units.UNLIMITED
    max_age: Duration = 0.0
    protocol: Later = None
    max_streams: Later = None


class CircuitBreaker(Model):
    """Envoy's thresholds, per cluster and calling proxy: gauges, no open or half-open state.

    Attributes:
        max_connections: connections open at once.
        max_pending: attempts waiting for a connection.
        max_requests: attempts in flight.
        max_retries: retries in flight.
    """

    max_connections: Count = units.UNLIMITED
    max_pending: Count = units.UNLIMITED
    max_requests: Count = units.UNLIMITED
    max_retries: Count = units.UNLIMITED


class SuccessRate(Model):
    """Envoy's ejection of hosts that fail more often than the others.

    Attributes:
        hosts: with fewer that had enough requests, none is ejected.
        requests: enough, in one interval.
        factor: so many standard deviations below the mean success rate ejects.
    """

    hosts: Annotated[int, Field(ge=1, le=units.UNLIMITED)] = 5
    requests: Annotated[int, Field(ge=1, le=units.UNLIMITED)] = 100
    factor: Annotated[float, Field(ge=0, le=1e6)] = 1.9


def _ejection_limit(fields: dict[str, Any]) -> float:
    """Envoy's default: 300 s, or the base time where that is longer."""
    base: float = fields.get("base_ejection_time", 0.0)
    return max(300.0, base)


class OutlierDetection(Model):
    """Envoy's ejection of hosts that keep failing.

    Attributes:
        consecutive_5xx: that many in a row eject.
        consecutive_gateway_failure: that many of 502, 503 and 504 in a row eject; without it, none do.
        success_rate: who fails more often than the others in an interval is ejected.
        interval: un-ejection happens on this grid only; so does the comparison of success rates.
        base_ejection_time: times the number of ejections so far, up to `max_ejection_time`.
        max_ejection_time: the longest ejection; 300s, or the base where that is longer.
        max_ejection_percent: an ejection that would pass it does not happen.
        always_eject_one: while no host is out, the next ejection does happen.
        min_health_percent: below it, all hosts are used (panic); 0 turns panic off.
        merge_window: a change of who is ejected reaches the balancer at once, but waits for so long if
            another did within it before; 0 never waits. Envoy's default is 1s.
    """

    consecutive_5xx: Annotated[int, Field(ge=1, le=units.UNLIMITED)] = 5
    consecutive_gateway_failure: Annotated[int, Field(ge=1, le=units.UNLIMITED)] | None = None
    success_rate: SuccessRate | None = None
    interval: PositiveDuration = 10.0
    base_ejection_time: PositiveDuration = 30.0
    max_ejection_time: PositiveDuration = Field(default_factory=_ejection_limit)
    max_ejection_percent: Ratio = 0.1
    always_eject_one: bool = False
    min_health_percent: Ratio = 0.0
    merge_window: Duration = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> OutlierDetection:
        if self.max_ejection_time < self.base_ejection_time:
            longest, base = map(units.show_duration, (self.max_ejection_time, self.base_ejection_time))
            raise ValueError(
                f"max_ejection_time {longest} is less than base_ejection_time {base}; write at least {base}"
            )
        return self


class FailureAccrual(Model):
    """Linkerd's circuit breaking: a host that keeps failing is shut, then judged by one request.

    Attributes:
        max_failures: that many in a row shut it.
        min_penalty: how long it is shut the first time; twice as long after each failed probe.
        max_penalty: the longest time it is shut.
        jitter: up to this share of the time on top.
    """

    max_failures: Annotated[int, Field(ge=1, le=units.UNLIMITED)] = 7
    min_penalty: PositiveDuration = 1.0
    max_penalty: PositiveDuration = 60.0
    jitter: Ratio = 0.5

    @model_validator(mode="after")
    def _ordered(self) -> FailureAccrual:
        if self.min_penalty > self.max_penalty:
            least, most = map(units.show_duration, (self.min_penalty, self.max_penalty))
            raise ValueError(f"min_penalty {least} is more than max_penalty {most}; write at most {most}")
        return self


class RateLimit(Model):
    """Envoy's local rate limit: a token bucket that starts full and refills continuously.

    Attributes:
        burst: tokens the bucket holds.
        rate: how fast it refills.
    """

    burst: Annotated[int, Field(ge=1)]
    rate: PositiveRate


class Hedge(Model):
    """A second try beside a slow first one: after `after`, and again, `max` in all.

    Attributes:
        after: how long the first try may take before a second joins it.
        max: how many tries may join.
    """

    after: PositiveDuration
    max: Annotated[int, Field(ge=1, le=100)] = 1


class FaultDelay(Model):
    """A share of calls waits before it is routed."""

    percent: Ratio = 1.0
    time: Time


class FaultAbort(Model):
    """A share of calls is answered by the proxy."""

    percent: Ratio = 1.0
    status: Status = 503


class Fault(Model):
    """Envoy's fault injection, at the calling proxy, before the route."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


TWO_DETECTIONS = "failure_accrual and outlier_detection exclude each other; keep one of them"


class Policy(Model):
    """How callers reach a service. What is not written does not act; balancing is round robin.

    Attributes:
        timeout: for the call as a whole, retries included; 0 is none.
        retries: when a failed try is tried again.
        balance: which replica is picked.
        connection: how long a connection lasts.
        circuit_breaker: limits on connections, requests and retries.
        outlier_detection: when a failing replica is left out.
        failure_accrual: the same in Linkerd's way; one of both can be written.
        rate_limit: how many calls a calling proxy lets through.
        hedge: second tries beside slow first ones.
        split: weights by version.
        fault: injected delays and aborts.
    """

    timeout: Duration = 0.0
    retries: Retries | None = None
    balance: Balance = Field(default_factory=Balance)
    connection: Connection | None = None
    circuit_breaker: CircuitBreaker = Field(default_factory=CircuitBreaker)
    outlier_detection: OutlierDetection | None = None
    failure_accrual: FailureAccrual | None = None
    rate_limit: RateLimit | None = None
    hedge: Hedge | None = None
    split: dict[str, Weight] = Field(default_factory=dict)
    fault: Fault = Field(default_factory=Fault)

    @model_validator(mode="after")
    def _one_detection(self) -> Policy:
        if self.outlier_detection is not None and self.failure_accrual is not None:
            raise ValueError(TWO_DETECTIONS)
        return self

    @property
    def detection(self) -> OutlierDetection | FailureAccrual | None:
        """What leaves failing replicas out."""
        return self.failure_accrual or self.outlier_detection
