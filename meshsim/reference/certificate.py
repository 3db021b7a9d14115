"""Certificates: each proxy's, who signs them, and whom each trusts.

    proxy: has n --its time to renew--> asks for n + 1 --signed--> has n + 1
                                        ^     | refused: the CA is down
                                        +-----+ after a back-off

A renewal that comes too late leaves a proxy with a certificate that nobody accepts. One that restarts has
none, and is down until it has: so an outage of the CA is an outage of all that starts meanwhile.

Roots are numbered, from 0. The CA signs with the newest. A proxy trusts those from an oldest to a newest, as
far as it has heard.
"""

from __future__ import annotations

from collections.abc import Callable

import simpy

from meshsim.random import CA_RETRY, CERTIFICATES, PUSH, RENEW, SIGN, Constant, Key, derive, u01
from meshsim.reference.clock import Steps
from meshsim.reference.run import Run
from meshsim.reference.station import Station
from meshsim.scenario.mesh import Mtls
from meshsim.units import UNLIMITED


class Asking:
    """A proxy asks for a certificate until it has it. It is `over` once the proxy wants it no more."""

    def __init__(self, agent: Agent, number: int) -> None:
        self.agent = agent
        self.key = derive(derive(agent.key, CERTIFICATES), number)
        self.refusals = 0
        self.over = False
        self.turn: simpy.Event | None = None  # gives it a worker of the CA

    def refused(self) -> None:
        """The CA is down: ask again, later."""
        if not self.over:
            agent = self.agent
            self.turn = None
            self.refusals += 1
            agent.note("refused")
            retry = agent.mtls.ca.retry
            bound = min(retry.base * 2.0 ** min(self.refusals - 1, 1000), retry.max)
            agent.run.clock.after(u01(derive(self.key, self.refusals), CA_RETRY) * bound, self._again)

    def _again(self) -> None:
        if not self.over:
            self.agent.run.did["asked the CA again"] += 1
            self.agent.authority.ask(self)


class Authority:
    """The certificate authority."""

    def __init__(self, run: Run, mtls: Mtls) -> None:
        self.run = run
        self.clock = run.clock
        self.mtls = mtls
        self.time = mtls.ca.time.build()
        self.workers = mtls.ca.workers
        self.station = Station(self.clock, self.workers)
        self.outages: set[int] = set()
        self.held: list[Asking] = []  # in the order of asking
        self.oldest = self.newest = 0
        self.agents: list[Agent] = []

    def ask(self, asking: Asking) -> None:
        """Sign a certificate, or refuse to."""
        if self.outages:
            asking.refused()
        elif isinstance(self.time, Constant) and self.time.mean == 0.0 and self.workers >= UNLIMITED:
            asking.agent.receive()
        else:
            self.held.append(asking)
            self.run.did["waits for the CA"] += self.station.busy >= self.workers
            self.clock.process(self._sign(asking))

    def _sign(self, asking: Asking) -> Steps[None]:
        station = self.station
        asking.turn = station.request()
        yield asking.turn
        yield self.clock.timeout(self.time.draw(asking.key, SIGN))
        if station is self.station:  # else the CA went down with it
            self.held.remove(asking)
            station.release()
            if asking.over:
                self.run.did["signed in vain"] += 1
            else:
                asking.agent.receive()

    def forget(self, asking: Asking) -> None:
        """It is not wanted any more; what is being worked on is worked on all the same."""
        if asking in self.held and asking.turn is not None and not asking.turn.triggered:
            self.held.remove(asking)
            self.station.withdraw(asking.turn)

    def go_down(self, event: int) -> None:
        """Refuse all that is held, and all that comes."""
        self.outages.add(event)
        self.station = Station(self.clock, self.workers)
        held, self.held = self.held, []
        self.run.did["refused when the CA went down"] += len(held)
        for asking in held:
            asking.refused()

    def rotate(self, event: int, *, overlap: float) -> int:
        """Sign with a new root from now on; all hear of it. Returns its number."""
        self.newest += 1
        root = self.newest
        self.run.did["root rotated"] += 1
        self._tell(lambda agent: agent.key_of(event), lambda agent: agent.trust(agent.oldest, root))
        if overlap == 0.0:
            self.drop(event, root)
        return root

    def drop(self, event: int, root: int) -> None:
        """Trust no root before this one any more; all hear of it."""
        self.oldest = max(self.oldest, root)
        self.run.did["roots dropped"] += 1
        told = self._tell
        told(lambda agent: derive(agent.key_of(event), 1), lambda agent: agent.trust(root, agent.newest))

    def _tell(self, key: Callable[[Agent], Key], act: Callable[[Agent], None]) -> None:
        delay = self.run.scenario.mesh.push_delay.build()
        for agent in self.agents:
            wait = delay.draw(key(agent), PUSH)
            if wait == 0.0:
                act(agent)
            else:
                self.clock.after(wait, lambda agent=agent: act(agent))  # type: ignore[misc]


