"""Certificates: who has which, who signs them, and whom that makes trusted (the model page, *Identity*).

an agent's     event                                 then
certificate
held           its renewal begins                    the issuer is asked for the next; it is held meanwhile
held           it is asked for, and signed           the new one is held
held           refused                               it is asked for again, after a back-off
held           its time is over                      expired: nobody accepts it
none           the replica would come up             asked for; the replica is down until it is signed
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.clock import Clock, Event, Timer
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.station import Station
from meshsim.policies.certificate import Renewal
from meshsim.random import CA_RETRY, RENEW, SIGN, Distribution, Key, derive, u01

# What is counted of certificates
SIGNED = 0
REFUSED_BY_CA = 1
EXPIRED = 2
CERTIFICATE_EVENTS = ("signed", "refused", "expired")

# What a proxy accepts of its callers
PERMISSIVE = 0
STRICT = 1
DISABLE = 2
MODES = {"permissive": PERMISSIVE, "strict": STRICT, "disable": DISABLE}

NONE = -1
"""The number of no certificate."""

# Steps of an agent, which begin anew with each certificate
_RENEWS = 0
_EXPIRES = 1
_ASKS_AGAIN = 2
_STEPS = 3


class Issuer:
    """Who signs certificates: a simulated CA, or a process that is asked for them."""

    def ask(self, agent: Agent, number: int, now: float) -> None:
        """Asks for a certificate of an agent; ends in its `signed` or `refused`, unless that gives up."""
        raise NotImplementedError

    def stop(self, agent: Agent, number: int) -> None:
        """Hears that the agent does not want this certificate any more."""


class Passing(Timer):
    """The opening of a connection, whose handshake may have a pass at a proxy."""

    def broken(self, now: float) -> None:
        """The proxy has gone down meanwhile."""
        raise NotImplementedError


@final
class Agent(Event):
    """What a proxy has to prove its identity, and knows of others'.

    Attributes:
        number: of the proxy.
        key: of its certificates.
        station: what a pass through the proxy waits for.
        handshake: how long the pass of a handshake lasts; None if it takes no time.
        round_trips: of a handshake over the link.
        mode: what the proxy accepts of its callers.
        held: number of the certificate in force; NONE for none.
        wanted: number of the last one that was asked for.
        asking: whether that is still to come.
        refusals: of the CA, in a row.
        expires: when the certificate in force is not valid any more, s.
        root: it is of this one.
        oldest, newest: roots that are trusted.
        waiting: who wants to know when a certificate is there.
        passing: handshakes with a pass here, in the order in which they asked for it.
    """

    key: Key
    mode: int
    held: int
    handshake: Distribution | None
    waiting: Event | None
    passing: list[Passing]

    def __init__(
        self, clock: Clock, recorder: Recorder, issuer: Issuer, renewal: Renewal, number: int, key: Key,
        station: Station, handshake: Distribution | None, round_trips: int,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.recorder = recorder
        self.issuer = issuer
        self.renewal = renewal
        self.number = number
        self.key = key
        self.station = station
        self.handshake = handshake
        self.round_trips = round_trips
        self.mode = PERMISSIVE
        self.held = NONE
        self.wanted = 0
        self.asking = False
        self.refusals = 0
        self.expires = 0.0
        self.root = 0
        self.oldest = 0
        self.newest = 0
        self.waiting = None
        self.passing = []

    # ---- certificates -------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """It has its first certificate, just signed."""
        self.take(now)

    def take(self, now: float) -> None:
        """The certificate that is wanted is in force from now on."""
        self.held = self.wanted
        u = u01(derive(self.key, self.held), RENEW)
        self.expires = self.renewal.expires(now)
        self.clock.at(self.renewal.begins(now, u), self, _STEPS * self.held + _RENEWS)
        self.clock.at(self.expires, self, _STEPS * self.held + _EXPIRES)

    def fire(self, step: int, now: float) -> None:
        number = step // _STEPS
        kind = step % _STEPS
        if kind == _ASKS_AGAIN:
            if self.asking and number == self.wanted:
                self.issuer.ask(self, number, now)
        elif number == self.held:
            if kind == _EXPIRES:
                self.recorder.certificate(self.number, EXPIRED, now)
            elif not self.asking:
                self.ask(now)

    def ask(self, now: float) -> None:
        """Begins to ask for the next certificate."""
        self.asking = True
        self.refusals = 0
        self.wanted += 1
        self.issuer.ask(self, self.wanted, now)

    def wants(self, number: int) -> bool:
        """Whether it still asks for this certificate."""
        return self.asking and self.wanted == number

    def signed(self, root: int, oldest: int, now: float) -> None:
        """The certificate that it asks for is signed, with a root, and with the oldest that is trusted."""
        self.asking = False
        self.root = root
        self.trust(root)
        self.distrust(oldest)
        self.recorder.certificate(self.number, SIGNED, now)
        self.take(now)
        waiting = self.waiting
        self.waiting = None
        if waiting is not None:
            waiting.fire(0, now)

    def refused(self, now: float) -> None:
        """The CA does not sign now."""
        self.refusals += 1
        self.recorder.certificate(self.number, REFUSED_BY_CA, now)
        u = u01(derive(derive(self.key, self.wanted), self.refusals), CA_RETRY)
        wait = self.renewal.backoff.wait(self.refusals, u)
        self.clock.at(now + wait, self, _STEPS * self.wanted + _ASKS_AGAIN)

    def restart(self, waiting: Event, now: float) -> None:
        """A replica would come up: it asks for a certificate, and fires `waiting` when that is there."""
        self.waiting = waiting
        self.ask(now)

    def stop(self) -> None:
        """The replica has gone down: it has no certificate, and asks for none."""
        self.held = NONE
        self.expires = 0.0
        self.waiting = None
        if self.asking:
            self.asking = False
            self.issuer.stop(self, self.wanted)

    # ---- trust --------------------------------------------------------------------------------------

    def trust(self, root: int) -> None:
        """Learns of a new root."""
        if root > self.newest:
            self.newest = root

    def distrust(self, oldest: int) -> None:
        """Learns that roots before this one are dropped."""
        if oldest > self.oldest:
            self.oldest = oldest

    def accepts(self, other: Agent, now: float) -> bool:
        """Whether the other's certificate is valid, and of a root that is trusted."""
        return now < other.expires and self.oldest <= other.root <= self.newest

    # ---- handshakes ---------------------------------------------------------------------------------

    def enter(self, event: Passing, step: int, key: Key, purpose: int, now: float) -> None:
        """Has `event.fire(step, …)` called when the pass of its handshake is over."""
        if self.handshake is None:
            event.fire(step, now)
            return
        self.passing.append(event)
        lasts = self.handshake.draw(key, purpose)
        if self.station.free:
            self.clock.at(now + lasts, event, step)
        else:
            self.station.take(event, step, lasts, now)

    def passed(self, event: Passing) -> None:
        """The pass of a handshake is over."""
        if self.handshake is not None:
            self.passing.remove(event)

    def break_off(self, now: float) -> None:
        """The replica has gone down: handshakes with a pass here fail."""
        broken = self.passing
        self.passing = []
        for each in broken:
            each.broken(now)


