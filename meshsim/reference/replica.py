"""A replica: workers, a waiting room, a script of calls of its own.

    arrival -> sidecar -> worker free? -yes-> service -> errors? -no-> script, by stages -> sidecar -> answer
                               | no                        | yes: 500
                        room? -yes-> wait
                          | no: 503

Work can end before that. Its caller may give up (and `when_abandoned` says what the replica makes of it), or
the replica goes down with all that it holds. Both interrupt the attempt's process. Whoever interrupts also
clears up, at once, so that the process itself has only to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import simpy

from meshsim.random import ERROR, PROXY_IN, PROXY_RESPONSE, REPEAT, SCRIPT, SERVICE, SLEEP, TAKEN, derive, u01
from meshsim.reference.attempt import Answer, Attempt
from meshsim.reference.call import Call
from meshsim.reference.caller import Caller
from meshsim.reference.clock import Steps
from meshsim.reference.station import Levels, Station
from meshsim.scenario import topology
from meshsim.scenario.model import CallStep, Deployment, SleepStep

DOWN = "down"
RESTARTS, STARTS, GONE = -1, -2, -3
"""Among the events that hold a replica down: no certificate yet; no configuration yet; it never returns."""


@dataclass(eq=False, slots=True)
class Visit:
    """An attempt at a replica."""

    attempt: Attempt
    turn: simpy.Event | None = None  # gives it a worker; None as long as it has not asked for one
    holds: bool = False  # a worker is its own, or will be when its turn comes
    served: bool = False  # service and script are over
    abandoned: bool = False  # the replica knows that the caller gave up
    calls: list[Call] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether it is in the waiting room."""
        return self.turn is not None and not self.turn.triggered

    @property
    def in_service(self) -> bool:
        """Whether it is being worked on, by a worker or by its script."""
        return self.turn is not None and self.turn.triggered and not self.served


class Work:
    """What is done for one endpoint of a service: own time, own errors, and the script."""

    def __init__(self, deployment: Deployment) -> None:
        self.time = deployment.time.build()
        self.errors = deployment.errors
        self.script = deployment.script
        self.sleeps = [
            [step.sleep.build() if isinstance(step, SleepStep) else None for step in stage]
            for stage in deployment.script
        ]


