"""What an analysis says of each service, in the names of `summary.json`."""

# ruff: noqa: RUF001 (formulas are written with the field's symbols)
from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.exactness import Exactness
from meshsim.theory.recognise.kendall import Solved
from meshsim.theory.recognise.law import Law, mixture
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.solution import Prediction, kind_of
from meshsim.theory.recognise.tries import total
from meshsim.units import UNLIMITED

LITTLE = "Little 1961"


def services(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Rate, busy workers, queue and latency of each."""
    cut = abandoned(found.structure)
    for service in found.structure.order:
        if service in found.structure.used:
            yield from _service(found, exact, service, service in cut and not _known(found, service))


def rates(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Only how much comes to each service and how busy it is, where nothing is known of waits."""
    for service in found.structure.order:
        if service in found.structure.used:
            into = found.flows.version_rates(service)
            formula = "attempts per second, if nobody waited"
            yield Prediction(
                f"services.{service}.rate", sum(into.values()), kind_of(exact.rates), formula, LITTLE
            )
            yield from _workers(found, exact, service, into, exact.rates)


def _known(found: Analysis, service: str) -> bool:
    """Whether it is the lone queue whose cut work is reckoned with."""
    return any(callee == service for _, callee in found.responses.given)


def _service(found: Analysis, exact: Exactness, service: str, cut: bool) -> Iterable[Prediction]:
    into = found.flows.version_rates(service)
    kind = kind_of(exact.rates and not (cut and not _entered_only(found, service)))
    formula, source = "attempts per second", "conservation of flow"
    yield Prediction(f"services.{service}.rate", sum(into.values()), kind, formula, source)
    yield from _workers(found, exact, service, into, exact.rates and not cut)
    yield from _waiting_room(found, service, into, exact.rates and not cut)
    yield from _shares(exact, service, into)
    yield from _service_latency(found, exact, service)


def _workers(
    found: Analysis, exact: Exactness, service: str, into: dict[str, float], sure: bool
) -> Iterable[Prediction]:
    """How busy they are: exact whenever all work is done, whatever is known of waits."""
    deployments = found.structure.deployments[service]
    busy = sum(_busy(found, service, version, rate) for version, rate in into.items())
    workers = sum(deployment.replicas * deployment.workers for deployment in deployments.values())
    done = all(deployment.queue >= UNLIMITED for deployment in deployments.values())
    holds = any(deployment.script and deployment.holds_worker for deployment in deployments.values())
    kind = kind_of(sure and (done or _solved_exactly(found, service)) and (exact.means or not holds))
    if isfinite(busy):
        path, formula = f"services.{service}", "rate x time a worker is taken"
        yield Prediction(f"{path}.busy_mean", busy, kind, formula, LITTLE)
        if workers < UNLIMITED:
            yield Prediction(f"{path}.utilisation", busy / workers, kind, f"ρ: {formula} / workers", LITTLE)


def _waiting_room(found: Analysis, service: str, into: dict[str, float], sure: bool) -> Iterable[Prediction]:
    """How many wait, and how long on average."""
    rate = sum(into.values())
    waiting = sum(_waiting(found, service, version) for version in into)
    if isfinite(waiting) and rate > 0.0:
        queues = [solved.queue for solved in _solved(found, service) if solved.queue is not None]
        formula = "; ".join(dict.fromkeys(queue.formula for queue in queues)) or "unlimited workers"
        kind = kind_of(sure and _solved_exactly(found, service))
        yield Prediction(f"services.{service}.queue_mean", waiting, kind, formula, LITTLE)
        yield Prediction(
            f"derived.services.{service}.wait_mean",
            waiting / rate,
            kind,
            f"queue_mean / rate; {formula}",
            LITTLE,
        )


def _solved(found: Analysis, service: str) -> list[Solved]:
    """The stations of a service's versions to which something comes."""
    stations = [solved for key, solved in found.solved.items() if key[:2] == ("replica", service)]
    return [solved for solved in stations if solved.rate > 0.0]


def _solved_exactly(found: Analysis, service: str) -> bool:
    return all(solved.exact for solved in _solved(found, service))


def _busy(found: Analysis, service: str, version: str, rate: float) -> float:
    """Mean number of busy workers of a version."""
    deployment = found.structure.deployments[service][version]
    solved = found.solved.get(("replica", service, version))
    if solved is None or solved.queue is None:
        return _asked(found, service, version, rate)
    return solved.queue.utilisation * deployment.replicas * deployment.workers


def _asked(found: Analysis, service: str, version: str, rate: float) -> float:
    """Work that comes per second: all of it is done, unless there is too much."""
    deployment = found.structure.deployments[service][version]
    held = deployment.holds_worker and bool(deployment.script)
    lattice = found.responses.lattice
    mean = (
        total(found.responses.serve(service, version), lattice).mean if held else deployment.time.build().mean
    )
    return min(rate * mean, float(deployment.replicas * deployment.workers))


def _waiting(found: Analysis, service: str, version: str) -> float:
    """Mean number that wait at all replicas of a version; NaN where it is not known."""
    solved = found.solved.get(("replica", service, version))
    if solved is None or solved.rate == 0.0:
        return 0.0
    replicas = found.structure.deployments[service][version].replicas
    return solved.queue.waiting * replicas if solved.queue is not None else float("nan")


def _entered_only(found: Analysis, service: str) -> bool:
    """Whether only the work of a service itself is cut, not the calls to it."""
    edge = abandoned(found.structure)[service]
    return edge.endswith(f" -> {service}")


def _shares(exact: Exactness, service: str, into: dict[str, float]) -> Iterable[Prediction]:
    rate = sum(into.values())
    for version, each in into.items():
        if version and rate > 0.0:
            yield Prediction(
                f"derived.services.{service}.versions.{version}.share", each / rate, kind_of(exact.rates),
                "weight / sum of weights", "binomial",
            )  # fmt: skip


def _service_latency(found: Analysis, exact: Exactness, service: str) -> Iterable[Prediction]:
    """From arrival to answer; not where abandoned attempts, which have none, are left out of it."""
    structure, responses = found.structure, found.responses
    if any(structure.cut(*edge) for edge in structure.edges if edge[1] == service):
        return
    law = mixture(
        [
            _visit(found, service, version, share)
            for version, share in _version_shares(found, service).items()
        ],
        responses.lattice,
    )
    leaf = not any(deployment.script for deployment in structure.deployments[service].values())
    exactly = exact.means or (
        exact.rates and leaf and not structure.sidecars and _solved_exactly(found, service)
    )
    if law.mass > 0.0 and isfinite(law.mean):
        formula = "wait, service and what it calls"
        yield Prediction(f"services.{service}.latency.mean", law.mean, kind_of(exactly), formula, LITTLE)


def _version_shares(found: Analysis, service: str) -> dict[str, float]:
    into = found.flows.version_rates(service)
    rate = sum(into.values())
    return {version: each / rate for version, each in into.items() if each > 0.0}


def _visit(found: Analysis, service: str, version: str, share: float) -> Law:
    """From arrival to answer at a version, sidecar included."""
    responses, lattice = found.responses, found.responses.lattice
    own = total(responses.serve(service, version), lattice)
    wait, sidecar = (
        responses.waits.get(("replica", service, version)),
        responses.waits.get(("proxy", service, version)),
    )
    if wait is not None:
        taken = wait.law.then(own).scaled(1.0 - wait.refused)
        own = taken.plus(Law.atom(lattice, 0.0, wait.refused))
    passing = found.structure.proxy_time.mean if found.structure.sidecars else 0.0
    pause = 2.0 * (passing + (sidecar.law.mean if sidecar is not None else 0.0))
    return own.then(Law.atom(lattice, pause)).scaled(share)
