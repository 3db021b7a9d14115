"""Every station of a scenario solved for the streams that reach it.

A balancer decides what one replica sees: `random` a thinned stream, `round_robin` every N-th request,
`least_request` what the queues let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from meshsim import random
from meshsim.scenario.model import Load
from meshsim.theory import markov
from meshsim.theory.recognise.balanced import looks, solve_balanced
from meshsim.theory.recognise.flows import Flows, Visit
from meshsim.theory.recognise.kendall import Arrivals, Queue, Solved, service_of, solve_queue
from meshsim.theory.recognise.law import Law, ShapeUnknownError
from meshsim.theory.recognise.responses import Responses, Wait
from meshsim.theory.recognise.structure import Key, OverloadError, Station, Structure, UnsolvedError
from meshsim.theory.recognise.tries import total
from meshsim.units import UNLIMITED

NEARLY = 0.02  # so far from 1, a ca² is taken to be that of a Poisson process


@dataclass(frozen=True, slots=True)
class Stations:
    """Solves one station after the other.

    Attributes:
        structure: of the scenario.
        flows: what reaches the stations.
        product_form: whether they are a network with product form.
    """

    structure: Structure
    flows: Flows
    product_form: bool

    def solve(self, station: Station, responses: Responses) -> Solved:
        """Solve a station whose callees are solved."""
        rate = self.rate(station) / station.replicas
        if rate == 0.0:
            return Solved(None, 0.0)  # nothing comes
        try:
            return self._solve(station, responses, rate)
        except UnsolvedError as error:
            return Solved(None, rate, f"{station.name}: {error}", isinstance(error, OverloadError))
        except ShapeUnknownError:
            return Solved(
                None, rate, f"{station.name}: its workers wait for answers of which little is known"
            )

    def rate(self, station: Station) -> float:
        """Attempts per second at all replicas of a station; passes, at sidecars."""
        kind, service, version = station.key
        into = self.flows.version_rates(service)
        if kind == "replica":
            return into[version]
        total_in = sum(into.values())
        share = into[version] / total_in if total_in else 0.0
        out = sum(rate for (caller, _), rate in self.flows.calls.items() if caller == service)
        return 2.0 * (into[version] + share * out)

    def _solve(self, station: Station, responses: Responses, rate: float) -> Solved:
        lattice = responses.lattice
        _, service, version = station.key
        held = station.holds_script
        law = total(responses.serve(service, version), lattice) if held else self._own(station, responses)
        scv = None if held else station.time.scv
        fifo = station.discipline != "lifo" and not self.structure.prioritised(station)
        plain = isinstance(station.time, random.Exponential) and not held
        served = service_of(law, scv, plain, station.workers, station.queue, fifo)
        visits = self.flows.visits[station.key]
        policy = looks(self.structure, station, visits)
        if policy is not None:
            own = self._own(station, responses)
            return solve_balanced(self.structure, station, visits, policy, own, rate)
        arrivals, reason = self._arrivals(station, rate)
        if held and self._queues_below(service, version):
            reason = "its workers wait for other queues"
        solved = solve_queue(lattice, arrivals, served)
        if station.queue < UNLIMITED and reason:
            reason = f"{reason}; treated as Poisson"
        exact = solved.exact and not reason
        if not exact and not reason:
            reason = f"only an approximation is known ({solved.formula})"
        queue = solved if exact else _inexact(solved)
        return Solved(queue, rate, "" if exact else f"{station.name}: {reason}")

    @staticmethod
    def _own(station: Station, responses: Responses) -> Law:
        if station.key[0] == "proxy":
            return responses.law(responses.structure.scenario.mesh.proxy.time)
        return responses.law(responses.structure.deployments[station.key[1]][station.key[2]].time)

    def _queues_below(self, service: str, version: str) -> bool:
        own = 1 + 2 * (("proxy", service, version) in self.structure.stations)
        return self.structure.visits[service] > own

    # ---- what one replica sees ------------------------------------------------------------------

    def _arrivals(self, station: Station, rate: float) -> tuple[Arrivals, str]:
        """The arrivals at one replica, and what keeps them from being exactly so."""
        visits = self.flows.visits[station.key]
        if self.product_form:
            return Arrivals("poisson", rate, True), ""
        if station.key[0] == "proxy":
            return Arrivals(
                "other", rate, False
            ), "requests pass it more than once; treated as Poisson arrivals"
        if len(visits) == 1 and not visits[0].flow.repeated:
            return self._alone(station, visits[0], rate)
        independent = all(visit.flow.process == "poisson" and not visit.flow.passed for visit in visits)
        loads = {visit.flow.load for visit in visits}
        spread = all(self._thins(station, visit) for visit in visits)
        if (
            independent
            and spread
            and len(loads) == len(visits)
            and not any(visit.flow.repeated for visit in visits)
        ):
            return Arrivals("poisson", rate, True), ""
        return Arrivals(
            "other", rate, False
        ), "requests come to it more than once; treated as Poisson arrivals"

    def _hosts(self, station: Station, visit: Visit) -> int:
        return self.structure.hosts(visit.caller, station.key[1], station.key[2])

    def _thins(self, station: Station, visit: Visit) -> bool:
        """Whether a host gets a random share of what comes."""
        policy = self.structure.policy(visit.caller, station.key[1])
        return self._hosts(station, visit) == 1 or policy.balance.kind == "random"

    def _alone(self, station: Station, visit: Visit, rate: float) -> tuple[Arrivals, str]:
        """One stream, spread over the hosts of its cluster by a balancer that does not look at queues."""
        hosts = self._hosts(station, visit)
        scenario = self.structure.scenario
        process = visit.flow.process
        if self._thins(station, visit):
            if process == "poisson" or (process == "constant" and hosts == 1):
                return Arrivals(process, rate, True), ""
            if process == "mmpp":
                return _modulated(scenario.load[visit.flow.load], rate), ""
            if process == "constant":  # a random share of regular arrivals has geometric gaps
                return Arrivals(
                    "other", rate, False, ca2=1.0 - 1.0 / hosts
                ), "a random share of regular arrivals"
        elif self.structure.instances(visit.caller) == 1:
            if process == "poisson":
                return Arrivals("erlang", rate, True, k=hosts, ca2=1.0 / hosts), ""
            if process == "constant":
                return Arrivals("constant", rate, True, ca2=0.0), ""
        elif process == "poisson":
            return Arrivals(
                "other", rate, False
            ), "many callers take turns by round robin; treated as Poisson arrivals"
        if self._thins(station, visit):
            ca2 = 1.0 + (visit.flow.ca2 - 1.0) / hosts
        else:
            ca2 = visit.flow.ca2 / hosts if self.structure.instances(visit.caller) == 1 else 1.0
        ca2 = 1.0 if abs(ca2 - 1.0) < NEARLY else ca2
        treated = f"treated as renewals with ca² = {ca2:.3g}" if ca2 != 1.0 else "treated as if they were"
        return Arrivals("other", rate, False, ca2=ca2), f"its arrivals are not Poisson; {treated}"


def _modulated(load: Load, rate: float) -> Arrivals:
    """A random share of MMPP arrivals."""
    assert load.arrivals.mmpp is not None
    rates, stays = load.arrivals.mmpp.rates, load.arrivals.mmpp.mean_times
    phases = markov.mmpp(rates, stays)
    share = rate / markov.map_rate(*phases)
    return Arrivals("mmpp", rate, True, phases=markov.mmpp([share * each for each in rates], stays))


def _inexact(queue: Queue) -> Queue:
    return Queue(queue.wait, queue.utilisation, queue.waiting, False, queue.formula, queue.source)


def solve_stations(
    structure: Structure,
    flows: Flows,
    responses: Responses,
    product_form: bool,
    given: Mapping[Key, Solved],
) -> tuple[dict[Key, Solved], dict[Key, Wait]]:
    """All stations, callees before callers; and the waits they make.

    Args:
        structure: of the scenario.
        flows: what reaches the stations.
        responses: of the same lattice; its waits are not used.
        product_form: whether the stations are a network with product form.
        given: stations that are solved already.
    """
    solver = Stations(structure, flows, product_form)
    solved: dict[Key, Solved] = {}
    waits: dict[Key, Wait] = {}
    fresh = responses.anew(waits)
    for key in reversed(list(structure.stations)):
        station = structure.stations[key]
        solved[key] = given[key] if key in given else solver.solve(station, fresh)
        queue = solved[key].queue
        waits[key] = queue.wait if queue is not None else Wait(Law.mean_only(responses.lattice, nan))
    return solved, waits
