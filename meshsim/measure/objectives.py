"""Whether a run met its objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from meshsim.measure.latency import QUANTILES, VERY_LATE, Latencies, LatencySummary
from meshsim.measure.parts import Answered, EdgeSummary, RouteSummary, ServiceSummary
from meshsim.measure.result import LEFT_OUT, Result, at
from meshsim.scenario.model import CLIENT, Objective


@dataclass(frozen=True)
class ObjectiveResult(Result):
    """An objective's limits (latencies, s; `success`, 0-1), and what was measured, by the limits' names.

    `within` is the share of an entry service's requests within each limit of a percentile, `independent` how
    many independent requests would say as much; what is not known is None.
    """

    service: str
    endpoint: str | None = field(metadata=LEFT_OUT)
    mean: float | None = field(metadata=LEFT_OUT)
    p50: float | None = field(metadata=LEFT_OUT)
    p90: float | None = field(metadata=LEFT_OUT)
    p95: float | None = field(metadata=LEFT_OUT)
    p99: float | None = field(metadata=LEFT_OUT)
    p999: float | None = field(metadata=LEFT_OUT)
    max: float | None = field(metadata=LEFT_OUT)
    success: float | None = field(metadata=LEFT_OUT)
    measured: dict[str, float | None]
    met: bool
    within: dict[str, float | None] | None = field(default=None, metadata=LEFT_OUT)
    independent: float | None = field(default=None, metadata=LEFT_OUT)

    @property
    def target(self) -> str:
        """What it is about, as calls name it: ``cart``, or ``cart/add``."""
        return self.service if self.endpoint is None else f"{self.service}/{self.endpoint}"

    @property
    def limits(self) -> dict[str, float]:
        """Those that are given, by name."""
        return {key: getattr(self, key) for key in self.measured}


def evaluate(
    objectives: Sequence[Objective],
    services: Mapping[str, ServiceSummary],
    edges: Mapping[str, EdgeSummary],
    latencies: Callable[[str, str | None], Latencies],
    *,
    partial: bool,
) -> list[ObjectiveResult]:
    """Each objective of a scenario with what was measured, by services and edges of its summary.

    An entry service is judged as its clients see it, retries and all, by the `latencies` of its answered
    requests; any other by what it answered to the attempts that arrived. A client's request without an answer
    has not succeeded, and is later than any that has one; a percentile that falls among such is not known and
    not met. In a `partial` run, which was interrupted, requests without an answer are no failures.
    """
    found = []
    for objective in objectives:
        entry, place = judged(objective, services, edges)
        missing = entry.unfinished if entry and not partial else 0
        answered = latencies(objective.service, objective.endpoint) if entry else None
        found.append(_judge(objective, place, answered, missing))
    return found


def judged(
    objective: Objective | ObjectiveResult,
    services: Mapping[str, ServiceSummary],
    edges: Mapping[str, EdgeSummary],
) -> tuple[RouteSummary | None, Answered]:
    """The client's calls that an objective is about, if there are any, and the numbers that it judges."""
    service, edge = services[objective.service], edges.get(f"{CLIENT} -> {objective.service}")
    if objective.endpoint is None:
        return edge, edge or service
    route = (edge.endpoints or {}).get(objective.endpoint) if edge else None
    return route, route or (service.endpoints or {})[objective.endpoint]


def _judge(
    objective: Objective, place: Answered, answered: Latencies | None, missing: int
) -> ObjectiveResult:
    limits = objective.limits
    numbers = _with_missing(answered, missing) if answered is not None and missing else place.latency
    total = place.answered + missing

    def measure(key: str) -> float | None:
        """What there is for a limit; requests without an answer count as bad."""
        if not total:
            return None
        found: float | None = place.ok / total if key == "success" else at(numbers, key)
        return found

    measured = {key: measure(key) for key in limits}
    return ObjectiveResult(
        **dict(objective),
        measured=measured,
        met=all(meets(key, measured[key], limit) for key, limit in limits.items()),
        within=None if answered is None else _within(limits, answered, missing),
        independent=None if answered is None else answered.independent,
    )


def _within(limits: dict[str, float], answered: Latencies, missing: int) -> dict[str, float | None]:
    total = answered.count + missing
    return {
        key: answered.within(limit * (1.0 + 1e-9)) / total if total else None
        for key, limit in limits.items()
        if key in QUANTILES
    }


def _with_missing(answered: Latencies, missing: int) -> LatencySummary:
    """Latencies that count what has no answer as infinitely late; None where that shows."""
    found = LatencySummary.of(answered.with_missing(missing)).as_dict()
    return LatencySummary(**{key: value for key, value in found.items() if (value or 0.0) < VERY_LATE / 1e6})


def meets(key: str, measured: float | None, limit: float) -> bool:
    """Whether a measured success is enough, or a latency short enough; what is not known does not count.

    A share of 999 in 1000 meets 99.9 %, whatever the last bit of either says.
    """
    if measured is None:
        return False
    slack = 1e-9 * limit
    return measured >= limit - slack if key == "success" else measured <= limit + slack
