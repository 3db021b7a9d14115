"""Emulated links: what a caller's proxy sends, and what it hears, takes as long as the scenario says.

The network between processes of one machine has no latency worth the name, and not every kernel can be asked
to give it one. So the caller's proxy holds a message back for as long as it would be under way, lost
transmissions included. What it does to connections is in `meshsim.live.tracked`.
"""

from __future__ import annotations

from collections.abc import Callable

from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.link import TRANSMISSIONS, Link
from meshsim.random import Key

ARRIVE = 0
RESEND = 1


class Crossing(Event):
    """One message on its way, sent again where it is lost.

    `arrive` is called when it is there (at `arrives`, s), `give_up` when the connection is aborted instead;
    `purposes` are of the draws for its latency and its loss; `lost` while it is waiting to be sent again.
    """

    def __init__(
        self, clock: Clock, link: Link, key: Key, purposes: tuple[int, int], arrive: Callable[[float], None],
        give_up: Callable[[float], None],
    ) -> None:  # fmt: skip
        self.clock = clock
        self.link = link
        self.key = key
        self.loss = purposes[1]
        self.arrive = arrive
        self.give_up = give_up
        self.travel = link.travel(key, purposes[0])
        self.transmissions = 0
        self.lost = False
        self.arrives = 0.0
        self.cancelled = False

    def depart(self, now: float) -> None:
        """Leaves, unless it is lost on the way."""
        self.lost = self.link.loses(self.key, self.loss, self.transmissions)
        if not self.lost:
            self.arrives = now + self.travel
            self.clock.at(self.arrives, self, ARRIVE)
            return
        self.transmissions += 1
        if self.transmissions < TRANSMISSIONS:
            self.clock.at(now + self.link.retransmission(self.transmissions), self, RESEND)
        else:
            self.give_up(now)

    def fire(self, step: int, now: float) -> None:
        if self.cancelled:
            return
        if step == ARRIVE:
            self.arrive(now)
        else:
            self.depart(now)

    def cancel(self) -> None:
        """It never arrives."""
        self.cancelled = True


def emulated(link: Link | None, changes: bool) -> bool:
    """Whether a link has anything to emulate, now or after an event."""
    return link is not None and (
        changes or link.latency.mean > 0.0 or link.connect.mean > 0.0 or link.loss_ratio > 0.0
    )
