"""The arrivals at each station: their rate, and whether they are still a Poisson process.

A Poisson stream stays one when requests are thinned by chance, when each is delayed independently of the
others (M/G/∞), and when it passes an M/M/c (Burke). It does not survive anything else: several visits of the
same request, a join of concurrent calls, a queue with other service times, a rate limit.

Sources:
    Burke, The Output of a Queuing System, Operations Research 4 (1956). Kingman, Poisson Processes (1993),
    ch. 5: independent displacement. Kelly, Reversibility and Stochastic Networks (1979), ch. 3. Walrand and
    Varaiya, Sojourn Times and the Overtaking Condition in Jacksonian Networks (1980). Whitt, The Queueing
    Network Analyzer (1983): how regular streams are that are not Poisson.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Literal

from meshsim import random
from meshsim.scenario.model import CLIENT, CallStep, Load, SleepStep, Stage, Time
from meshsim.theory.general import departures_ca2
from meshsim.theory.recognise.deep import Steps, flat
from meshsim.theory.recognise.responses import Edge, Responses
from meshsim.theory.recognise.structure import Key, Station, Structure, Target, UnsolvedError, service_of
from meshsim.theory.recognise.tries import OK

VISITS_MAX = 2_000

Process = Literal["poisson", "constant", "mmpp", "other"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream of requests at some point of the call tree."""

    entry: int  # index of what of a load it comes from
    rate: float  # per second
    process: Process  # of its gaps; ``constant`` and ``mmpp`` only while it is the load itself
    ca2: float = 1.0  # squared coefficient of variation of the gaps, approximately
    passed: tuple[Key, ...] = ()  # the stations with a queue it came through, in order
    ordered: bool = True  # no request has overtaken another, and all took this route
    repeated: bool = False  # a request may come more than once

    def thinned(self, share: float) -> Flow:
        """A random share of it."""
        if share >= 1.0:
            return self
        kept = self.process in ("poisson", "mmpp")
        ca2 = 1.0 + share * (self.ca2 - 1.0)
        return replace(self, rate=self.rate * share, process=self.process if kept else "other", ca2=ca2)

    def delayed(self, *times: Time | random.Distribution) -> Flow:
        """After independent delays: only constant ones keep order and regularity."""
        built = [time if isinstance(time, random.Distribution) else time.build() for time in times]
        if all(isinstance(time, random.Constant) or time.mean == 0.0 for time in built):
            return self
        return replace(self, process="poisson" if self.process == "poisson" else "other", ordered=False)


@dataclass(frozen=True, slots=True)
class Visit:
    """A stream that arrives at the hosts of a station, all of them together."""

    flow: Flow
    caller: Target
    target: Target


