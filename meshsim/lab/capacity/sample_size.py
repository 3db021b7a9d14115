"""Too few requests: what runs of this length could not show if every one of their requests were good.

That 99.99 % succeed takes some fifty thousand successes without a failure; shorter runs leave it open,
whatever the load and replicas. So it is refused if known beforehand, else said: inconclusive is not missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.scaling import measured_from
from meshsim.lab.jobs.memory import rounded
from meshsim.lab.search.inquiry import Candidate, Inquiry, Plan
from meshsim.lab.search.verdict import Score, columns, independent, requests_needed
from meshsim.lab.show.capacity import limit_text
from meshsim.measure.capacity import Limit
from meshsim.scenario.model import Scenario


def refuse(scenario: Scenario, limits: Sequence[Limit], plan: Plan) -> None:
    """Refuses limits that even perfect runs could not show to be met, as far as known of open loads."""
    start, end = measured_from(scenario), scenario.duration
    for limit in limits:
        service, _, endpoint = limit.service.partition("/")
        loads = [load for load in scenario.load if load.to == service]
        countable = loads and all(load.users is None and load.arrivals.kind != "trace" for load in loads)
        if limit.least is None or not countable:
            continue
        rates = (load.mean_rate(start, end) * (load.share(endpoint) if endpoint else 1.0) for load in loads)
        have = plan.most * sum(rates) * (end - start)
        need = requests_needed(limit.least, plan.error)
        if have < need:
            raise MeshsimError(
                f"{limit_text(limit)}: {plan.most} runs have about {rounded(have)} requests, and some"
                f" {rounded(need)} without a bad one are needed to show it; make the duration"
                f" {_times(need / max(have, 1.0))} as long, or raise --at-most as much"
            )


def hopeless(inquiry: Inquiry[Candidate], candidate: Candidate) -> bool:
    """Whether all the runs of a candidate, or of any with the same load, have too few requests."""
    return any(_short(inquiry, candidate, lambda scores: float(sum(score.count for score in scores))))


def advice(inquiry: Inquiry[Candidate], candidate: Candidate) -> str:
    """What it takes to decide about a candidate, in a sentence."""
    for limit, have, need in _short(inquiry, candidate, independent):
        return (
            f"These runs have too few requests to show {limit_text(limit)}: about {rounded(need)}"
            f" independent ones are needed, and {inquiry.plan.most} replications are worth {rounded(have)};"
            f" make the duration {_times(need / max(have, 1.0))} as long, or raise --at-most as much."
        )
    return "A longer duration or a higher --at-most may tell."


def _short(
    inquiry: Inquiry[Candidate], candidate: Candidate, count: Callable[[Sequence[Score]], float]
) -> Iterator[tuple[Limit, float, float]]:
    """The limits for which there are too few requests, with how many there are and are needed."""
    seen, plan = inquiry.findings[candidate].observations, inquiry.plan
    for limit, scores in zip(inquiry.limits, columns(seen), strict=True):
        if limit.least is not None and scores[0].share is not None:
            have = count(scores) * plan.most / len(scores)
            need = requests_needed(limit.least, plan.error)
            if have < need:
                yield limit, have, need


def _times(ratio: float) -> str:
    """Rounded up, so that whoever follows the advice has enough."""
    return f"{math.ceil(10.0 * ratio) / 10.0 if ratio < 10.0 else math.ceil(ratio):,} times"