@final
class Signing(Event):
    """A certificate that the CA works on."""

    def __init__(self, authority: Authority, agent: Agent, number: int) -> None:
        self.authority = authority
        self.agent = agent
        self.number = number

    def fire(self, step: int, now: float) -> None:
        authority = self.authority
        authority.signing.remove(self)
        if self.agent.wants(self.number):
            self.agent.signed(authority.root, authority.oldest, now)


@final
class Authority(Issuer):
    """The simulated CA.

    Attributes:
        station: what signing waits for.
        downs: events that hold it down; it is up at 0.
        root: it signs with this one.
        oldest: the oldest that it still trusts.
        signing: what it works on, or will, in the order in which it was asked.
    """

    signing: list[Signing]

    def __init__(self, station: Station) -> None:
        self.station = station
        self.downs = 0
        self.root = 0
        self.oldest = 0
        self.signing = []

    def ask(self, agent: Agent, number: int, now: float) -> None:
        if self.downs > 0:
            agent.refused(now)
        elif self.station.free:
            agent.signed(self.root, self.oldest, now)
        else:
            signing = Signing(self, agent, number)
            self.signing.append(signing)
            self.station.enter(signing, 0, derive(agent.key, number), SIGN, now)

    def stop(self, agent: Agent, number: int) -> None:
        for each in self.signing:
            if each.agent is agent and each.number == number:
                if self.station.withdraw(each):
                    self.signing.remove(each)
                return

    def go_down(self, now: float) -> None:
        """Refuses what it holds, and what comes until every cause is over."""
        self.downs += 1
        if self.downs == 1:
            self.station.drop()
            refused = self.signing
            self.signing = []
            for each in refused:
                if each.agent.wants(each.number):
                    each.agent.refused(now)

    def come_up(self) -> None:
        """One cause less to be down."""
        self.downs -= 1
