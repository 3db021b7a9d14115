"""Every station of a scenario solved for the streams that reach it.

A balancer decides what one replica sees: `random` a thinned stream, `round_robin` every N-th request,
`least_request` what the queues let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan

from meshsim.scenario.model import Load
from meshsim.theory import markov
from meshsim.theory.recognise.balanced import looks, solve_balanced
from meshsim.theory.recognise.flows import Flows, Visit, independent
from meshsim.theory.recognise.kendall import Arrivals, Service, Solved, solve_queue
from meshsim.theory.recognise.law import Law, ShapeUnknownError, mixture
from meshsim.theory.recognise.responses import Responses, Wait
from meshsim.theory.recognise.structure import Key, OverloadError, Station, Structure, UnsolvedError
from meshsim.units import UNLIMITED

NEARLY = 0.02  # so far from 1, a ca² is taken to be that of a Poisson process


@dataclass(frozen=True, slots=True)
class Stations:
    """Solves one station after the other, callees before callers."""

    structure: Structure
    responses: Responses  # for the waits that were found so far
    flows: Flows  # what reaches the stations

    def solve(self, station: Station) -> Solved:
        """Solve a station whose callees are solved."""
        rate = self.flows.into(station.key) / station.replicas
        if rate == 0.0:
            return Solved(None, 0.0)  # nothing comes
        try:
            return self._solve(station, rate)
        except UnsolvedError as error:
            return Solved(None, rate, f"{station.name}: {error}", isinstance(error, OverloadError))
        except ShapeUnknownError:
            reason = f"{station.name}: its workers wait for answers of which little is known"
            return Solved(None, rate, reason)

    def _solve(self, station: Station, rate: float) -> Solved:
        _, service, version = station.key
        held = station.holds_script
        law = self._held(service, version) if held else self._own(station)
        prioritised = self.structure.prioritised(station)
        if prioritised and len(station.times) > 1:
            raise UnsolvedError("who is served first depends on the load, and so does what they ask for")
        fifo = station.discipline != "lifo" and not prioritised
        plain = station.exponential and not held
        scv = None if held else station.time.scv
        served = Service(law, plain, station.workers, station.queue, fifo, scv)
        visits = self.flows.visits[station.key]
        policy = looks(self.structure, station, visits)
        if policy is not None and served.mean != 0.0:
            return solve_balanced(self.structure, station, visits, policy, self._own(station), rate)
        arrivals = self._arrivals(station, rate)
        doubt = arrivals.doubt
        queues = max(map(self.structure.visits.__getitem__, self.structure.targets[service]))
        if held and queues > 1 + self.structure.crossings:
            doubt = "its workers wait for other queues"
        solved = solve_queue(arrivals, served)
        if station.queue < UNLIMITED and doubt:
            doubt = f"{doubt}; treated as Poisson"
        if not solved.exact and not doubt:
            doubt = f"only an approximation is known ({solved.formula})"
        return Solved(replace(solved, exact=not doubt), rate, f"{station.name}: {doubt}" if doubt else "")

    def _own(self, station: Station) -> Law:
        kind, _, version = station.key
        if kind == "proxy":
            return self.responses.law(self.structure.scenario.mesh.proxy.time)
        firsts = [self.structure.deployments[targets[0]][version].time for _, targets in station.times]
        laws = [self.responses.law(time) for time in firsts]
        if len(laws) == 1:
            return laws[0]
        shares = (weight / sum(station.weights) for weight in station.weights)
        parts = (law.scaled(share) for law, share in zip(laws, shares, strict=True))
        return mixture(parts, self.responses.lattice)

    def _held(self, service: str, version: str) -> Law:
        """How long a worker is taken that waits for the script too."""
        rates = {
            target: self.flows.version_rates(target).get(version, 0.0)
            for target in self.structure.targets[service]
        }
        total = sum(rates.values())
        laws = (self.responses.sojourn(target, version).scaled(r / total) for target, r in rates.items() if r)
        return mixture(laws, self.responses.lattice)

    # ---- what one replica sees ------------------------------------------------------------------

    def _arrivals(self, station: Station, rate: float) -> Arrivals:
        """The arrivals at one replica."""
        visits = self.flows.visits[station.key]
        if self.flows.product_form:
            return Arrivals("poisson", rate)
        if station.key[0] == "proxy":
            return Arrivals("other", rate, "requests pass it more than once; treated as Poisson arrivals")
        if independent(visits):
            if len(visits) == 1:
                return self._alone(station, visits[0], rate)
            version = station.key[2]
            thins = all(self.structure.thins(visit.caller, visit.target, version) for visit in visits)
            if thins and all(visit.flow.process == "poisson" for visit in visits):
                return Arrivals("poisson", rate)
        return Arrivals("other", rate, "requests come to it more than once; treated as Poisson arrivals")

    def _alone(self, station: Station, visit: Visit, rate: float) -> Arrivals:
        """One stream, spread over the hosts of its cluster by a balancer that does not look at queues."""
        caller, target, version = visit.caller, visit.target, station.key[2]
        hosts = self.structure.hosts(caller, target, version)
        process, thins = visit.flow.process, self.structure.thins(caller, target, version)
        turns = not thins and self.structure.instances(visit.caller) == 1  # of one round robin
        if process == "poisson":
            if thins:
                return Arrivals(process, rate)
            if turns:
                return Arrivals("erlang", rate, k=hosts, ca2=1.0 / hosts)
            doubt = "many callers take turns by round robin; treated as Poisson arrivals"
            return Arrivals("other", rate, doubt)
        if process == "constant" and (turns or hosts == 1):
            return Arrivals(process, rate, ca2=0.0 if turns else 1.0)
        if process == "constant" and thins:  # gaps are geometric
            return Arrivals("other", rate, "a random share of regular arrivals", ca2=1.0 - 1.0 / hosts)
        if process == "mmpp" and thins:
            return _modulated(self.structure.entries[visit.flow.entry].load, rate)
        ca2 = 1.0 + (visit.flow.ca2 - 1.0) / hosts if thins else visit.flow.ca2 / hosts if turns else 1.0
        ca2 = 1.0 if abs(ca2 - 1.0) < NEARLY else ca2
        treated = f"treated as renewals with ca² = {ca2:.3g}" if ca2 != 1.0 else "treated as if they were"
        return Arrivals("other", rate, f"its arrivals are not Poisson; {treated}", ca2=ca2)


def _modulated(load: Load, rate: float) -> Arrivals:
    """A random share of MMPP arrivals."""
    assert load.arrivals.mmpp is not None
    rates, stays = load.arrivals.mmpp.rates, load.arrivals.mmpp.mean_times
    share = rate / markov.map_rate(*markov.mmpp(rates, stays))
    return Arrivals("mmpp", rate, phases=markov.mmpp([share * each for each in rates], stays))


def solve_stations(
    flows: Flows, responses: Responses, given: Mapping[Key, Solved]
) -> tuple[dict[Key, Solved], dict[Key, Wait]]:
    """All stations but those given, callees before callers, and their waits."""
    solved: dict[Key, Solved] = {}
    waits: dict[Key, Wait] = {}
    solver = Stations(responses.structure, responses.anew(waits), flows)
    for key, station in reversed(list(flows.stations.items())):
        solved[key] = given[key] if key in given else solver.solve(station)
        queue = solved[key].queue
        waits[key] = queue.wait if queue is not None else Wait(Law.mean_only(responses.lattice, nan))
    return solved, waits
