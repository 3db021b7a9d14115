"""Whether a run met its objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meshsim.measure.latency import LATENCY_KEYS, QUANTILES, VERY_LATE, Latencies
from meshsim.scenario.model import CLIENT, Objective

Summary = dict[str, Any]


def evaluate(
    objectives: Sequence[Objective], summary: Summary, latencies: Callable[[str], Latencies]
) -> list[Summary]:
    """Each objective with what was measured.

    An entry service is judged as its clients see it, retries and all; any other by what it answered to
    the attempts that arrived. A client's request without an answer has not succeeded, and is later than
    any that has one; a percentile that falls among such is not known and not met.

    Args:
        objectives: of the scenario.
        summary: with `partial`, `services` and `edges`.
        latencies: of an entry service's answered requests.

    Returns:
        One dict an objective: `service`, the limits given, `measured` (None where not known), `met`; of an
        entry service also `within`, the share of requests within each limit of a percentile, and
        `independent`, how many independent requests would tell as much.
    """
    return [_judge(objective, summary, latencies) for objective in objectives]


def _judge(objective: Objective, summary: Summary, latencies: Callable[[str], Latencies]) -> Summary:
    limits: dict[str, float] = objective.model_dump(exclude={"service"}, exclude_none=True)
    entry = summary["edges"].get(f"{CLIENT} -> {objective.service}")
    place = entry or summary["services"][objective.service]
    missing = place["unfinished"] if entry and not summary["partial"] else 0
    answered = latencies(objective.service) if entry else None
    if answered is not None and missing:
        place = _with_missing(place, answered, missing)
    measured = {key: _measured(key, place, missing) for key in limits}
    met = all(meets(key, measured[key], limit) for key, limit in limits.items())
    judged = {"service": objective.service, **limits, "measured": measured, "met": met}
    if answered is None:
        return judged
    within = _within(limits, answered, missing)
    return {**judged, "within": within, "independent": answered.independent}


def _within(limits: dict[str, float], answered: Latencies, missing: int) -> dict[str, float | None]:
    """The share of requests no later than the limit of each percentile; None where there are none."""
    total = answered.count + missing
    return {
        key: answered.within(limit * (1.0 + 1e-9)) / total if total else None
        for key, limit in limits.items()
        if key in QUANTILES
    }


def _with_missing(place: Summary, answered: Latencies, missing: int) -> Summary:
    """A place whose latencies count what has no answer as infinitely late; None where that shows."""
    all_ = answered.with_missing(missing).numbers()
    return {
        **place,
        "latency": {key: value if (value or 0.0) < VERY_LATE / 1e6 else None for key, value in all_.items()},
    }


def _measured(key: str, place: Summary, missing: int) -> float | None:
    """A metric of an edge or service, `missing` of whose requests had no answer and count as bad."""
    answered = place["ok"] + place["failed"]
    if not answered + missing:
        return None
    if key == "success":
        return float(place["ok"] / (answered + missing))
    assert key in LATENCY_KEYS
    value: float | None = place["latency"][key]
    return value


def meets(key: str, measured: float | None, limit: float) -> bool:
    """Whether a measured success is enough, or a latency short enough; what is not known does not count.

    A share of 999 in 1000 meets 99.9 %, whatever the last bit of either says.
    """
    if measured is None:
        return False
    slack = 1e-9 * limit
    return measured >= limit - slack if key == "success" else measured <= limit + slack
