"""The summary's part about each service, version and replica, and about each edge."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meshsim.measure.grid import Floats
from meshsim.measure.latency import LatencySummary
from meshsim.measure.result import LEFT_OUT, Result
from meshsim.measure.sample import DENIED, Outcomes, Sample, Tries
from meshsim.scenario.model import Scenario, Service
from meshsim.units import UNLIMITED


class Answered(Result):
    """Requests of which some were answered."""

    ok: int
    failed: int
    unfinished: int
    latency: LatencySummary

    @property
    def answered(self) -> int:
        """How many."""
        return self.ok + self.failed

    @property
    def failed_ratio(self) -> float | None:
        """Which share of them failed, 0-1."""
        return per(self.failed, self.answered)


@dataclass(frozen=True)
class StationSummary(Answered):
    """The attempts that arrived at a replica, a version or a service.

    Attributes:
        requests: = `ok` + `failed` + `dropped` (the caller gave up) + `unfinished`.
        rate: of `requests`, per s.
        utilisation: 0-1; None where workers are unlimited.
        busy_mean, queue_mean: workers busy, attempts waiting, at all the members together.
        ejections: of the members, by any caller's proxy.
        latency: from arrival to answer, s.
        denied: of `failed`, those that access rules denied (answered 403); where there are rules.
    """

    requests: int
    ok: int
    failed: int
    dropped: int
    unfinished: int
    rate: float | None
    utilisation: float | None
    busy_mean: float | None
    queue_mean: float | None
    ejections: int
    latency: LatencySummary
    denied: int | None = field(default=None, metadata=LEFT_OUT, kw_only=True)


@dataclass(frozen=True)
class _Name(Result):  # fields that precede the numbers of a replica
    id: str
    version: str


@dataclass(frozen=True)
class ReplicaSummary(StationSummary, _Name):
    """The attempts that arrived at a replica, such as ``cart/v1/0``."""


@dataclass(frozen=True)
class EndpointSummary(Answered):
    """The attempts that arrived for an endpoint, `requests` and `denied` as of a service; its address."""

    method: str
    path: str
    requests: int
    ok: int
    failed: int
    dropped: int
    unfinished: int
    rate: float | None
    latency: LatencySummary
    denied: int | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class ServiceSummary(StationSummary):
    """The attempts that arrived at a service, as a whole, by version, by replica and by endpoint."""

    versions: dict[str, StationSummary]
    replicas: list[ReplicaSummary]
    endpoints: dict[str, EndpointSummary] | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class RouteSummary(Answered):
    """A caller's calls to a service, or to one of its endpoints.

    `requests` = `ok` + `failed` + `cancelled` + `unfinished`.

    `attempts` were sent, `retries` and `hedges` among them; `flags` says how often each occurred, the most
    frequent first, and `statuses` likewise those of calls that failed without any.
    """

    requests: int
    ok: int
    failed: int
    cancelled: int
    unfinished: int
    attempts: int
    retries: int
    hedges: int
    latency: LatencySummary
    flags: dict[str, int]
    statuses: dict[str, int] | None = field(metadata=LEFT_OUT)


@dataclass(frozen=True)
class ConnectionSummary(Result):
    """What became of the connections of an edge, of all callers together.

    They opened, or failed to. They were closed by the caller for having been idle (`idle_timeout`), having
    served enough (`max_requests`) or being too old (`max_age`); by the `server`, without harm; or with a
    request on them (`broken`): a time-out, a caller that gave up, a server that closed too early, or went
    down. What outlier detection or an outage closed while it was idle is not counted. Of those that opened,
    some were `secured` by mTLS, and some were `rejected` by the upstream afterwards, which does not accept
    the caller; of those that failed, some since the caller does not accept the upstream (`untrusted`).
    """

    opened: int = 0
    failed: int = 0
    idle_timeout: int = 0
    max_requests: int = 0
    max_age: int = 0
    server: int = 0
    broken: int = 0
    secured: int = 0
    untrusted: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class CertificateSummary(Result):
    """Certificates of all proxies: signed by the CA, refused by it, and expired before the next was there."""

    signed: int = 0
    refused: int = 0
    expired: int = 0


@dataclass(frozen=True)
class EdgeSummary(RouteSummary):
    """A caller's calls to a service, as a whole and by endpoint; connections where they are tracked."""

    connections: ConnectionSummary | None = field(default=None, metadata=LEFT_OUT)
    endpoints: dict[str, RouteSummary] | None = field(default=None, metadata=LEFT_OUT)


def per(amount: float, base: float) -> float | None:
    """A quotient, or None where there is nothing to divide by."""
    return float(amount) / float(base) if base else None


