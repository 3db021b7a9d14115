"""The open scenario solved on one lattice: waits, answers and rates that are consistent.

Without time-outs and retries over queues, rates don't depend on waits and one round is enough. Otherwise they
are iterated to a fixed point, which takes tries to be independent: an approximation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, nan

from meshsim.scenario.model import CLIENT
from meshsim.theory.overload import stable_load
from meshsim.theory.recognise import filters, obstacles
from meshsim.theory.recognise.flows import Flow, Flows, process_of
from meshsim.theory.recognise.impatient import impatient
from meshsim.theory.recognise.kendall import Solved
from meshsim.theory.recognise.law import Lattice, Law, ShapeUnknownError
from meshsim.theory.recognise.responses import Responses, Wait
from meshsim.theory.recognise.stations import solve_stations
from meshsim.theory.recognise.structure import Key, Structure, UnsolvedError, service_of
from meshsim.theory.recognise.tries import Response, add, total

ROUNDS_MAX, ROUNDS_LEAST = 60, 3
WORK_MAX = 3_000  # services times rounds, some milliseconds each
CONVERGED = 1e-6
UNMOVED = 1e-9

FED_BACK = "time-outs and full queues feed retries back into the queues; solved as if tries were independent"


@dataclass(slots=True)
class Analysis:
    """A scenario solved on a lattice."""

    responses: Responses  # for the waits found
    flows: Flows  # for these
    solved: dict[Key, Solved]
    independent: bool  # the ways calls end have nothing to do with waits
    fed_back: bool  # retries or hedges depend on waits
    reasons: list[str]  # what is not exact, or not known
    inexact: bool = False  # one of these makes everything approximate
    answers: Response = field(default_factory=dict)
    """Of the whole load, by outcome; empty where time-outs depend on waits that are not known."""

    @property
    def structure(self) -> Structure:
        """Of the scenario."""
        return self.responses.structure

    def latency(self, *, ok: bool | None = None) -> Law:
        """Of all answers together, or only of the successful or the failed ones."""
        return total(self.answers, self.responses.lattice, ok=ok)


def analyse(structure: Structure, lattice: Lattice) -> Analysis:
    """Solve an open scenario on a lattice.

    Raises:
        UnsolvedError: there is nothing to say, or a breaker decides what there would be.
    """
    if structure.rate == 0.0:
        raise UnsolvedError("no load in the measured window")
    limited, reasons = filters.rate_limits(structure)
    reasons += obstacles.left_out(structure)
    given, known = impatient(structure, lattice)
    unknown = {key: Wait(Law.mean_only(lattice, nan)) for key in structure.stations}
    responses = Responses(structure, lattice, unknown, limited, {}, given)
    responses.blocked, more = filters.breakers(structure, responses)
    found = _converge(responses.anew(unknown), known)
    filters.within_reach(structure, found.responses, found.flows)
    found.reasons = [*reasons, *more, *found.reasons]
    found.inexact = found.inexact or bool(reasons or more)
    if not given:
        _mention_abandoned(found)
    return found


def _converge(start: Responses, known: Mapping[Key, Solved]) -> Analysis:
    """Rounds of answers, rates and waits until the rates converge."""
    structure = start.structure
    poisson = all(process_of(load) == "poisson" for load in structure.scenario.load)
    product_form = poisson and not obstacles.product_form(structure)
    idle = start.anew({key: Wait(Law.atom(start.lattice)) for key in structure.stations})
    answers = _try(start)
    independent = answers is not None
    responses, answers = (start if independent else idle), answers or _answers(idle)
    first = {outcome: law.mass for outcome, law in answers.items()}
    flows = _flows(responses, product_form)
    solved: dict[Key, Solved] = {}
    changed = converged = False
    for _ in range(max(ROUNDS_LEAST, min(ROUNDS_MAX, WORK_MAX // len(structure.order)))):
        solved, waits = solve_stations(flows, responses, known)
        responses = responses.anew(waits)
        fresh = _try(responses)
        if fresh is None:
            break
        again = _flows(responses, product_form)
        moved = _distance(flows, again)
        answers, flows = fresh, again
        changed = changed or moved > UNMOVED
        converged = moved < CONVERGED
        if converged:
            break
    reasons = [station.reason for station in solved.values() if station.reason]
    if not converged:
        return _without_waits(idle, product_form, solved, reasons)
    same = independent and all(abs(law.mass - first.get(key, 0.0)) < 1e-12 for key, law in answers.items())
    fed_back = changed and _feeds_back(structure)
    reasons += [FED_BACK, *_vulnerable(structure, flows)] if fed_back else []
    return Analysis(responses, flows, solved, same, fed_back, reasons, answers=answers)


def _without_waits(
    idle: Responses, product_form: bool, solved: dict[Key, Solved], reasons: list[str]
) -> Analysis:
    """What is left without waits: the rates there would be if nobody waited."""
    _answers(idle)
    fed_back = _feeds_back(idle.structure)
    if not any(station.overloaded for station in solved.values()):
        unknown = "time-outs, hedges or full queues depend on waits that are not known"
        reasons.append(f"{unknown}; rates are as if none")
    elif fed_back:
        reasons.append("retries after time-outs add to the load that makes the time-outs: a retry storm")
    return Analysis(idle, _flows(idle, product_form), solved, False, fed_back, reasons, inexact=True)


def _try(responses: Responses) -> Response | None:
    """The answers of the load; None where the shape of a wait must be known for them."""
    try:
        return _answers(responses)
    except ShapeUnknownError:
        return None


def _answers(responses: Responses) -> Response:
    """The answers of all loads, by their rates."""
    structure = responses.structure
    for edge in structure.edges:
        responses.call(*edge)
    answers: Response = {}
    for entry in structure.entries:
        share = entry.share * structure.offered(entry.load) / structure.rate
        for outcome, law in responses.call(CLIENT, entry.target).items():
            add(answers, outcome, law.scaled(share))
    return answers


def _flows(responses: Responses, product_form: bool) -> Flows:
    structure = responses.structure
    flows, streams = Flows(responses, product_form), []
    for index, entry in enumerate(structure.entries):
        process, rate = process_of(entry.load), structure.offered(entry.load)
        if rate > 0.0:
            flow = Flow(index, rate, process, 0.0 if process == "constant" else 1.0)
            streams.append((entry.target, flow.thinned(entry.share)))
    flows.follow(streams)
    return flows


def _distance(before: Flows, after: Flows) -> float:
    moved = (abs(rate - before.attempts[edge]) / rate for edge, rate in after.attempts.items() if rate > 0.0)
    return max(moved, default=0.0)


def _feeds_back(structure: Structure) -> bool:
    """Whether a try can be repeated because of a queue."""
    policies = [structure.policy(*edge) for edge in structure.edges if structure.visits[edge[1]]]
    return any(policy.retries or policy.hedge for policy in policies)


def _vulnerable(structure: Structure, flows: Flows) -> list[str]:
    """Queues that would be overloaded if every try were repeated: what is solved is their stable state.

    Source: Bronson et al., HotOS 2021 (:mod:`meshsim.theory.overload`).
    """
    most: dict[str, float] = {CLIENT: 1.0}
    for service in structure.order:
        callers = [caller for caller, _ in structure.graph.in_edges(service) if caller in most]
        retries = {caller: structure.policy(caller, service).retries for caller in callers}
        tried = [most[caller] * (1.0 + (rule.attempts if rule else 0)) for caller, rule in retries.items()]
        most[service] = max(tried, default=1.0)
    found = []
    for (kind, service, _), station in flows.stations.items():
        rate = sum(first for (_, callee), first in flows.first.items() if service_of(callee) == service)
        mean, worst = station.time.mean, max(most[target] for target in structure.targets[service])
        capacity = station.replicas * station.workers / mean if mean else inf
        if kind == "replica" and rate * worst >= capacity:
            stable = stable_load(capacity, worst - 1.0)
            found.append(
                f"{station.name}: vulnerable: only below {stable:.4g}/s does it come back from any overload;"
                f" at {rate:.4g}/s what is solved is its stable state"
            )
    return found


def _mention_abandoned(found: Analysis) -> None:
    """Work that is cut short makes less load than is calculated with."""
    for service, edge in obstacles.abandoned(found.structure).items():
        reason = f"work is cut short when {edge} gives up; its load is calculated as if it were not"
        found.reasons.append(f"{service}: {reason}")
        if found.structure.visits[service]:
            found.inexact = True
