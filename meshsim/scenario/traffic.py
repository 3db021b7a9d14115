"""What happens to the mesh: load, events, and what must hold."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from meshsim.scenario.arrivals import Arrivals, ProfilePoint, profile_mean
from meshsim.scenario.fields import (
    AsTuple,
    Duration,
    Later,
    Model,
    PositiveDuration,
    PositiveRate,
    Ratio,
    Weight,
)
from meshsim.scenario.keys import fits
from meshsim.scenario.services import ZERO
from meshsim.scenario.times import Time


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
        endpoints: of the service, by weight; without any, the service itself.
    """

    to: str
    rate: PositiveRate | None = None
    profile: Annotated[tuple[ProfilePoint, ...], AsTuple] = ()
    arrivals: Arrivals = Field(default_factory=Arrivals)
    users: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    think: Time = ZERO
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    endpoints: dict[str, Weight] = Field(default_factory=dict)

    def mean_rate(self, start: float, end: float) -> float:
        """Requests per second of an open load, on average between two times, s; 0 of a closed one."""
        if self.arrivals.process is not None:
            return self.arrivals.process.mean_rate(start, end)
        return profile_mean(self.profile, start, end) if self.profile else self.rate or 0.0

    def share(self, endpoint: str) -> float:
        """The share of its requests that ask for an endpoint, or for the service itself: ``""``."""
        weights = self.endpoints or {"": 1.0}
        return weights.get(endpoint, 0.0) / sum(weights.values())

    def scaled(self, factor: float) -> Load:
        """The load with all its rates multiplied, or its users; a ValueError for a trace."""
        changes: dict[str, Any] = {}
        if self.rate is not None:
            changes["rate"] = self.rate * factor
        if self.profile:
            changes["profile"] = tuple(
                point.model_copy(update={"rate": point.rate * factor}) for point in self.profile
            )
        if self.users is not None:
            changes["users"] = max(1, round(self.users * factor))
        if self.arrivals.process is not None:
            process = self.arrivals.process.scaled(factor)
            changes["arrivals"] = self.arrivals.model_copy(update={self.arrivals.kind: process})
        return self.model_copy(update=changes)


class Restart(Model):
    """How a service's replicas are replaced by new ones, as by a Deployment of Kubernetes.

    Attributes:
        surge: so many more than wanted may be there at once.
        unavailable: so many fewer than wanted may be ready.
    """

    surge: Annotated[int, Field(ge=0, le=100_000)] = 1
    unavailable: Annotated[int, Field(ge=0, le=100_000)] = 0


class Event(Model):
    """Something that happens at a time: a fault that lasts, a configuration push, or other replicas.

    Attributes:
        at: when it begins.
        lasts: `for`; how long (to the end of the run where it is not given).
        service, replica, link, component: what it affects; exactly one, or `set`.
        slow: factor on service times that start meanwhile.
        errors: share of own failures meanwhile, instead of the configured one.
        down: the replica (or all of the service's, or the component) is gone.
        latency_factor: factor on the link's latency.
        loss: the link's loss meanwhile, instead of the configured one.
        rotate_root: the CA signs with a new root from now on.
        overlap: for so long the roots before it are trusted, too.
        version: of the service, whose replicas alone the event is about; None: all.
        replicas: how many the service, or the version, has from now on.
        restart: all its replicas are replaced, a few at a time.
        set: dotted keys and their new values, pushed to every proxy.
        nack: services whose proxies refuse what is set, and keep what they have.
    """

    at: Duration
    lasts: PositiveDuration | None = Field(default=None, alias="for")
    service: str | None = None
    replica: str | None = None
    link: str | None = None
    component: Literal["ca", "control_plane"] | None = None
    node: Later = None
    zone: Later = None
    slow: Annotated[float, Field(gt=0, le=1e9)] | None = None
    errors: Ratio | None = None
    down: bool = False
    latency_factor: Annotated[float, Field(ge=0, le=1e9)] | None = None
    loss: Ratio | None = None
    rotate_root: bool = False
    overlap: Duration = 0.0
    version: str | None = None
    replicas: Annotated[int, Field(ge=0, le=100_000)] | None = None
    restart: Restart | None = None
    set: Annotated[dict[str, Any], AfterValidator(copy.deepcopy)] = Field(default_factory=dict)
    nack: Annotated[tuple[str, ...], AsTuple] = ()

    @property
    def rolls(self) -> bool:
        """Whether it changes which replicas there are."""
        return self.replicas is not None or self.restart is not None

    @property
    def target(self) -> str:
        """What it affects; nothing by name for a push."""
        return self.service or self.replica or self.link or self.component or ""


Refused = tuple[frozenset[str], tuple[str, ...]]
"""Keys that were set with a `nack`, and not anew since; and whose proxies refuse all for so long."""


def refused_after(before: Iterable[Refused], event: Event) -> list[Refused]:
    """What is refused after one more `set` event."""
    every = [
        (frozenset(key for key in keys if not any(fits(name, key) for name in event.set)), services)
        for keys, services in before
    ]
    every.append((frozenset(event.set), event.nack))
    return [(keys, services) for keys, services in every if keys and services]


class Objective(Model):
    """What must hold for requests to a service, or to an endpoint: latencies at most, success at least."""

    service: str
    endpoint: str | None = None
    mean: Duration | None = None
    p50: Duration | None = None
    p90: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None
    p999: Duration | None = None
    max: Duration | None = None
    success: Ratio | None = None

    @property
    def target(self) -> str:
        """What it is about, as calls name it: ``cart``, or ``cart/add``."""
        return self.service if self.endpoint is None else f"{self.service}/{self.endpoint}"

    @property
    def limits(self) -> dict[str, Any]:
        """Those that are given, by name."""
        return self.model_dump(exclude={"service", "endpoint"}, exclude_none=True)


class Tracing(Model):
    """Which requests leave spans; Istio's default share."""

    sampling: Ratio = 0.01