class Agent:
    """A proxy's certificate, and what it trusts. `number` and `key` are the proxy's."""

    def __init__(self, run: Run, number: int, key: Key, authority: Authority, *, at_first: bool) -> None:
        self.run = run
        self.number = number
        self.key = key
        self.authority = authority
        self.mtls = authority.mtls
        self.asked = 0  # the number of the certificate that it asked for last
        self.asking: Asking | None = None
        self.up: Callable[[], None] | None = None  # what waits for the certificate
        self.oldest = self.newest = 0
        authority.agents.append(self)
        self.signed: float | None = None  # when its certificate was; None: it has none
        self.held: object | None = None
        if at_first:
            self._hold()

    def key_of(self, event: int) -> Key:
        """Of an event of the file, as it reaches this proxy."""
        return derive(self.key, event)

    def _hold(self) -> None:
        """It has a certificate, signed just now."""
        self.signed = self.run.clock.now
        self.root = self.authority.newest
        self.held = held = object()
        mtls, key = self.mtls, derive(derive(self.key, CERTIFICATES), self.asked)
        share = mtls.rotate_at + mtls.jitter * (2.0 * u01(key, RENEW) - 1.0)
        self.run.clock.after(max(0.0, mtls.certificate_ttl * share), lambda: self._renew(held))
        self.run.clock.after(mtls.certificate_ttl, lambda: self._expire(held))

    def _renew(self, held: object) -> None:
        if held is self.held:
            self.run.did["renewal"] += 1
            self._ask()

    def _expire(self, held: object) -> None:
        if held is self.held:
            self.note("expired")

    def _ask(self) -> None:
        self.asked += 1
        self.asking = Asking(self, self.asked)
        self.authority.ask(self.asking)

    def receive(self) -> None:
        """The certificate that it has asked for is here."""
        self.asking = None
        self.note("signed")
        self._hold()
        self.trust(self.authority.oldest, self.authority.newest)
        if self.up is not None:
            act, self.up = self.up, None
            act()

    def stop(self) -> None:
        """Its replica is down: its certificate is lost, and it asks for none."""
        self.signed = None
        self.held = None
        self.up = None
        if self.asking is not None:
            self.run.did["asking ended by an outage"] += 1
            self.asking.over = True
            self.authority.forget(self.asking)
            self.asking = None

    def restart(self, up: Callable[[], None]) -> None:
        """Its replica would come up, and needs a certificate; `up` is called when it has one."""
        self.up = up
        self._ask()
        self.run.did["restart waits for a certificate"] += self.asking is not None

    def trust(self, oldest: int, newest: int) -> None:
        """Trust these roots; never older ones than before."""
        self.oldest, self.newest = max(self.oldest, oldest), max(self.newest, newest)

    def accepts(self, other: Agent) -> bool:
        """Whether it accepts another's certificate now."""
        did, now = self.run.did, self.run.clock.now
        if other.signed is None:
            did["refused: no certificate"] += 1
            return False
        if now >= other.signed + self.mtls.certificate_ttl:
            did["refused: expired"] += 1
            return False
        trusted = self.oldest <= other.root <= self.newest
        did["refused: unknown root"] += other.root > self.newest
        did["refused: old root"] += other.root < self.oldest
        return trusted

    def note(self, what: str) -> None:
        """Something became of its certificate, which results count."""
        self.run.did[f"certificate {what}"] += 1
        self.run.certificates.append((self.run.clock.now, self.number, what))
