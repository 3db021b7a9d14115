"""An analysis as predictions in the names of `summary.json`."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.classes import classes
from meshsim.theory.recognise.exactness import Exactness
from meshsim.theory.recognise.law import Law
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.services import rates, services
from meshsim.theory.recognise.solution import Prediction, kind_of
from meshsim.theory.recognise.structure import Structure
from meshsim.theory.recognise.tries import total

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
MODEL = "docs/background/model.md"


def predictions(found: Analysis, exact: Exactness) -> list[Prediction]:
    """Everything an analysis says."""
    overloaded = [key for key, solved in found.solved.items() if solved.overloaded]
    if overloaded:
        services_full = [key[1] for key in overloaded if key[0] == "replica"]
        return [*offered(found.structure), *_overloaded(found, services_full)]
    if not found.answers:
        return [*offered(found.structure), *rates(found, exact)]
    return [
        *offered(found.structure),
        *_requests(found, exact),
        *_latencies(found, exact),
        *_attempts(found, exact),
        *_failures(found, exact),
        *services(found, exact),
        *classes(found, exact),
    ]


def _rate(structure: Structure) -> float:
    return sum(structure.offered(load) for load in structure.scenario.load)


def offered(structure: Structure) -> Iterable[Prediction]:
    """What holds for any open load."""
    yield Prediction("requests.rate", _rate(structure), "exact", "the load's rate", MODEL)


def _overloaded(found: Analysis, services: list[str]) -> Iterable[Prediction]:
    """What is left to say of queues that grow without end."""
    if not found.fed_back:
        for service in services:
            if len(found.structure.deployments[service]) == 1:
                yield Prediction(
                    f"services.{service}.utilisation", 1.0, "bound", "1: it never idles", "Little 1961"
                )


def _requests(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    good = total(found.answers, found.responses.lattice, ok=True).mass
    formula, source, kind = "product of the chances on the way", "independence", kind_of(exact.outcomes)
    yield Prediction("requests.goodput", _rate(found.structure) * good, kind, "rate x success_ratio", source)
    yield Prediction("requests.success_ratio", good, kind, formula, source)


def _latencies(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    formula, source = _composition(found)
    for name, ok in (("latency", False), ("ok_latency", True)):
        law = total(found.answers, found.responses.lattice, ok=ok or None)
        if law.mass > 0.0 and isfinite(law.mean):
            yield Prediction(f"{name}.mean", law.mean, kind_of(exact.means), formula, source)
            yield from _quantiles(name, law, exact, formula, source)


def _quantiles(name: str, law: Law, exact: Exactness, formula: str, source: str) -> Iterable[Prediction]:
    if not law.known:
        return
    for key, p in QUANTILES.items():
        value = law.quantile(p)
        if isfinite(value):
            yield Prediction(
                f"{name}.{key}", value, kind_of(exact.shapes), f"{formula}; on a lattice", source
            )


def _composition(found: Analysis) -> tuple[str, str]:
    """How the latency is put together, in a line; and from where."""
    queues = [solved.queue for key, solved in found.solved.items() if solved.queue is not None]
    formulas = dict.fromkeys([*(queue.formula for queue in queues), *found.responses.used])
    sources = dict.fromkeys([*(queue.source for queue in queues), *found.responses.used.values()])
    rest = f"independent times: {', '.join(_operations(found))}"
    return "; ".join([*formulas, rest]), "; ".join([*sources, MODEL])


def _operations(found: Analysis) -> list[str]:
    """What is done with times on the way."""
    structure = found.structure
    policies = [structure.policy(*edge) for edge in structure.edges]
    limited = any(
        policy.timeout or (policy.retries and policy.retries.per_try_timeout) for policy in policies
    )
    return [
        "sums",
        *(["maxima of concurrent calls"] if structure.forks else []),
        *(["cuts by time-outs"] if limited else []),
        *(["tries after tries"] if any(policy.retries for policy in policies) else []),
        *(["races of hedges"] if any(policy.hedge for policy in policies) else []),
    ]


def _attempts(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Tries; where work is cut short, its calls are too."""
    flows = found.flows
    first = sum(flows.first.values())
    cut = any(found.structure.graph.out_degree(service) for service in abandoned(found.structure))
    if first > 0.0:
        yield Prediction(
            "attempts.amplification", sum(flows.attempts.values()) / first, kind_of(exact.rates and not cut),
            "1 + p + p² + … at every edge, multiplied down the tree", "geometric sums",
        )  # fmt: skip
    for (caller, service), calls in flows.calls.items():
        tries = found.responses.routed[caller, service] * found.responses.tries[caller, service]
        if calls > 0.0 and abs(tries - 1.0) > 1e-12:
            yield Prediction(
                f"derived.edges.{caller} -> {service}.tries", tries, kind_of(exact.rates and not cut),
                "tries a call; edges' attempts / requests", "geometric sums",
            )  # fmt: skip


def _failures(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    for (status, flags), law in found.answers.items():
        if status >= 400 and law.mass > 1e-12:
            yield Prediction(
                f"failures.{flags or status}_ratio", law.mass, kind_of(exact.outcomes),
                "failures of this kind / completed", "product of the chances on the way",
            )  # fmt: skip
