"""The limits of a scenario's objectives, and what one run says about them.

A percentile is judged by the *share of requests within the limit*: p99 of at most 250 ms is 99 % of requests
within 250 ms. A run's p99 is a biased guess of the true one; its share within a limit is right on average for
any length, and a mean, as Student's interval over replications needs it.

Source: Law, Simulation Modeling and Analysis, 5th ed. (2015), 9.4.2: proportions as means of indicators; the
bias of quantile estimates.
"""

from __future__ import annotations

import re

from meshsim.errors import MeshsimError, shown
from meshsim.lab.search.verdict import Observation, Score
from meshsim.measure.capacity import Limit
from meshsim.measure.latency import VERY_LATE
from meshsim.measure.objectives import ObjectiveResult, judged
from meshsim.measure.result import at
from meshsim.measure.summary import Summary
from meshsim.scenario.model import Scenario

NUMBERS = {
    **{key: f"requests.{key}" for key in ("rate", "goodput", "success_ratio")},
    **{f"latency.{key}": f"latency.{key}" for key in ("mean", "p50", "p90", "p99", "p999")},
    "ok_latency.mean": "ok_latency.mean",
    "amplification": "attempts.amplification",
}
"""Paths in the summary by their names in the table of runs."""
TERM = re.compile(r"\s*(\w+)\s*(<=|>=|≤|≥|=|:)\s*(\S+)\s*")


def required(scenario: Scenario) -> tuple[Limit, ...]:
    """The limits of a scenario; MeshsimError if there are none, or one that no runs can show to be met."""
    found = []
    for place, objective in enumerate(scenario.objectives):
        for key, limit in objective.limits.items():
            if key == "success" and limit >= 1.0:
                raise MeshsimError(
                    f"objectives[{place}]: no number of runs shows that {objective.target} never fails;"
                    " ask for a success such as 99.99%"
                )
            found.append(Limit(objective.target, key, limit))
    if not found:
        entry = scenario.load[0].to
        raise MeshsimError(
            f"{scenario.name or 'the scenario'} has no objectives, so any load meets them; add some to the"
            f" file (objectives: [{{service: {entry}, p99: 250ms}}])"
            f' or give --objective "{entry}: p99 <= 250ms"'
        )
    return tuple(found)


def observe(summary: Summary, seed: int) -> Observation:
    """What a run's summary says about the limits of its objectives."""
    scores = tuple(_score(summary, each, key) for each in summary.objectives for key in each.limits)
    return Observation(seed, scores, bool(summary.unstable), _numbers(summary))


def _score(summary: Summary, objective: ObjectiveResult, key: str) -> Score:
    measured, unstable = objective.measured[key], bool(summary.unstable)
    shares = {**(objective.within or {}), "success": measured}
    if key not in shares:
        return Score(VERY_LATE if unstable or measured is None else measured)
    _, place = judged(objective, summary.services, summary.edges)
    count = place.ok + place.failed + place.unfinished
    share = 0.0 if unstable else shares[key] or 0.0
    return Score(measured, share, count, count if objective.independent is None else objective.independent)


def _numbers(summary: Summary) -> dict[str, float]:
    """What the searches, the curve and the table of runs want of a summary; missing ones are left out."""
    found: dict[str, float | None] = {name: at(summary, path) for name, path in NUMBERS.items()}
    for name, service in summary.services.items():
        found |= {f"{key}.{name}": at(service, key) for key in ("utilisation", "busy_mean", "queue_mean")}
        for version, part in service.versions.items():
            found[f"busy_mean.{name}/{version}"] = part.busy_mean
    return {key: float(value) for key, value in found.items() if value is not None}


def objective(text: str) -> dict[str, str]:
    """An objective such as ``frontend/home: p99 <= 250ms, success >= 99.9%``, as the file would have it.

    MeshsimError if it can't be read. Names and units are left to the scenario's own checks.
    """
    service, colon, terms = text.partition(":")
    name, slash, endpoint = service.strip().partition("/")
    found = {"service": name, "endpoint": endpoint} if slash else {"service": name}
    named = len(found)
    for term in terms.split(",") if colon else []:
        match = TERM.fullmatch(term)
        upward = ">=≥"
        if match is None or ((match[2] in upward) != (match[1] == "success") and match[2] not in "=:"):
            break
        found[match[1]] = match[3]
    else:
        if len(found) > named:
            return found
    raise MeshsimError(
        f'{shown(text)} is not an objective; write "service: p99 <= 250ms" or "service: success >= 99.9%"'
    )
