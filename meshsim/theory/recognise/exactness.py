"""Which numbers of an analysis are exact.

Sources:
    Burke 1969 and Walrand and Varaiya 1980: times spent in single-server queues in a row are independent
    where nobody overtakes (the first and the last may have several workers).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.flows import Visit
from meshsim.theory.recognise.structure import Key


@dataclass(frozen=True, slots=True)
class Exactness:
    """What is exact."""

    rates: bool  # attempts on every edge
    outcomes: bool  # how requests end
    means: bool  # mean latencies
    shapes: bool  # their quantiles
    reasons: list[str]  # why means or shapes are not, where the stations don't say


def judge(found: Analysis) -> Exactness:
    """Judge an analysis."""
    rates = not found.inexact and not found.fed_back
    stations = all(solved.exact or solved.rate == 0.0 for solved in found.solved.values())
    several = _nonlinear(found)
    shape_reason = _dependent(found)
    means = rates and stations and (not several or not shape_reason)
    shapes = means and not shape_reason
    outcomes = not found.inexact and (found.independent or means)
    rates = rates and (found.independent or means)
    reason, sure = (several, means) if several else (shape_reason, shapes)
    return Exactness(rates, outcomes, means, shapes, [reason] if stations and reason and not sure else [])


def _nonlinear(found: Analysis) -> str:
    """Operations that need the joint law of several waits, not only their means; empty if there are none."""
    structure = found.structure
    for service, queues in structure.forks:
        if queues > 1:
            return f"{service} waits for several queues at once, whose waits are not independent"
    for caller, service in structure.edges:
        if structure.timed(caller, service) and structure.visits[service] > 1:
            return f"{caller} -> {service}: a time-out or a hedge spans several queues"
    return ""


def _dependent(found: Analysis) -> str:
    """Why the waits of one request may depend on each other; empty if they don't."""
    for number, entry in enumerate(found.structure.entries):
        every = ((key, visit) for key, visits in found.flows.visits.items() for visit in visits)
        visits = [(key, visit) for key, visit in every if visit.flow.entry == number]
        if any(visit.flow.repeated for _, visit in visits):
            return "a request may come to a queue more than once: its waits depend on each other"
        if found.structure.visits[entry.target] > 1 and not _in_a_row(found, visits):
            return "the waits of a request in several queues depend on each other"
    return ""


def _in_a_row(found: Analysis, visits: list[tuple[Key, Visit]]) -> bool:
    """Whether queues are passed one after the other, by the same requests in the same order."""
    ordered = sorted(visits, key=lambda entry: len(entry[1].flow.passed))
    keys = [key for key, _ in ordered]
    if len(set(keys)) < len(keys):
        return False
    for index, (key, visit) in enumerate(ordered):
        station = found.structure.stations[key]
        inner = 0 < index < len(ordered) - 1
        alone = len(found.flows.visits[key]) == 1 and visit.flow.process == "poisson"
        if visit.flow.passed != tuple(keys[:index]) or not visit.flow.ordered or not alone:
            return False
        if not station.quasi_reversible or station.discipline == "lifo" or (inner and station.workers > 1):
            return False
    return all(first != second for first, second in pairwise(keys))
