"""An analysis as predictions in the names of `summary.json`."""

# ruff: noqa: RUF001 (formulas are written with the field's symbols)
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import isfinite

from meshsim.scenario.model import CLIENT
from meshsim.theory.priority import cobham_waits
from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.exactness import Exactness
from meshsim.theory.recognise.law import Law
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.services import rates, services
from meshsim.theory.recognise.solution import Kind, Prediction, kind_of
from meshsim.theory.recognise.structure import Key, Station, Structure, per_try_timeout, service_of
from meshsim.theory.recognise.tries import total
from meshsim.units import UNLIMITED

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
MODEL = "docs/background/model.md"


def predictions(found: Analysis, exact: Exactness) -> list[Prediction]:
    """Everything an analysis says."""
    overloaded = [key for key, solved in found.solved.items() if solved.overloaded]
    if overloaded:
        return [*offered(found.structure), *_overloaded(found, overloaded)]
    if not found.answers:
        return [*offered(found.structure), *rates(found, exact)]
    return [
        *offered(found.structure),
        *_requests(found, exact),
        *_latencies(found, exact),
        *_attempts(found, exact),
        *_failures(found, exact),
        *services(found, exact),
        *_by_priority(found, exact),
    ]


def offered(structure: Structure) -> Iterable[Prediction]:
    """What holds for any open load."""
    yield Prediction("requests.rate", structure.rate, "exact", "the load's rate", MODEL)


def _overloaded(found: Analysis, stations: list[Key]) -> Iterable[Prediction]:
    """What is left to say of queues that grow without end."""
    for kind, service, _ in stations if not found.fed_back else ():
        if kind == "replica" and len(found.structure.deployments[service]) == 1:
            path = f"services.{service}.utilisation"
            yield Prediction(path, 1.0, "bound", "1: it never idles", "Little 1961")


def _requests(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    good = found.latency(ok=True).mass
    formula, source, kind = "product of the chances on the way", "independence", kind_of(exact.outcomes)
    yield Prediction("requests.goodput", found.structure.rate * good, kind, "rate x success_ratio", source)
    yield Prediction("requests.success_ratio", good, kind, formula, source)


def _latencies(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    formula, source = _composition(found)
    kinds = kind_of(exact.means), kind_of(exact.shapes)
    for name, ok in (("latency", None), ("ok_latency", True)):
        yield from latency(name, found.latency(ok=ok), kinds, formula, source)
    for target in dict.fromkeys(entry.target for entry in found.structure.entries):
        service, _, endpoint = target.partition("/")
        if endpoint:
            name = f"edges.{CLIENT} -> {service}.endpoints.{endpoint}.latency"
            law = total(found.responses.call(CLIENT, target), found.responses.lattice)
            yield from latency(name, law, kinds, formula, source)


def latency(name: str, law: Law, kinds: tuple[Kind, Kind], formula: str, source: str) -> Iterable[Prediction]:
    """The mean and the quantiles of a law, each of its kind, as far as they are known and finite."""
    if law.mass > 0.0 and isfinite(law.mean):
        yield Prediction(f"{name}.mean", law.mean, kinds[0], formula, source)
        for key, p in QUANTILES.items() if law.known else ():
            value = law.quantile(p)
            if isfinite(value):
                yield Prediction(f"{name}.{key}", value, kinds[1], f"{formula}; on a lattice", source)


def _composition(found: Analysis) -> tuple[str, str]:
    """The formulas that the latency is made of, in a line; and their sources."""
    queues = [solved.queue for solved in found.solved.values() if solved.queue is not None]
    used = {**{queue.formula: queue.source for queue in queues}, **found.responses.used}
    rest = f"independent times: {', '.join(_operations(found.structure))}"
    return "; ".join([*used, rest]), "; ".join(dict.fromkeys([*used.values(), MODEL]))


def _operations(structure: Structure) -> list[str]:
    """The operations on times that make the latency."""
    policies = [structure.policy(*edge) for edge in structure.edges]
    done = {
        "sums": True,
        "maxima of concurrent calls": structure.forks,
        "cuts by time-outs": any(each.timeout or per_try_timeout(each) for each in policies),
        "tries after tries": any(each.retries for each in policies),
        "races of hedges": any(each.hedge for each in policies),
    }
    return [name for name, acts in done.items() if acts]


def _attempts(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Tries; where work is cut short, its calls are too."""
    flows, source = found.flows, "geometric sums"
    first = sum(flows.first.values())
    cut = any(found.structure.graph.out_degree(service) for service in abandoned(found.structure))
    kind = kind_of(exact.rates and not cut)
    if first > 0.0:
        formula = "1 + p + p² + … at every edge, multiplied down the tree"
        amplification = sum(flows.attempts.values()) / first
        yield Prediction("attempts.amplification", amplification, kind, formula, source)
    formula = "tries a call; edges' attempts / requests"
    calls: dict[str, float] = defaultdict(float)
    attempts: dict[str, float] = defaultdict(float)
    for (caller, target), rate in flows.calls.items():
        service, _, endpoint = target.partition("/")
        edge = f"{service_of(caller)} -> {service}"
        for name in (edge, f"{edge}.endpoints.{endpoint}") if endpoint else (edge,):
            calls[name] += rate
            attempts[name] += flows.attempts[caller, target]
    for name, rate in calls.items():
        if rate > 0.0 and abs(attempts[name] / rate - 1.0) > 1e-12:
            path = f"derived.edges.{name}.tries"
            yield Prediction(path, attempts[name] / rate, kind, formula, source)


def _failures(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    formula, source = "failures of this kind / completed", "product of the chances on the way"
    for (status, flags), law in found.answers.items():
        if status >= 400 and law.mass > 1e-12:
            path = f"failures.{flags or status}_ratio"
            yield Prediction(path, law.mass, kind_of(exact.outcomes), formula, source)


def _by_priority(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Mean latency by load, where a lone queue serves by priority."""
    loads = found.structure.scenario.load
    station = next(iter(found.flows.stations.values()), None)
    if station is None or len(found.flows.stations) > 1 or not exact.means:
        return
    waits = _cobham(found, station)
    if not waits or any(load.to != station.key[1] or load.endpoints for load in loads):
        return
    rest = found.latency().mean - found.responses.waits[station.key].law.mean
    for index, load in enumerate(loads):
        path, formula = f"derived.load[{index}].latency.mean", "W₀/((1-σ₋)(1-σ)) and the service"
        yield Prediction(path, rest + waits[load.priority], "exact", formula, "Cobham 1954")


def _cobham(found: Analysis, station: Station) -> dict[int, float]:
    """Mean wait by priority; empty where no formula gives it."""
    structure = found.structure
    loads = structure.scenario.load
    ranks = sorted({load.priority for load in loads}, reverse=True)
    if station.discipline != "priority" or len(ranks) < 2:
        return {}
    if station.holds_script or station.queue < UNLIMITED:
        return {}
    if station.workers > 1 and not station.quasi_reversible:
        return {}
    scale = found.solved[station.key].rate / structure.rate
    lams = [sum(structure.offered(load) for load in loads if load.priority == rank) * scale for rank in ranks]
    waits = cobham_waits(lams, station.time.mean, station.time.scv, station.workers)
    return dict(zip(ranks, waits, strict=True))
