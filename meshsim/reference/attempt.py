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

    def receive(self, attempt: Attempt) -> Steps[Answer | None]:
        """All that it does about an attempt; None when there is nobody to answer."""

    def learn(self, attempt: Attempt) -> None:
        """The attempt's caller gave up."""


@dataclass(eq=False, slots=True)
class Host:
    """A replica, as one caller sees it; `number` is its place in the cluster."""

    number: int
    replica: Server
    connections: int = 0  # open ones, busy or idle
    idle: int = 0  # connections that carry nothing
    pending: deque[Attempt] = field(default_factory=deque)  # they wait for a connection
    busy: set[Attempt] = field(default_factory=set)  # they have one: sent and not over
    closing: set[Attempt] = field(default_factory=set)  # busy, and their connections are closed afterwards


class Owner(Protocol):
    """Whose attempts they are (:class:`meshsim.reference.tries.Tries`)."""

    run: Run
    key: Key
    link: Link
    row: CallRow

    def refused(self, attempt: Attempt, flag: str) -> None:
        """It got no host (`UH`) or no connection (`UO`)."""

    def sent(self, attempt: Attempt) -> AttemptRow:
        """It got its connection; its row in the tables."""

    def ended(self, attempt: Attempt, status: int, flag: str) -> None:
        """It is over, by a response or by its time-out."""


class Attempt:
    """A try: the first, a retry or a hedge. `slot` says whether it holds a retry slot of its cluster."""

    host: Host  # set once the balancer has picked, as is
    bound: float  # when that was
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

    def send(self, host: Host) -> None:
        """It has a connection: off it goes.

        NOTE: Whether it is lost is settled here, not when the process starts; it may be abandoned before.
        """
        self.sent = True
        self.host = host
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

    def end(self, status: int, flag: str) -> None:
        """The response is here, or will never be; the caller may have given up before."""
        if not self.over:
            self.over = True
            self.row.ended = self.clock.now
            self.tries.ended(self, status, flag)

    def journey(self, delay: float) -> Steps[None]:
        """The way to the replica and back, as one process. It is interrupted to stop it being sent again."""
        late = self.resending or delay > 0.0  # what is neither needs no event of its own to arrive
        try:
            if self.resending and not (yield from self.link.resend(self.key, LOSS_OUT)):
                self.end(503, "UC")
                return
        except simpy.Interrupt:
            return
        self.resending = False
        if late:
            self.arrives = self.clock.now + delay
            yield self.clock.timeout(delay)
        self.row.arrived = self.clock.now
        answer = yield from self.host.replica.receive(self)
        self.row.answered = self.clock.now
        self.row.status = answer.status if answer else -1
        if answer:
            yield from self.response(answer)

    def response(self, answer: Answer) -> Steps[None]:
        """The way back."""
        delay = self.link.latency(self.key, LINK_BACK)
        if self.link.loses(self.key, LOSS_BACK) and not (yield from self.link.resend(self.key, LOSS_BACK)):
            answer = Answer(503, "UC")
        else:
            yield self.clock.timeout(delay)
        self.end(answer.status, answer.flag)
