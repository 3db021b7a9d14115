"""Closed loads: users who think, send, and wait.

Sources:
    Reiser and Lavenberg 1980, Buzen 1973 (:mod:`meshsim.theory.networks`). Denning and Buzen, The
    Operational Analysis of Queueing Network Models, ACM Computing Surveys 10 (1978): the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshsim.scenario.model import CLIENT
from meshsim.theory.networks import closed_network
from meshsim.theory.recognise import obstacles
from meshsim.theory.recognise.filters import least_limit, limits
from meshsim.theory.recognise.flows import Flow, Flows
from meshsim.theory.recognise.law import Lattice, Law
from meshsim.theory.recognise.predict import latency
from meshsim.theory.recognise.responses import Responses, Wait
from meshsim.theory.recognise.solution import Kind, Prediction, kind_of
from meshsim.theory.recognise.structure import Station, Structure, UnsolvedError
from meshsim.theory.recognise.tries import Response, add, total

USERS_MAX = 3_000
STEPS_MAX = 60_000
MVA = "Reiser and Lavenberg 1980; Buzen 1973"


def solve_closed(structure: Structure, lattice: Lattice) -> tuple[list[Prediction], list[str], Law]:
    """Predictions and reasons for a scenario with one closed load, and the law of a lone user's latency.

    Raises:
        UnsolvedError: there is nothing to say.
    """
    if len(structure.scenario.load) > 1:
        raise UnsolvedError("a closed load beside another load")
    load = structure.scenario.load[0]
    users, think = load.users or 0, load.think.build().mean
    _refuse_breakers(structure, users)
    responses = Responses(structure, lattice, {key: Wait(Law.atom(lattice)) for key in structure.stations})
    for edge in structure.edges:
        responses.call(*edge)
    flows = Flows(responses, product_form=True)
    flows.follow([(each.target, Flow(i, each.share, "poisson")) for i, each in enumerate(structure.entries)])
    answer: Response = {}
    for entry in structure.entries:
        for outcome, law in responses.call(CLIENT, entry.target).items():
            add(answer, outcome, law.scaled(entry.share))
    law = total(answer, lattice)
    if think + law.mean <= 0.0:
        raise UnsolvedError("users neither think nor wait: time never passes between their requests")
    reasons = _reasons(structure, users)
    if structure.stations:
        return [*_queued(flows, users, think, law, reasons)], reasons, law
    good = total(answer, lattice, ok=True).mass
    return [*_free(flows, users / (think + law.mean), law, good, kind_of(not reasons))], reasons, law


def _refuse_breakers(structure: Structure, users: int) -> None:
    """Refused users are back at once: they can exceed the bounds that hold otherwise."""
    for caller, service in structure.edges:
        least = least_limit(structure.policy(caller, service))
        if least < users:
            raise UnsolvedError(
                f"{caller} -> {service}: the breaker's limit of {least} is in reach of {users} users; it ties"
                " refusals to the load, which no formula here follows"
            )


def _reasons(structure: Structure, users: int) -> list[str]:
    """What keeps the closed network from being exact."""
    reasons = obstacles.left_out(structure)
    form = obstacles.product_form(structure) if structure.stations else ""
    reasons += [f"no product form: {form}"] if form else []
    if any(structure.timed(*edge) for edge in structure.edges):
        reasons.append("time-outs or hedges over queues")
    for caller, service in structure.edges:
        if limits(structure.policy(caller, service)):
            reasons.append(f"{caller} -> {service}: a circuit breaker under closed load")
    queues = sum(station.replicas for station in structure.stations.values())
    if queues and (users > USERS_MAX or users * queues > STEPS_MAX):
        reasons.append("more users and queues than the convolution can take")
    return reasons


def _free(flows: Flows, rate: float, law: Law, good: float, kind: Kind) -> Iterable[Prediction]:
    """Users who never queue: each is independent of the others."""
    formula, source = "users / (think + latency)", "renewal reward; no queue"
    yield Prediction("requests.rate", rate, kind, formula, source)
    chances = "product of the chances on the way"
    yield Prediction("requests.success_ratio", good, kind, chances, "independence")
    yield Prediction("requests.goodput", rate * good, kind, "rate x success_ratio", source)
    yield from latency("latency", law, (kind, kind), "independent times", source)
    yield from _rates(flows, rate, kind)


def _rates(flows: Flows, rate: float, kind: Kind) -> Iterable[Prediction]:
    for service in flows.structure.targets:
        each = rate * sum(flows.service_rates(service).values())
        yield Prediction(
            f"services.{service}.rate", each, kind, "throughput x visits", "conservation of flow"
        )


def _queued(flows: Flows, users: int, think: float, law: Law, reasons: list[str]) -> Iterable[Prediction]:
    """Exact by product form, or the bounds that always hold."""
    stations = _demands(flows)
    demands = [demand for station, demand in stations for _ in range(station.replicas)]
    workers = [station.workers for station, _ in stations for _ in range(station.replicas)]
    if reasons:
        capacities = (c / demand for c, demand in zip(workers, demands, strict=True))
        best = min([users / (think + law.mean), *capacities])
        if not any("as if" in reason or "time-out" in reason for reason in reasons):
            formula, source = "min(N/(Z+D), c/D_max)", "Denning and Buzen 1978"
            yield Prediction("requests.rate", best, "bound", formula, source)
        return
    solved = closed_network(users, think + law.mean - sum(demands), demands, workers)
    rate = solved.throughput
    yield Prediction("requests.rate", rate, "exact", "closed network: G(N-1)/G(N)", MVA)
    yield Prediction("latency.mean", users / rate - think, "exact", "N/X - Z", MVA)
    yield from _rates(flows, rate, "exact")
    place = 0
    for station, demand in stations:
        yield from _occupied(flows.structure, station, rate * demand, solved.number[place])
        place += station.replicas


def _demands(flows: Flows) -> list[tuple[Station, float]]:
    """The service that a request asks of one replica of each station, s; stations without any left out."""
    stations = flows.stations.values()
    demands = [(each, flows.into(each.key) / each.replicas * each.time.mean) for each in stations]
    return [(station, demand) for station, demand in demands if demand > 0.0]


def _occupied(structure: Structure, station: Station, busy: float, number: float) -> Iterable[Prediction]:
    """Utilisation and queue of a service whose versions are one station; `busy` and `number` of a replica."""
    kind, service, _ = station.key
    if kind == "proxy" or len(structure.deployments[service]) > 1:
        return
    path, law = f"services.{service}", "utilisation law"
    yield Prediction(f"{path}.utilisation", busy / station.workers, "exact", "X·D/c", law)
    yield Prediction(f"{path}.busy_mean", busy * station.replicas, "exact", "X·D", law)
    waiting = (number - busy) * station.replicas
    yield Prediction(f"{path}.queue_mean", waiting, "exact", "mean number less those in service", MVA)
