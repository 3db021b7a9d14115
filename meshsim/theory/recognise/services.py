"""What an analysis says of each service, in the names of `summary.json`."""

# ruff: noqa: RUF001 (formulas are written with the field's symbols)
from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, nan

from meshsim.scenario.model import Deployment
from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.exactness import Exactness
from meshsim.theory.recognise.law import Law, mixture
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.solution import Prediction, kind_of
from meshsim.theory.recognise.structure import Target, service_of
from meshsim.units import UNLIMITED

LITTLE = "Little 1961"


def services(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Rate, busy workers, queue and latency of each."""
    cut = abandoned(found.structure)
    known = {target for _, target in found.responses.given}  # the lone queue whose cut work is followed
    for name, targets in found.structure.targets.items():
        edges = (cut[target] for target in targets if target in cut and target not in known)
        yield from ServiceSolved(found, exact, name).all(next(edges, ""))


def rates(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Only the rate and utilisation of each service, where nothing is known of waits."""
    for name in found.structure.targets:
        service = ServiceSolved(found, exact, name)
        yield service.arrivals("attempts per second, if nobody waited", LITTLE, sure=exact.rates)
        yield from service.workers(sure=exact.rates)


class ServiceSolved:
    """What an analysis says of one service."""

    def __init__(self, found: Analysis, exact: Exactness, name: str) -> None:
        self.found, self.exact, self.name, self.path = found, exact, name, f"services.{name}"
        self.targets = found.structure.targets[name]
        self.deployments = found.structure.deployments[name]
        self.into = found.flows.service_rates(name)  # attempts per second at each version
        self.rate = sum(self.into.values())
        self.stations = {key[2]: each for key, each in found.solved.items() if key[:2] == ("replica", name)}
        self.solved = [each for each in self.stations.values() if each.rate > 0.0]
        self.solved_exactly = all(each.exact for each in self.solved)

    def all(self, cut: str) -> Iterable[Prediction]:
        """Everything; `cut` is the edge by which its work is cut short, empty if none."""
        sure = self.exact.rates and not cut
        own = service_of(cut.partition(" -> ")[2]) == self.name  # calls to it are not cut
        entered = sure or (self.exact.rates and own)
        yield self.arrivals("attempts per second", "conservation of flow", sure=entered)
        yield from self.workers(sure=sure)
        yield from self.waiting_room(sure=sure)
        yield from self.shares()
        yield from self.latency(self.path, self.targets)
        for target in self.targets if self.targets != [self.name] else ():
            yield from self.endpoint(target, sure=entered)

    def arrivals(self, formula: str, source: str, *, sure: bool) -> Prediction:
        """How often it is asked."""
        return Prediction(f"{self.path}.rate", self.rate, kind_of(sure), formula, source)

    def workers(self, *, sure: bool) -> Iterable[Prediction]:
        """How busy they are: exact whenever all work is done, whatever is known of waits."""
        deployments = self.deployments.values()
        busy = sum(map(self._busy, self.into))
        workers = sum(each.replicas * each.workers for each in deployments)
        done = all(each.queue >= UNLIMITED for each in deployments)
        holds = any(each.script and each.holds_worker for each in self._works())
        kind = kind_of(sure and (done or self.solved_exactly) and (self.exact.means or not holds))
        if isfinite(busy):
            formula = "rate x time a worker is taken"
            yield Prediction(f"{self.path}.busy_mean", busy, kind, formula, LITTLE)
            if workers < UNLIMITED:
                formula = f"ρ: {formula} / workers"
                yield Prediction(f"{self.path}.utilisation", busy / workers, kind, formula, LITTLE)

    def waiting_room(self, *, sure: bool) -> Iterable[Prediction]:
        """How many wait, and how long on average."""
        waiting = sum(map(self._waiting, self.into))
        if isfinite(waiting) and self.rate > 0.0:
            formulas = dict.fromkeys(each.queue.formula for each in self.solved if each.queue is not None)
            formula = "; ".join(formulas) or "unlimited workers"
            kind = kind_of(sure and self.solved_exactly)
            yield Prediction(f"{self.path}.queue_mean", waiting, kind, formula, LITTLE)
            mean, formula = waiting / self.rate, f"queue_mean / rate; {formula}"
            yield Prediction(f"derived.{self.path}.wait_mean", mean, kind, formula, LITTLE)

    def shares(self) -> Iterable[Prediction]:
        """The share of attempts at each version."""
        kind, formula = kind_of(self.exact.rates), "weight / sum of weights"
        for version, rate in self.into.items():
            if version and self.rate > 0.0:
                path = f"derived.{self.path}.versions.{version}.share"
                yield Prediction(path, rate / self.rate, kind, formula, "binomial")

    def endpoint(self, target: Target, *, sure: bool) -> Iterable[Prediction]:
        """How often an endpoint is asked, and its latency: all wait alike, and each has its own service."""
        path = f"{self.path}.endpoints.{target.partition('/')[2]}"
        rate = sum(self.found.flows.version_rates(target).values())
        yield Prediction(f"{path}.rate", rate, kind_of(sure), "attempts per second", "conservation of flow")
        yield from self.latency(path, [target])

    def latency(self, path: str, targets: list[Target]) -> Iterable[Prediction]:
        """From arrival to answer; not where abandoned attempts, which have none, are left out of it."""
        structure, exact = self.found.structure, self.exact
        if any(structure.cut(*edge) for edge in structure.edges if edge[1] in targets):
            return
        into = {
            (target, version): rate
            for target in targets
            for version, rate in self.found.flows.version_rates(target).items()
            if rate > 0.0
        }
        parts = [self._visit(*asked, rate / sum(into.values())) for asked, rate in into.items()]
        law = mixture(parts, self.found.responses.lattice)
        leaf = not any(each.script for each in self._works())
        alone = exact.rates and leaf and not structure.sidecars and self.solved_exactly
        if law.mass > 0.0 and isfinite(law.mean):
            kind, formula = kind_of(exact.means or alone), "wait, service and what it calls"
            yield Prediction(f"{path}.latency.mean", law.mean, kind, formula, LITTLE)

    # ---- what these are made of -----------------------------------------------------------------

    def _works(self) -> list[Deployment]:
        every = self.found.structure.deployments
        return [work for target in self.targets for work in every[target].values()]

    def _busy(self, version: str) -> float:
        """Mean number of busy workers of a version: all work is done, unless there is too much."""
        deployment, station = self.deployments[version], self.stations.get(version)
        if station is not None and station.queue is not None:
            return station.queue.utilisation * deployment.replicas * deployment.workers
        busy = 0.0
        for target, work in self.found.structure.works(self.name, version).items():
            holds = work.holds_worker and work.script
            sojourn = self.found.responses.sojourn
            mean = sojourn(target, version).mean if holds else work.time.build().mean
            busy += self.found.flows.version_rates(target).get(version, 0.0) * mean
        return min(busy, float(deployment.replicas * deployment.workers))

    def _waiting(self, version: str) -> float:
        """Mean number that wait at all replicas of a version; NaN where it is not known."""
        station = self.stations.get(version)
        if station is None or station.rate == 0.0:
            return 0.0
        return nan if station.queue is None else station.queue.waiting * self.deployments[version].replicas

    def _visit(self, target: Target, version: str, share: float) -> Law:
        """From arrival to answer at a version, sidecar included."""
        structure, responses = self.found.structure, self.found.responses
        own = responses.sojourn(target, version)
        wait = responses.waits.get(("replica", self.name, version))
        sidecar = responses.waits.get(("proxy", self.name, version))
        if wait is not None:
            taken = wait.law.then(own).scaled(1.0 - wait.refused)
            own = taken.plus(Law.atom(responses.lattice, 0.0, wait.refused))
        passing = structure.proxy_time.mean if structure.sidecars else 0.0
        pause = 2.0 * (passing + (sidecar.law.mean if sidecar is not None else 0.0))
        return own.then(Law.atom(responses.lattice, pause)).scaled(share)