class Replica:
    """One instance of a version of a service; the sidecar of its `caller` serves both ways."""

    def __init__(self, place: topology.Replica, caller: Caller) -> None:
        self.index = place.number
        self.keep_alive = place.deployment.keep_alive
        self.service = place.service
        self.version = place.version
        self.deployment = deployment = place.deployment
        self.caller = caller
        self.end = caller.end
        self.clock = caller.run.clock
        self.did = caller.run.did
        self.slower: dict[int, float] = {}  # event in force -> factor on the service times that start now
        self.errors: dict[int, float] = {}  # event in force -> share of attempts failed; the latest counts
        self.added = place.added  # by an event
        self.outages: set[int] = {STARTS} if self.added else set()  # the events that hold it down
        self.ready: Callable[[], None] | None = None  # what waits for it to be up for the first time
        self.held: dict[Attempt, Visit] = {}  # what is not answered, in order of arrival
        self.levels: Levels = []
        self.station = Station(self.clock, deployment.workers, self.levels)
        self._came = 0
        scenario = caller.run.scenario
        work = scenario.services[place.service].work
        self._endpoints = ("", *scenario.services[place.service].endpoints)
        self._works = [Work(work(place.version, endpoint)) for endpoint in self._endpoints]

    def receive(self, attempt: Attempt) -> Steps[Answer | None]:
        """All that the replica does about an attempt; None when there is nobody to answer."""
        if self.outages:
            return Answer(503, "UC" if attempt.link.tracked else "UF")
        visit = self.held[attempt] = Visit(attempt)
        try:
            status = yield from self._handle(visit)
        except simpy.Interrupt as interrupt:
            return Answer(503, "UC") if interrupt.cause == DOWN and not visit.abandoned else None
        del self.held[attempt]
        return None if visit.abandoned else Answer(status)

    def _handle(self, visit: Visit) -> Steps[int]:
        """From the request's pass through the sidecar to the response's."""
        key = visit.attempt.key
        yield from self.caller.sidecar.cross(key, PROXY_IN)
        if visit.abandoned and self.deployment.when_abandoned != "finish":
            self.did["dropped from sidecar"] += 1
            return -1
        status = 503
        if self._denies(visit.attempt):
            status = 403
        elif self._has_room():
            yield self._ask(visit)
            status = yield from self._serve(visit)
        else:
            self.did["queue full"] += 1
        visit.served = True
        if not visit.abandoned:
            yield from self.caller.sidecar.cross(key, PROXY_RESPONSE)
        return status

    def _denies(self, attempt: Attempt) -> bool:
        rules = self.caller.rules
        if rules is None:
            return False
        principal = attempt.link.caller if attempt.connection.secured else ""
        why = rules.deny(principal, self._endpoints[attempt.row.endpoint])
        self.did[f"denied: {why}" if why else "allowed"] += 1
        return bool(why)

    def _has_room(self) -> bool:
        station = self.station
        return station.busy < station.workers or len(station.waiting) < self.deployment.queue

    def _ask(self, visit: Visit) -> simpy.Event:
        """Ask for a worker, with the rank that the discipline gives."""
        self._came += 1
        discipline = self.deployment.discipline
        rank = {"fifo": 0, "lifo": -self._came, "priority": -visit.attempt.request.priority}[discipline]
        self.did[f"{discipline} overtakes"] += discipline != "fifo" and self.station.overtaken(rank)
        visit.turn = self.station.request(rank)
        visit.holds = True
        return visit.turn

    def _serve(self, visit: Visit) -> Steps[int]:
        """Own time, own errors, then the script. When the worker is free is what `holds_worker` says."""
        key, work = visit.attempt.key, self._works[visit.attempt.row.endpoint]
        yield self.clock.timeout(work.time.draw(key, SERVICE) * prod(self.slower.values()))
        if not self.deployment.holds_worker:
            self._free(visit)
        if u01(key, ERROR) < next(reversed(self.errors.values()), work.errors):
            self.did["own error"] += 1
            status = 500
        else:
            status = yield from self._play(visit, work)
        self._free(visit)
        return status

    def _free(self, visit: Visit) -> None:
        if visit.holds:
            visit.holds = False
            self.station.release()

    def _play(self, visit: Visit, work: Work) -> Steps[int]:
        """The stages, one after the other: 200, or 500 as soon as a stage has failed."""
        attempt, index = visit.attempt, SCRIPT
        for stage, sleeps in zip(work.script, work.sleeps, strict=True):
            waits: list[simpy.Event] = []
            needed: list[simpy.Process] = []
            for step, sleep in zip(stage, sleeps, strict=True):
                key = derive(attempt.key, index)
                index += 1
                if sleep is not None:
                    waits.append(self.clock.timeout(sleep.draw(key, SLEEP)))
                elif isinstance(step, CallStep) and self._taken(step, key):
                    made = self.clock.process(self._call(visit, step, key))
                    waits.append(made)
                    needed += [] if step.optional else [made]
            for wait in waits:  # noqa: UP028  # `yield from` a list passes on no results
                yield wait
            if any(made.value for made in needed):
                return 500
        return 200

    def _call(self, visit: Visit, step: CallStep, key: int) -> Steps[bool]:
        """Make the calls of a step, one after the other; a failure ends a required one. Did one fail?"""
        failed, attempt = False, visit.attempt
        for n in range(step.repeat):
            own = derive(key, REPEAT + n) if n else key
            self.did["repeated call"] += n > 0
            route = (self.service, step.service, step.endpoint)
            call = self.caller.call(route, own, attempt.request, extra=attempt.extra)
            visit.calls.append(call)
            yield call.process
            failed = failed or call.failed
            self.did["optional failure"] += call.failed and step.optional
            if attempt not in self.held or (failed and not step.optional):
                break
        return failed

    def _taken(self, step: CallStep, key: int) -> bool:
        taken = step.probability >= 1.0 or u01(key, TAKEN) < step.probability
        self.did["call not taken"] += not taken
        return taken

    def learn(self, attempt: Attempt) -> None:
        """The attempt's caller gave up. Whether that spares any work is the deployment's choice."""
        visit = self.held.get(attempt)
        if visit is None or visit.served:  # answered already, or lost
            return
        visit.abandoned = True
        choice = self.deployment.when_abandoned
        self.did[f"abandoned: {choice}"] += 1
        if choice != "finish" and visit.turn is not None and visit.waits:
            self.did["dropped from queue"] += 1
            self.station.withdraw(visit.turn)
            self._drop(visit, None)
        elif choice == "stop" and visit.in_service:
            self.did["stopped in service"] += 1
            self._free(visit)
            self._drop(visit, None)

    def go_down(self, event: int) -> None:
        """Lose all that is held, if it was up until now; last, handshakes in its sidecar."""
        was_down = bool(self.outages)
        self.outages.add(event)
        self.outages.discard(RESTARTS)
        if self.end.agent is not None:
            self.end.agent.stop()
        if was_down:
            return
        if not self.caller.proxy.shared:
            self.caller.sidecar.restart()
        self.station = Station(self.clock, self.deployment.workers, self.levels)
        for visit in list(self.held.values()):
            self.did["lost when down"] += 1
            self._drop(visit, DOWN)
        self.end.go_down()

    def begin(self, ready: Callable[[], None]) -> None:
        """Start, and say when it is up; that takes a configuration and its `startup`."""
        self.ready = ready
        self.lacks = {"startup", "configuration"}
        self.caller.configured = lambda: self.note("configuration")

    def note(self, what: str) -> None:
        """One of the things is there that it starts with."""
        self.lacks.discard(what)
        if not self.lacks:
            self.come_up(STARTS)

    def come_up(self, event: int) -> None:
        """An outage ends. If it was the last, the replica is up, as soon as it has a certificate."""
        self.outages.discard(event)
        if self.outages:
            return
        if self.end.agent is None:
            self._be_up()
        else:
            self.outages.add(RESTARTS)
            self.end.agent.restart(self._be_up)

    def _be_up(self) -> None:
        self.outages.discard(RESTARTS)
        if self.ready is not None:
            act, self.ready = self.ready, None
            act()

    def _drop(self, visit: Visit, cause: str | None) -> None:
        """The work on an attempt ends now, and so do the calls made for it."""
        del self.held[visit.attempt]
        visit.attempt.process.interrupt(cause)
        for call in visit.calls:
            call.cancel()
