"""What must hold, limit by limit, and what one run says about it.

A percentile is judged by the *share of requests within the limit*: p99 of at most 250 ms is the same as 99 %
of requests within 250 ms. A run's own p99 is a biased guess of the true one, all the more the shorter the
run; its share within a limit is right on average for any length, and it is a mean, so Student's interval
over replications is made for it.

Source:
    Law, Simulation Modeling and Analysis, 5th ed. (2015), 9.4.2: proportions as means of indicators; the bias
    of quantile estimates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshsim.errors import MeshsimError, shown
from meshsim.measure.latency import VERY_LATE
from meshsim.scenario.model import CLIENT, Objective, Scenario

Summary = Mapping[str, Any]

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
LATENCIES = ("mean", "p50", "p90", "p99", "p999")
TERM = re.compile(r"\s*(\w+)\s*(<=|>=|≤|≥|=|:)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of an objective.

    Attributes:
        service: whose requests.
        key: of the objective: ``p99``, ``mean``, ``success``, …; or ``recovered``, see `recovery`.
        limit: s; of ``success`` the least share.
        objective: position of the objective in the scenario.
    """

    service: str
    key: str
    limit: float
    objective: int = 0

    @property
    def least(self) -> float | None:
        """The share of requests that must be good, or within the limit; None where a value is asked."""
        return self.limit if self.key in ("success", "recovered") else SHARES.get(self.key)


@dataclass(frozen=True, slots=True)
class Score:
    """How a run did by one limit.

    Attributes:
        measured: the latency or success itself; None where not known.
        share: of its requests, good or within the limit; None if a value is judged.
        count: how many requests the share is of.
        independent: so many independent requests would tell as much.
    """

    measured: float | None
    share: float | None = None
    count: int = 0
    independent: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One run, as far as a search needs it.

    Attributes:
        seed: of the run.
        scores: one a limit.
        unstable: whether its work piled up; it has then missed every limit.
        numbers: by name, for the curve and the table of runs.
    """

    seed: int
    scores: tuple[Score, ...]
    unstable: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)


def limits(objectives: Sequence[Objective]) -> tuple[Limit, ...]:
    """The limits of objectives, in order."""
    return tuple(
        Limit(objective.service, key, limit, number)
        for number, objective in enumerate(objectives)
        for key, limit in objective.model_dump(exclude={"service"}, exclude_none=True).items()
    )


def required(scenario: Scenario) -> tuple[Limit, ...]:
    """The limits of a scenario.

    Raises:
        MeshsimError: it has none, or one that no number of runs can show to be met.
    """
    found = limits(scenario.objectives)
    if not found:
        entry = scenario.load[0].to
        raise MeshsimError(
            f"{scenario.name or 'the scenario'} has no objectives, so any load meets them; add some to the"
            f" file (objectives: [{{service: {entry}, p99: 250ms}}])"
            f' or give --objective "{entry}: p99 <= 250ms"'
        )
    for limit in found:
        if limit.key == "success" and limit.limit >= 1.0:
            raise MeshsimError(
                f"objectives[{limit.objective}]: no number of runs shows that {limit.service} never fails;"
                " ask for a success such as 99.99%"
            )
    return found


def observe(summary: Summary, limits: Sequence[Limit], seed: int) -> Observation:
    """What a run's summary says about limits."""
    unstable = bool(summary["unstable"])
    scores = tuple(_score(summary, limit, unstable) for limit in limits)
    return Observation(seed, scores, unstable, _numbers(summary))


def _score(summary: Summary, limit: Limit, unstable: bool) -> Score:
    entry = summary["objectives"][limit.objective]
    measured = entry["measured"][limit.key]
    shares = {**entry.get("within", {}), "success": measured}
    if limit.key not in shares:
        return Score(VERY_LATE if unstable or measured is None else measured)
    share = 0.0 if unstable else shares[limit.key] or 0.0
    count = _answers(summary, limit.service)
    return Score(measured, share, count, entry.get("independent", count))


def _answers(summary: Summary, service: str) -> int:
    """How many requests a service's objective is judged by."""
    place = summary["edges"].get(f"{CLIENT} -> {service}") or summary["services"][service]
    return int(place["ok"] + place["failed"] + place["unfinished"])


def _numbers(summary: Summary) -> dict[str, float]:
    """What the searches, the curve and the table of runs want of a summary; missing ones are left out."""
    requests = summary["requests"]
    found: dict[str, float | None] = {key: requests[key] for key in ("rate", "goodput", "success_ratio")}
    found |= {f"latency.{key}": summary["latency"][key] for key in LATENCIES}
    found["ok_latency.mean"] = summary["ok_latency"]["mean"]
    found["amplification"] = summary["attempts"]["amplification"]
    for name, service in summary["services"].items():
        found |= {f"{key}.{name}": service[key] for key in ("utilisation", "busy_mean", "queue_mean")}
        for version, part in service["versions"].items():
            found[f"busy_mean.{name}/{version}"] = part["busy_mean"]
    return {key: float(value) for key, value in found.items() if value is not None}


def objective(text: str) -> dict[str, str]:
    """An objective such as ``frontend: p99 <= 250ms, success >= 99.9%``, as the file would have it.

    Raises:
        MeshsimError: it can't be read. Names and units are left to the scenario's own checks.
    """
    service, colon, terms = text.partition(":")
    found = {"service": service.strip()}
    for term in terms.split(",") if colon else []:
        match = TERM.fullmatch(term)
        upward = ">=≥"
        if match is None or ((match[2] in upward) != (match[1] == "success") and match[2] not in "=:"):
            break
        found[match[1]] = match[3]
    else:
        if len(found) > 1:
            return found
    raise MeshsimError(
        f'{shown(text)} is not an objective; write "service: p99 <= 250ms" or "service: success >= 99.9%"'
    )
