"""Closed loads: users who think, send, and wait.

Sources:
    Reiser and Lavenberg 1980, Buzen 1973 (:mod:`meshsim.theory.networks`). Denning and Buzen, The
    Operational Analysis of Queueing Network Models, ACM Computing Surveys 10 (1978): the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshsim.scenario.model import CLIENT, Load
from meshsim.theory.networks import ClosedNetwork, closed_network
from meshsim.theory.recognise import obstacles
from meshsim.theory.recognise.filters import least_limit, limits
from meshsim.theory.recognise.flows import Flow, Flows
from meshsim.theory.recognise.law import Lattice, Law
from meshsim.theory.recognise.predict import QUANTILES
from meshsim.theory.recognise.responses import Responses, Wait
from meshsim.theory.recognise.solution import Kind, Prediction
from meshsim.theory.recognise.structure import Key, Structure, UnsolvedError
from meshsim.theory.recognise.tries import total

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
    zero = {key: Wait(Law.atom(lattice)) for key in structure.stations}
    responses = Responses(structure, lattice, zero)
    for edge in structure.edges:
        responses.call(*edge)
    flows = Flows(responses, product_form=True)
    flows.follow([(load.to, Flow(0, 1.0, "poisson"))])
    law = total(responses.call(CLIENT, load.to), lattice)
    if think + law.mean <= 0.0:
        raise UnsolvedError("users neither think nor wait: time never passes between their requests")
    reasons = _reasons(structure, load)
    if not structure.stations:
        return [*_free(users, think, law, flows, responses, not reasons)], reasons, law
    return [*_queued(structure, flows, users, think, law, reasons)], reasons, law


def _refuse_breakers(structure: Structure, users: int) -> None:
    """Users who are refused are back at once, and pass what bounds there are."""
    for caller, service in structure.edges:
        least = least_limit(structure.policy(caller, service))
        if least < users:
            raise UnsolvedError(
                f"{caller} -> {service}: the breaker's limit of {least} is in reach of {users} users; it ties"
                " refusals to the load, which no formula here follows"
            )


def _reasons(structure: Structure, load: Load) -> list[str]:
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
    if queues and ((load.users or 0) > USERS_MAX or (load.users or 0) * queues > STEPS_MAX):
        reasons.append("more users and queues than the convolution can take")
    return reasons


def _free(
    users: int, think: float, law: Law, flows: Flows, responses: Responses, exact: bool
) -> Iterable[Prediction]:
    """Users who never meet: each goes round by itself."""
    kind: Kind = "exact" if exact else "approx"
    rate = users / (think + law.mean)
    formula, source = "users / (think + latency)", "renewal reward; no queue"
    yield Prediction("requests.rate", rate, kind, formula, source)
    good = total(responses.call(CLIENT, flows.structure.scenario.load[0].to), law.lattice, ok=True)
    yield Prediction(
        "requests.success_ratio", good.mass, kind, "product of the chances on the way", "independence"
    )
    yield Prediction("requests.goodput", rate * good.mass, kind, "rate x success_ratio", source)
    yield Prediction("latency.mean", law.mean, kind, "independent times", source)
    for key, p in QUANTILES.items():
        yield Prediction(f"latency.{key}", law.quantile(p), kind, "independent times; on a lattice", source)
    yield from _rates(flows, rate, kind)


def _rates(flows: Flows, rate: float, kind: Kind) -> Iterable[Prediction]:
    for service in flows.structure.order:
        if service in flows.structure.used:
            each = sum(flows.version_rates(service).values())
            yield Prediction(
                f"services.{service}.rate", rate * each, kind, "throughput x visits", "conservation of flow"
            )


def _queued(
    structure: Structure, flows: Flows, users: int, think: float, law: Law, reasons: list[str]
) -> Iterable[Prediction]:
    """Exact by product form, or the bounds that always hold."""
    keys, demands, workers, owners = _demands(structure, flows)
    delay = think + law.mean - sum(demands)
    if reasons:
        best = min(
            [users / (think + law.mean), *(c / demand for c, demand in zip(workers, demands, strict=True))]
        )
        if not any("as if" in reason or "time-out" in reason for reason in reasons):
            yield Prediction(
                "requests.rate", best, "bound", "min(N/(Z+D), c/D_max)", "Denning and Buzen 1978"
            )
        return
    solved = closed_network(users, delay, demands, workers)
    rate = solved.throughput
    yield Prediction("requests.rate", rate, "exact", "closed network: G(N-1)/G(N)", MVA)
    yield Prediction("latency.mean", users / rate - think, "exact", "N/X - Z", MVA)
    yield from _rates(flows, rate, "exact")
    yield from _occupied(structure, keys, demands, owners, solved)


def _demands(structure: Structure, flows: Flows) -> tuple[list[Key], list[float], list[int], list[int]]:
    """One entry a replica: its key, its demand a request, its workers; and the keys' first entries."""
    keys: list[Key] = []
    demands: list[float] = []
    workers: list[int] = []
    first: list[int] = []
    for key, station in structure.stations.items():
        kind, service, version = key
        proxy = kind == "proxy"
        into = flows.passes(service, version) if proxy else flows.version_rates(service)[version]
        if into > 0.0 and station.time.mean > 0.0:
            first.append(len(demands))
            keys.append(key)
            demands += [into / station.replicas * station.time.mean] * station.replicas
            workers += [station.workers] * station.replicas
    return keys, demands, workers, first


def _occupied(
    structure: Structure, keys: list[Key], demands: list[float], owners: list[int], solved: ClosedNetwork
) -> Iterable[Prediction]:
    """Utilisation and queue of services whose versions are one station."""
    for key, place in zip(keys, owners, strict=True):
        kind, service, _ = key
        if kind == "proxy" or len(structure.deployments[service]) > 1:
            continue
        station = structure.stations[key]
        busy = solved.throughput * demands[place]
        waiting = (solved.number[place] - busy) * station.replicas
        path = f"services.{service}"
        yield Prediction(f"{path}.utilisation", busy / station.workers, "exact", "X·D/c", "utilisation law")
        yield Prediction(f"{path}.busy_mean", busy * station.replicas, "exact", "X·D", "utilisation law")
        yield Prediction(f"{path}.queue_mean", waiting, "exact", "mean number less the busy", MVA)
