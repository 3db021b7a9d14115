"""The simulated transport: a message over the link, and its answer back.

Steps of a journey go forward (but for what is sent again), so an occurrence left on the clock by a step that
was cut short finds another step and does nothing.
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.attempt import Attempt
from meshsim.mesh.certificate import STRICT
from meshsim.mesh.clock import Event
from meshsim.mesh.cluster import Transport
from meshsim.mesh.connection import FarEnd
from meshsim.mesh.link import TRANSMISSIONS, Link
from meshsim.mesh.queue import SERVING
from meshsim.mesh.replica import Replica
from meshsim.mesh.visit import (
    DOOMED,
    ENTERING,
    GONE,
    HOMEWARD,
    LEAVING,
    OUTWARD,
    RESENDING,
    RESENDING_HOME,
    Visit,
)
from meshsim.policies.outcome import REFUSED, RESET, UC, UF
from meshsim.random import LINK_BACK, LINK_NOTICE, LINK_OUT, LOSS_BACK, LOSS_OUT


class Transit(Transport):
    """A transport that counts what is under way.

    Attributes:
        visits: under way.
        watch: fired when there are none left.
    """

    watch: Event | None

    def __init__(self) -> None:
        self.visits = 0
        self.watch = None

    def ended(self, now: float) -> None:
        """A visit is over."""
        self.visits -= 1
        if self.visits == 0 and self.watch is not None:
            self.watch.fire(0, now)


@final
class Journey(Visit):
    """An attempt on its way to a replica, there, and back.

    Attributes:
        attempt: whose journey it is; None once its caller does not wait any longer.
        network: the transport that counts it.
        route: number of its caller's.
        arrives: when the message under way reaches its end, s.
        transmissions: of the message under way, so far.
        travel: the latency of the message under way, s.
        far: the other end of its connection, if that may close.
    """

    attempt: Attempt | None
    route: int
    far: FarEnd | None

    def __init__(self, attempt: Attempt, network: Transit, replica: Replica, link: Link) -> None:
        super().__init__(
            replica,
            attempt.call.route.endpoint,
            attempt.call.request,
            attempt.key,
            attempt.row,
            attempt.number,
            attempt.kind,
            attempt.extra,
        )
        self.attempt = attempt
        self.network = network
        self.route = attempt.call.route.number
        self.link = link
        self.arrives = 0.0
        self.transmissions = 0
        self.travel = 0.0
        self.far = None

    def fire(self, step: int, now: float) -> None:
        if step != self.step:
            return
        if step == OUTWARD:
            self.reach(now)
        elif step == SERVING:
            self.served(now)
        elif step == ENTERING:
            self.enter(now)
        elif step == LEAVING:
            self.leave(now)
        elif step == HOMEWARD:
            self.come_home(now)
        elif step == RESENDING:
            self.transmit(OUTWARD, LOSS_OUT, now)
        elif step == RESENDING_HOME:
            self.transmit(HOMEWARD, LOSS_BACK, now)

    def depart(self, now: float) -> None:
        """Leaves the caller's proxy; what takes no time is there at once, without an event."""
        self.travel = self.link.travel(self.key, LINK_OUT)
        if self.travel == 0.0 and not self.link.loses(self.key, LOSS_OUT, 0):
            self.reach(now)
        else:
            self.transmit(OUTWARD, LOSS_OUT, now)

    def reach(self, now: float) -> None:
        """Reaches the other end of its connection, which may have closed: then its caller hears of that."""
        if self.far is None:
            self.arrive(now)
        else:
            guard = self.far.guard
            if guard is not None and guard.mode == STRICT and not self.far.closed and self.replica.downs == 0:
                self.far.reject(now)
            if not self.far.closed:
                self.far.stop_timer()
                self.arrive(now)
            elif self.attempt is None:
                self.vanish(now)
            else:
                self.step = DOOMED

    def refuse(self, now: float) -> None:
        self.record(503, now)
        if self.link.tracked:  # it has a connection, which is broken
            self.go_home(503, UC, RESET, now)
        else:
            self.go_home(503, UF, REFUSED, now)

    def cut(self, now: float) -> None:
        """Its caller hears that the other end has closed, before the request was there."""
        self.status, self.flag, self.cause = 503, UC, RESET
        self.come_home(now)

    def denied(self) -> bool:
        return 2 * self.route + self.secured() in self.replica.proxy.denied

    def secured(self) -> bool:
        """Whether it came on a connection with mTLS."""
        return self.far is not None and self.far.secured

    def transmit(self, step: int, purpose: int, now: float) -> None:
        """Sends the message, again if need be, until the connection is given up."""
        clock = self.replica.clock
        if not self.link.loses(self.key, purpose, self.transmissions):
            self.step = step
            self.arrives = now + self.travel
            clock.at(self.arrives, self, step)
            return
        self.transmissions += 1
        if self.transmissions < TRANSMISSIONS:
            self.step = step + 1  # RESENDING or RESENDING_HOME
            clock.at(now + self.link.retransmission(self.transmissions), self, self.step)
        else:
            self.status, self.flag, self.cause = 503, UC, RESET
            self.come_home(now)

    def go_home(self, status: int, flag: int, cause: int, now: float) -> None:
        """The answer takes the link back."""
        self.status = status
        self.flag = flag
        self.cause = cause
        self.transmissions = 0
        if cause != REFUSED:  # else nobody there has seen it
            self.trace(status, flag, now)
        if self.far is not None:
            self.far.rest(now)
        self.travel = self.link.travel(self.key, LINK_BACK)
        self.transmit(HOMEWARD, LOSS_BACK, now)

    def come_home(self, now: float) -> None:
        """The answer is at the caller's proxy, which may have given up on it."""
        attempt = self.attempt
        self.end()
        if attempt is not None:
            attempt.exchange = None
            attempt.respond(self.status, self.flag, self.cause, now)
        self.network.ended(now)

    def vanish(self, now: float) -> None:
        self.end()
        self.network.ended(now)

    def end(self) -> None:
        """Nothing more happens to it."""
        self.step = GONE
        self.attempt = None
        self.child = None

    def give_up(self, now: float) -> None:
        """The caller does not wait any longer, and says so."""
        attempt = self.attempt
        self.attempt = None
        self.number = -1
        if attempt is not None:
            attempt.exchange = None
        if self.step in (RESENDING, DOOMED):
            self.end()
            self.network.ended(now)
        elif self.step < LEAVING:
            notified = now + self.link.travel(self.key, LINK_NOTICE)
            if self.step == OUTWARD and notified < self.arrives:
                notified = self.arrives
            self.replica.clock.at(notified, Notice(self), 0)

    def unlink(self) -> Event | None:
        super().unlink()
        return self.attempt


@final
class Notice(Event):
    """The word, on its way, that a caller has given up."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit

    def fire(self, step: int, now: float) -> None:
        self.visit.learn(now)

    def unlink(self) -> Event | None:
        return self.visit
