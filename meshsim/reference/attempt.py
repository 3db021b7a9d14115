"""One try of a call, from its launch to its end for the caller, and beyond.

    launched --(no host, no connection)--> refused
    launched --(waits for a connection)--> pending --> sent --> over
                                                        |
                       response | per-try time-out | abandoned, since another try won or the call is over

What happens over there is a process, :meth:`Attempt.journey`: out over the link, through the replica, and
back. The caller may have given up by then. It sends a notice of that (:meth:`Attempt.notice`), which takes
its time too: meanwhile the upstream works in vain.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import simpy

from meshsim.random import LINK_BACK, LINK_NOTICE, LINK_OUT, LOSS_BACK, LOSS_OUT, Key, derive
from meshsim.reference.clock import Steps
from meshsim.reference.handshake import End
from meshsim.reference.link import Link
from meshsim.reference.run import Run
from meshsim.reference.tables import AttemptRow, CallRow

FIRST, RETRY, HEDGE = range(3)


class Answer(NamedTuple):
    """The answer to an attempt or a call: its status, and the flag of the proxy that made it, if one did.

    `version` is that of the replica whose response it is, ``""`` if it is not a replica's.
    """

    status: int
    flag: str = ""
    version: str = ""


class Server(Protocol):
    """A replica, as its callers know it (:class:`meshsim.reference.replica.Replica`)."""

    index: int
    version: str
    keep_alive: float
    outages: set[int]
    end: End  # its sidecar

    def receive(self, attempt: Attempt) -> Steps[Answer | None]:
        """All that it does about an attempt; None when there is nobody to answer."""

    def learn(self, attempt: Attempt) -> None:
        """The attempt's caller gave up."""


class Carrier(Protocol):
    """A connection, as those know it who use it (:class:`meshsim.reference.connection.Connection`)."""

    host: Host
    ends: set[str]  # why what it carries now is the last
    secured: bool  # with mTLS

    def carry(self, attempt: Attempt) -> None:
        """Something to carry."""

    def rest(self) -> None:
        """Nothing to carry for now."""

    def part(self, *, broken: bool) -> None:
        """It has carried its last, or that broke."""

    def close(self) -> None:
        """It is no more."""

    def hear(self) -> bool:
        """A request comes to the replica's end; whether anybody listens there."""

    def answer(self) -> None:
        """An answer leaves the replica's end."""


@dataclass(eq=False, slots=True)
class Host:
    """A replica, as one caller sees it; `number` is the replica's."""

    number: int
    replica: Server
    key: Key  # of the connections to it
    opened: int = 0  # so many began to open
    drains: int = 0
    pending: deque[Attempt] = field(default_factory=deque)  # they wait for a connection
    opening: list[Carrier] = field(default_factory=list)
    idle: list[Carrier] = field(default_factory=list)  # the next to be used is the last
    busy: dict[Attempt, Carrier] = field(default_factory=dict)  # by what they carry: sent and not over

    @property
    def connections(self) -> int:
        """All of them, those being opened included."""
        return len(self.opening) + len(self.idle) + len(self.busy)


class Owner(Protocol):
    """Whose attempts they are (:class:`meshsim.reference.tries.Tries`)."""

    run: Run
    key: Key
    link: Link
    row: CallRow

    def refused(self, attempt: Attempt, flag: str) -> None:
        """It got no host (`UH`, `NC`) or no connection (`UO`)."""

    def sent(self, attempt: Attempt) -> AttemptRow:
        """It got its connection; its row in the tables."""

    def unreachable(self, attempt: Attempt) -> None:
        """No connection to its host could be opened (`UF`)."""

    def ended(self, attempt: Attempt, status: int, flag: str) -> None:
        """It is over, by a response or by its time-out."""


class Attempt:
    """A try: the first, a retry or a hedge. `slot` says whether it holds a retry slot of its cluster."""

    host: Host  # set once the balancer has picked, as is
    bound: float  # when that was
    connection: Carrier  # once it is sent, as is
    row: AttemptRow
    process: simpy.Process

    def __init__(self, tries: Owner, number: int, kind: int, *, slot: bool) -> None:
        self.tries = tries
        self.clock = tries.run.clock
        self.link = tries.link
        self.key = derive(tries.key, number)
        self.request = tries.row.request
        self.kind = kind
        self.slot = slot
        self.extra = tries.row.extra or kind != FIRST  # or one of its ancestors is a retry or a hedge
        self.sent = False  # it got a connection
        self.over = False  # its caller is done with it
        self.resending = False  # its request was lost and waits to be sent again
        self.reached = False  # the replica has its request

    def send(self, connection: Carrier) -> None:
        """It has a connection: off it goes.

        NOTE: Whether it is lost is settled here, not when the process starts; it may be abandoned before.
        """
        self.sent = True
        self.connection = connection
        self.row = self.tries.sent(self)
        delay = self.link.latency(self.key, LINK_OUT)
        self.resending = self.link.loses(self.key, LOSS_OUT)
        self.arrives = self.clock.now + delay
        self.process = self.clock.work(self.journey(delay))

    def abandon(self) -> None:
        """The caller is done with it, and says so to the upstream."""
        self.over = True
        self.row.ended = self.clock.now
        if self.resending:
            self.tries.run.did["resend stopped"] += 1
            self.process.interrupt()
        else:
            notified = self.clock.now + self.link.latency(self.key, LINK_NOTICE)
            notice = self.clock.at(max(notified, self.arrives))  # it never overtakes the request
            notice.callbacks.append(lambda _: self.host.replica.learn(self))

    def cut(self) -> None:
        """Its connection was closed by the replica, before the request came there."""
        if self.process.is_alive:
            self.process.interrupt()
        self.end(503, "UC")

    def end(self, status: int, flag: str) -> None:
        """The response is here, or will never be; the caller may have given up before."""
        if not self.over:
            self.over = True
            self.row.ended = self.clock.now
            self.tries.ended(self, status, flag)

    def journey(self, delay: float) -> Steps[None]:
        """The way to the replica and back, as one process. It is interrupted if it never gets there."""
        try:
            if not (yield from self.go_out(delay)):
                self.end(503, "UC")
                return
            if not self.connection.hear():
                return  # the word of that is on its way
        except simpy.Interrupt:
            return
        self.reached = True
        self.row.arrived = self.clock.now
        answer = yield from self.host.replica.receive(self)
        self.row.answered = self.clock.now
        self.row.status = answer.status if answer else -1
        if answer:
            self.connection.answer()
            yield from self.come_back(answer)

    def go_out(self, delay: float) -> Steps[bool]:
        """The way there; whether it got through."""
        late = self.resending or delay > 0.0  # what is neither needs no event of its own to arrive
        if self.resending and not (yield from self.link.resend(self.key, LOSS_OUT)):
            return False
        self.resending = False
        if late:
            self.arrives = self.clock.now + delay
            yield self.clock.timeout(delay)
        return True

    def come_back(self, answer: Answer) -> Steps[None]:
        """The way back."""
        delay = self.link.latency(self.key, LINK_BACK)
        if self.link.loses(self.key, LOSS_BACK) and not (yield from self.link.resend(self.key, LOSS_BACK)):
            answer = Answer(503, "UC")
        else:
            yield self.clock.timeout(delay)
        self.end(answer.status, answer.flag)
