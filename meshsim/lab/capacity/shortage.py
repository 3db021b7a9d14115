"""Too few requests: what runs of this length could not show if every one of their requests were good.

That 99.99 % succeed takes some fifty thousand successes without a failure. Runs that have fewer leave the
question open, whatever the load and whatever the replicas. So it is refused where it is known beforehand, and
said where it turns out; an objective that is too close to call is not one that is missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from meshsim.errors import MeshsimError
from meshsim.lab.capacity import words
from meshsim.lab.capacity.evidence import independent, requests_needed
from meshsim.lab.capacity.inquiry import Candidate, Inquiry, Plan
from meshsim.lab.capacity.limits import Limit, Score
from meshsim.scenario.model import Load, Scenario

LONGER = "A longer duration or a higher --at-most may tell."


def refuse(scenario: Scenario, limits: Sequence[Limit], plan: Plan) -> None:
    """Refuses limits that even perfect runs of the scenario could not show to be met.

    Only the requests of open loads are known beforehand.

    Raises:
        MeshsimError: there is one; the message says how many requests are missing.
    """
    for limit in limits:
        loads = [load for load in scenario.load if load.to == limit.service]
        if limit.least is None or not loads or not all(map(_countable, loads)):
            continue
        start = 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
        rate = sum(load.mean_rate(start, scenario.duration) for load in loads)
        have, need = plan.most * rate * (scenario.duration - start), requests_needed(limit.least, plan.error)
        if have < need:
            raise MeshsimError(
                f"{words.limit(limit)}: {plan.most} runs have about {_rounded(have)} requests, and some"
                f" {_rounded(need)} without a bad one are needed to show it; make the duration"
                f" {_times(need / max(have, 1.0))} as long, or raise --at-most as much"
            )


def _countable(load: Load) -> bool:
    return load.users is None and load.arrivals.kind != "trace"


def hopeless(inquiry: Inquiry[Candidate], candidate: Candidate) -> bool:
    """Whether all the runs there may be of a candidate have too few requests, be they good or bad.

    So does then any other candidate with the same load.
    """
    return bool(_short(inquiry, candidate, _count))


def told(inquiry: Inquiry[Candidate], candidate: Candidate) -> str:
    """What it takes to decide about a candidate, in a sentence."""
    for limit, have, need in _short(inquiry, candidate, independent):
        return (
            f"These runs have too few requests to show {words.limit(limit)}: about {_rounded(need)}"
            f" independent ones are needed, and {inquiry.plan.most} replications are worth {_rounded(have)};"
            f" make the duration {_times(need / max(have, 1.0))} as long, or raise --at-most as much."
        )
    return LONGER


def _short(
    inquiry: Inquiry[Candidate], candidate: Candidate, count: Callable[[Sequence[Score]], float]
) -> list[tuple[Limit, float, float]]:
    """The limits for which there are too few requests, with how many there are and are needed."""
    seen, plan = inquiry.findings[candidate].observations, inquiry.plan
    found = []
    for place, limit in enumerate(inquiry.limits):
        scores = [each.scores[place] for each in seen]
        if limit.least is not None and scores[0].share is not None:
            have = count(scores) * plan.most / len(scores)
            need = requests_needed(limit.least, plan.error)
            found += [(limit, have, need)] if have < need else []
    return found


def _count(scores: Sequence[Score]) -> float:
    return float(sum(score.count for score in scores))


def _rounded(count: float) -> str:
    return f"{float(f'{count:.2g}'):,.0f}"


def _times(ratio: float) -> str:
    """Rounded up, so that whoever follows the advice has enough."""
    return f"{math.ceil(10.0 * ratio) / 10.0 if ratio < 10.0 else math.ceil(ratio):,} times"
