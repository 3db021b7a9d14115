"""What an analysis says of each service, in the names of `summary.json`."""

# ruff: noqa: RUF001 (formulas are written with the field's symbols)
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan

from meshsim.scenario.model import Deployment
from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.exactness import Exactness
from meshsim.theory.recognise.kendall import Solved
from meshsim.theory.recognise.law import Law, mixture
from meshsim.theory.recognise.obstacles import abandoned
from meshsim.theory.recognise.solution import Prediction, kind_of
from meshsim.units import UNLIMITED

LITTLE = "Little 1961"


def services(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Rate, busy workers, queue and latency of each."""
    cut = abandoned(found.structure)
    known = {service for _, service in found.responses.given}  # the lone queue whose cut work is followed
    for name in found.structure.order:
        yield from ServiceSolved(found, exact, name).all("" if name in known else cut.get(name, ""))


def rates(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Only the rate and utilisation of each service, where nothing is known of waits."""
    for name in found.structure.order:
        service = ServiceSolved(found, exact, name)
        yield service.arrivals("attempts per second, if nobody waited", LITTLE, sure=exact.rates)
        yield from service.workers(sure=exact.rates)


@dataclass
class ServiceSolved:
    """A service of an analysis."""

    found: Analysis
    exact: Exactness  # of the analysis
    name: str

    def all(self, cut: str) -> Iterable[Prediction]:
        """Everything; `cut` is the edge by which its work is cut short, empty if none."""
        entered_only = cut.endswith(f" -> {self.name}")  # its own work is cut, not the calls to it
        sure = self.exact.rates and not cut
        entered = self.exact.rates and (not cut or entered_only)
        yield self.arrivals("attempts per second", "conservation of flow", sure=entered)
        yield from self.workers(sure=sure)
        yield from self.waiting_room(sure=sure)
        yield from self.shares()
        yield from self.latency()

    def arrivals(self, formula: str, source: str, *, sure: bool) -> Prediction:
        """How often it is asked."""
        return Prediction(f"services.{self.name}.rate", self.rate, kind_of(sure), formula, source)

    def workers(self, *, sure: bool) -> Iterable[Prediction]:
        """How busy they are: exact whenever all work is done, whatever is known of waits."""
        deployments = self.deployments.values()
        busy = sum(map(self._busy, self.into))
        workers = sum(each.replicas * each.workers for each in deployments)
        done = all(each.queue >= UNLIMITED for each in deployments)
        holds = any(each.script and each.holds_worker for each in deployments)
        kind = kind_of(sure and (done or self.solved_exactly) and (self.exact.means or not holds))
        if isfinite(busy):
            path, formula = f"services.{self.name}", "rate x time a worker is taken"
            yield Prediction(f"{path}.busy_mean", busy, kind, formula, LITTLE)
            if workers < UNLIMITED:
                ratio = busy / workers
                yield Prediction(f"{path}.utilisation", ratio, kind, f"ρ: {formula} / workers", LITTLE)

    def waiting_room(self, *, sure: bool) -> Iterable[Prediction]:
        """How many wait, and how long on average."""
        waiting = sum(map(self._waiting, self.into))
        if isfinite(waiting) and self.rate > 0.0:
            formulas = dict.fromkeys(each.queue.formula for each in self.solved if each.queue is not None)
            formula = "; ".join(formulas) or "unlimited workers"
            kind, path = kind_of(sure and self.solved_exactly), f"services.{self.name}"
            yield Prediction(f"{path}.queue_mean", waiting, kind, formula, LITTLE)
            mean, formula = waiting / self.rate, f"queue_mean / rate; {formula}"
            yield Prediction(f"derived.{path}.wait_mean", mean, kind, formula, LITTLE)

    def shares(self) -> Iterable[Prediction]:
        """The share of attempts at each version."""
        kind, formula = kind_of(self.exact.rates), "weight / sum of weights"
        for version, rate in self.into.items():
            if version and self.rate > 0.0:
                path = f"derived.services.{self.name}.versions.{version}.share"
                yield Prediction(path, rate / self.rate, kind, formula, "binomial")

    def latency(self) -> Iterable[Prediction]:
        """From arrival to answer; not where abandoned attempts, which have none, are left out of it."""
        structure, exact = self.found.structure, self.exact
        if any(structure.cut(*edge) for edge in structure.edges if edge[1] == self.name):
            return
        parts = [self._visit(each, rate / self.rate) for each, rate in self.into.items() if rate > 0.0]
        law = mixture(parts, self.found.responses.lattice)
        leaf = not any(each.script for each in self.deployments.values())
        alone = exact.rates and leaf and not structure.sidecars and self.solved_exactly
        if law.mass > 0.0 and isfinite(law.mean):
            kind, formula = kind_of(exact.means or alone), "wait, service and what it calls"
            yield Prediction(f"services.{self.name}.latency.mean", law.mean, kind, formula, LITTLE)

    # ---- what these are made of -----------------------------------------------------------------

    @cached_property
    def into(self) -> dict[str, float]:
        """Attempts per second at each version."""
        return self.found.flows.version_rates(self.name)

    @property
    def rate(self) -> float:
        """At all of them."""
        return sum(self.into.values())

    @property
    def deployments(self) -> dict[str, Deployment]:
        """By version."""
        return self.found.structure.deployments[self.name]

    @property
    def solved(self) -> list[Solved]:
        """The stations of its versions that get any attempts."""
        stations = self.found.solved.items()
        return [each for key, each in stations if key[:2] == ("replica", self.name) and each.rate > 0.0]

    @property
    def solved_exactly(self) -> bool:
        """Whether all of these are."""
        return all(each.exact for each in self.solved)

    def _station(self, version: str) -> Solved | None:
        return self.found.solved.get(("replica", self.name, version))

    def _busy(self, version: str) -> float:
        """Mean number of busy workers of a version: all work is done, unless there is too much."""
        deployment, station = self.deployments[version], self._station(version)
        workers = deployment.replicas * deployment.workers
        if station is not None and station.queue is not None:
            return station.queue.utilisation * deployment.replicas * deployment.workers
        holds = deployment.holds_worker and deployment.script
        sojourn = self.found.responses.sojourn
        mean = sojourn(self.name, version).mean if holds else deployment.time.build().mean
        return min(self.into[version] * mean, float(workers))

    def _waiting(self, version: str) -> float:
        """Mean number that wait at all replicas of a version; NaN where it is not known."""
        station = self._station(version)
        if station is None or station.rate == 0.0:
            return 0.0
        return nan if station.queue is None else station.queue.waiting * self.deployments[version].replicas

    def _visit(self, version: str, share: float) -> Law:
        """From arrival to answer at a version, sidecar included."""
        structure, responses = self.found.structure, self.found.responses
        own = responses.sojourn(self.name, version)
        wait = responses.waits.get(("replica", self.name, version))
        sidecar = responses.waits.get(("proxy", self.name, version))
        if wait is not None:
            taken = wait.law.then(own).scaled(1.0 - wait.refused)
            own = taken.plus(Law.atom(responses.lattice, 0.0, wait.refused))
        passing = structure.proxy_time.mean if structure.sidecars else 0.0
        pause = 2.0 * (passing + (sidecar.law.mean if sidecar is not None else 0.0))
        return own.then(Law.atom(responses.lattice, pause)).scaled(share)