@dataclass(slots=True)
class Flows:
    """Every visit of every station, in the order in which a request makes them; rates by edge, per second."""

    responses: Responses  # whose tries and reached stages thin and multiply the streams
    product_form: bool  # all stations are of a network with product form
    visits: dict[Key, list[Visit]] = field(default_factory=lambda: defaultdict(list))
    calls: dict[Edge, float] = field(default_factory=lambda: defaultdict(float))
    attempts: dict[Edge, float] = field(default_factory=lambda: defaultdict(float))
    first: dict[Edge, float] = field(default_factory=lambda: defaultdict(float))
    """Attempts without retries and hedges and what follows from them."""
    stations: dict[Key, Station] = field(default_factory=dict)
    """Those of the structure, with the times that these rates make."""
    _single: dict[Key, bool] = field(default_factory=dict)

    @property
    def structure(self) -> Structure:
        """Of the scenario."""
        return self.responses.structure

    def follow(self, flows: list[tuple[str, Flow]]) -> None:
        """Follow each load's stream from its entry service.

        Raises:
            UnsolvedError: the tree is too large.
        """
        for entry, flow in flows:
            self._edge(CLIENT, entry, flow.rate, flow.rate)
        for target in self.structure.order:
            self._count(target)
        self.stations = {key: self._mixed(station) for key, station in self.structure.stations.items()}
        for attempt in range(2):  # once to see which stations are visited once, once knowing it
            self.visits = defaultdict(list)
            for entry, flow in flows:
                flat(self._call(flow, CLIENT, entry))
            if attempt == 0:
                self._single = {key: independent(visits) for key, visits in self.visits.items()}

    def _count(self, target: Target) -> None:
        """The rates of a target's calls, from those of its callers."""
        every, base = (sum(self._into(target, rates).values()) for rates in (self.attempts, self.first))
        for version, share in self._versions(target).items():
            reached = self.responses.reached.get((target, version), [])
            wait = self.responses.waits.get(("replica", service_of(target), version))
            taken = share * (1.0 - wait.refused if wait is not None else 1.0)
            script = self.structure.deployments[target][version].script
            for stage, chance in zip(script, reached, strict=False):
                for step in stage:
                    if isinstance(step, CallStep):
                        part = taken * chance * self.responses.calls_of(target, step)
                        self._edge(target, step.call, every * part, base * part)

    def _mixed(self, station: Station) -> Station:
        """A station with the shares of its times."""
        if len(station.times) == 1:
            return station
        version, rates = station.key[2], []
        for _, targets in station.times:
            rates.append(sum(self.version_rates(target).get(version, 0.0) for target in targets))
        return replace(station, weights=tuple(rates) if sum(rates) else (1.0,) * len(rates))

    def _edge(self, caller: str, service: str, every: float, base: float) -> None:
        edge = caller, service
        routed, tries = self.responses.routed.get(edge, 0.0), self.responses.tries.get(edge, 0.0)
        self.calls[edge] += every
        self.attempts[edge] += every * routed * tries
        self.first[edge] += base * routed * min(tries, 1.0)

    def _into(self, service: str, rates: dict[Edge, float]) -> dict[str, float]:
        """Of rates by edge those into a service, by caller."""
        return {caller: rates[caller, service] for caller in self.structure.graph.predecessors(service)}

    def _versions(self, service: str) -> dict[str, float]:
        """The share of all attempts at a service that each version gets, over all callers."""
        into = self._into(service, self.attempts)
        total = sum(into.values())
        shares: dict[str, float] = defaultdict(float)
        for caller, rate in into.items() if total > 0.0 else ():
            for version, share in self.structure.shares(caller, service).items():
                shares[version] += rate / total * share
        return shares or dict.fromkeys(self.structure.deployments[service], 0.0)

    def version_rates(self, target: Target) -> dict[str, float]:
        """Attempts per second at each version that ask for a target."""
        total = sum(self._into(target, self.attempts).values())
        return {version: total * share for version, share in self._versions(target).items()}

    def service_rates(self, service: str) -> dict[str, float]:
        """Attempts per second at each version, whatever they ask for."""
        found: dict[str, float] = defaultdict(float)
        for target in self.structure.targets[service]:
            for version, rate in self.version_rates(target).items():
                found[version] += rate
        return found

    def into(self, key: Key) -> float:
        """Attempts per second at a station; at sidecars passes, in and out, of requests and of answers."""
        kind, service, version = key
        into = self.service_rates(service)
        own = into.get(version, 0.0)  # a split may leave a version out
        if kind == "replica":
            return own
        total = sum(into.values())
        out = sum(rate for (caller, _), rate in self.calls.items() if service_of(caller) == service)
        return 2.0 * (own + (own / total if total else 0.0) * out)

    # ---- one stream -----------------------------------------------------------------------------

    def _call(self, flow: Flow, caller: str, service: str) -> Steps[Flow]:
        """The stream of calls in, the stream of answers out."""
        edge = caller, service
        if not self.structure.queues(caller, service):
            return flow if self._steady(caller, service) else flow.delayed(RANDOM)
        routed, tries = self.responses.routed.get(edge, 0.0), self.responses.tries.get(edge, 0.0)
        flow = self._sidecar(flow, caller)
        going = flow.thinned(routed)
        if self.responses.limited.get(edge, 0.0) > 0.0 or self.structure.policy(*edge).rate_limit:
            going = replace(going, process="other")
        if tries > 1.0 + 1e-12:
            going = replace(going, rate=going.rate * tries, repeated=True, ordered=False)
        delay = self.structure.policy(*edge).fault.delay
        if delay is not None:
            going = going.delayed(delay.time if delay.percent >= 1.0 else RANDOM)
        outs: list[Flow] = []
        for version, share in self.structure.shares(caller, service).items():
            outs.append((yield self._attempt(going, caller, service, version, share)))
        out = outs[0]
        if len(outs) > 1:
            process: Process = "poisson" if all(each.process == "poisson" for each in outs) else "other"
            out = replace(flow, process=process, passed=_longest(outs), ordered=False)
        if routed < 1.0 or tries > 1.0 + 1e-12:
            out = replace(out, ordered=False)
        if self.structure.timed(*edge):
            out = replace(out, process="other", ordered=False)
        return self._sidecar(replace(out, rate=flow.rate, repeated=flow.repeated), caller)

    def _attempt(self, flow: Flow, caller: str, service: str, version: str, share: float) -> Steps[Flow]:
        deployment = self.structure.deployments[service][version]
        link = self.structure.link(caller, service)
        hop = (link.latency, RANDOM) if link.loss else (link.latency,)
        part = self._sidecar(flow.thinned(share).delayed(*hop), service, version)
        key = ("replica", service_of(service), version)
        queues = key in self.structure.stations
        part = self._through(part, key, caller, service) if queues else part.delayed(deployment.time)
        for stage in deployment.script:
            part = yield self._stage(part, service, stage)
        if deployment.script and self.responses.serve(service, version)[OK].mass < 1.0 - 1e-12:
            part = replace(part, ordered=False)  # who failed skipped something, and is ahead of others
        return self._sidecar(part, service, version).delayed(*hop)

    def _through(self, flow: Flow, key: Key, caller: Target, target: Target) -> Flow:
        """Past a station."""
        station = self.structure.stations[key]
        self.visits[key].append(Visit(flow, caller, target))
        if sum(map(len, self.visits.values())) > VISITS_MAX:
            raise UnsolvedError(f"a request passes more than {VISITS_MAX:,} queues, too many to follow")
        keeps = flow.process == "poisson" and station.quasi_reversible and not flow.repeated
        thins = key[0] == "proxy" or self.structure.thins(caller, target, key[2])
        keeps = keeps and not self.structure.prioritised(station) and thins
        keeps = keeps and (self.product_form or self._single.get(key, False))
        return replace(
            flow,
            process="poisson" if keeps else "other",
            ca2=1.0 if keeps else self._departures(flow, key, caller, target),
            passed=(*flow.passed, key),
            ordered=True if not flow.passed else flow.ordered,
        )

    def _departures(self, flow: Flow, key: Key, caller: Target, target: Target) -> float:
        """How regular what leaves a station is, of several replicas together."""
        station = self.stations[key]
        load = self.into(key) * station.time.mean / (station.replicas * station.workers)
        if load >= 1.0 or flow.repeated or not isfinite(station.time.scv):  # sidecars are passed repeatedly
            return 1.0
        hosts = self.structure.hosts(caller, target, key[2])
        turns = self.structure.policy(caller, target).balance.kind == "round_robin"
        arrivals = flow.ca2 / hosts if turns else 1.0 + (flow.ca2 - 1.0) / hosts  # one host's share
        out = departures_ca2(load, station.workers, arrivals, station.time.scv)
        return 1.0 + (out - 1.0) / station.replicas

    def _sidecar(self, flow: Flow, service: str, version: str | None = None) -> Flow:
        if service == CLIENT or not self.structure.sidecars:
            return flow
        time = self.structure.proxy_time
        if not self.structure.crossings:
            return flow.delayed(time)
        out = flow
        for name in self.structure.deployments[service] if version is None else [version]:
            key = ("proxy", service_of(service), name)
            out = self._through(replace(flow, repeated=True), key, service, service)
        return replace(out, process="poisson" if self.product_form else "other", ordered=False).delayed(time)

    def _stage(self, flow: Flow, service: str, stage: Stage) -> Steps[Flow]:
        """Steps at the same time."""
        calls = [step for step in stage if isinstance(step, CallStep)]
        if not any(self.structure.queues(service, step.call) for step in calls):
            delays = [step.sleep for step in stage if isinstance(step, SleepStep)]
            steady = all(step.probability >= 1.0 and self._steady(service, step.call) for step in calls)
            return flow.delayed(*delays) if steady else flow.delayed(RANDOM)
        outs: list[Flow] = []
        for step in calls:
            out = flow.thinned(step.probability)
            for _ in range(step.repeat):
                out = yield self._call(out, service, step.call)
            outs.append(out)
        if len(stage) == 1:
            ordered = outs[0].ordered and calls[0].probability >= 1.0
            return replace(outs[0], rate=flow.rate, ordered=ordered)
        return replace(flow, process="other", passed=_longest(outs), ordered=False)

    def _steady(self, caller: str, service: str) -> bool:
        """Whether a call always takes the same time."""
        laws = list(self.responses.call(caller, service).values())
        return len(laws) == 1 and laws[0].constant


def process_of(load: Load) -> Process:
    """What is known of the gaps of an open load."""
    return "other" if load.profile or load.arrivals.kind == "trace" else load.arrivals.kind


def independent(visits: list[Visit]) -> bool:
    """Whether the streams that meet at a station are one, or independent ones."""
    if len(visits) == 1:
        return not visits[0].flow.repeated
    apart = len({visit.flow.entry for visit in visits}) == len(visits)
    return apart and not any(visit.flow.passed or visit.flow.repeated for visit in visits)


RANDOM = random.Exponential(1.0)
"""Stands for any delay that is not constant."""


def _longest(flows: list[Flow]) -> tuple[Key, ...]:
    return max((flow.passed for flow in flows), key=len)