def workers(scenario: Scenario, replicas: Sequence[tuple[str, str, str]], present: Floats) -> Floats:
    """(replicas, ...) worker-seconds of (replicas, ...) seconds; NaN where workers are unlimited."""
    works = {name: service.deployments() for name, service in scenario.services.items()}
    each = np.array([float(works[service][version].workers) for service, version, _ in replicas])
    each[each >= UNLIMITED] = np.nan
    return np.asarray(present * each.reshape(-1, *[1] * (present.ndim - 1)))


def services(sample: Sample, scenario: Scenario) -> dict[str, ServiceSummary]:
    """What arrived at each service."""
    return {name: _service(sample, scenario, name) for name in scenario.services}


def _service(sample: Sample, scenario: Scenario, name: str) -> ServiceSummary:
    deployments = scenario.services[name].deployments()
    found = {index: of for index, (service, *of) in enumerate(sample.replicas) if service == name}
    slots = workers(scenario, sample.replicas, sample.present)

    def station(members: Collection[int]) -> StationSummary:
        return _station(sample, [*members], float(slots[[*members]].sum()), rules=scenario.has_rules)

    return ServiceSummary(
        **vars(station(found)),
        versions={
            version: station([index for index, (of, _) in found.items() if of == version])
            for version in deployments
            if version
        },
        replicas=[
            ReplicaSummary(id=id_, version=version, **vars(station([index])))
            for index, (version, id_) in found.items()
            if sample.present[index] > 0.0 or sample.visits[index].arrived
        ],
        endpoints=_endpoints(sample, scenario.services[name], name, rules=scenario.has_rules) or None,
    )


def _endpoints(sample: Sample, service: Service, name: str, *, rules: bool) -> dict[str, EndpointSummary]:
    """What arrived for each endpoint; the service itself is one if it was asked."""
    found = {}
    for (of, endpoint), visits in sample.arrivals.items():
        if of == name and (endpoint or visits.arrived):
            method, path = service.address(endpoint)
            found[endpoint] = EndpointSummary(method, path, **_visits(visits, sample.time, rules=rules))
    return found


def _visits(visits: Outcomes, time: float, *, rules: bool) -> dict[str, Any]:
    """What became of the attempts that arrived somewhere in so much time, s."""
    return {
        "requests": visits.arrived,
        "ok": visits.ok,
        "failed": visits.failed,
        "dropped": visits.cancelled,
        "unfinished": visits.unfinished,
        "rate": per(visits.arrived, time),
        "latency": LatencySummary.of(visits.latency),
        "denied": visits.reasons.get(DENIED, 0) if rules else None,
    }


def _station(sample: Sample, members: list[int], slots: float, *, rules: bool) -> StationSummary:
    """The numbers of some replicas together; `slots` are worker-seconds, NaN without a limit."""
    visits = Outcomes.pooled([sample.visits[index] for index in members])
    busy = float(sample.busy[members].sum())
    return StationSummary(
        **_visits(visits, sample.time, rules=rules),
        utilisation=None if np.isnan(slots) else per(busy, slots),
        busy_mean=per(busy, sample.time),
        queue_mean=per(float(sample.queued[members].sum()), sample.time),
        ejections=int(sample.ejections[members].sum()),
    )


def edges(sample: Sample) -> dict[str, EdgeSummary]:
    """The calls and tries of each caller to each service it calls, by ``caller -> service``."""
    found = {}
    for number, (caller, service) in enumerate(sample.edges):
        routes = {
            endpoint: _route(*numbers)
            for (edge, endpoint), numbers in sample.routes.items()
            if edge == number and numbers[0].arrived
        }
        whole = _route(sample.calls[number], sample.tries[number])
        counts = sample.connections.get(number)
        found[f"{caller} -> {service}"] = EdgeSummary(
            **vars(whole),
            connections=None if counts is None else ConnectionSummary(**counts),
            endpoints=routes or None,
        )
    return found


def _route(calls: Outcomes, tries: Tries) -> RouteSummary:
    return RouteSummary(
        requests=calls.arrived,
        ok=calls.ok,
        failed=calls.failed,
        cancelled=calls.cancelled,
        unfinished=calls.unfinished,
        attempts=tries.total,
        retries=tries.retries,
        hedges=tries.hedges,
        latency=LatencySummary.of(calls.latency),
        flags=ranked({word: times for word, times in calls.reasons.items() if not word.isdigit()}),
        statuses=ranked({word: times for word, times in calls.reasons.items() if word.isdigit()}) or None,
    )


def ranked(reasons: dict[str, int]) -> dict[str, int]:
    """Reasons with how often each occurred, the most frequent first."""
    return dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
