"""The way between a caller's proxy and an upstream's.

A lost message is not a failed one: TCP sends it again, after 200 ms (Linux' smallest retransmission
time-out), then twice as long each time, so loss shows as a tail of late messages. After fifteen
retransmissions (Linux' `tcp_retries2`) the connection is given up.
"""

from __future__ import annotations

from math import ldexp
from typing import final

from meshsim.random import CONNECT, LINK_CLOSE, Distribution, Key, u01

RETRANSMIT_FIRST = 0.2
RETRANSMIT_LONGEST = 120.0
TRANSMISSIONS = 16


@final
class Link:
    """One edge's link, shared by all its callers; both directions alike.

    Attributes:
        latency: of one message.
        connect: of opening a connection.
        tracked: whether its connections are.
        loss_ratio: of transmissions, in force now.
        factor: on the latency, in force now.
    """

    def __init__(
        self, latency: Distribution, loss_ratio: float, connect: Distribution, tracked: bool
    ) -> None:
        self.latency = latency
        self.loss_ratio = loss_ratio
        self.connect = connect
        self.tracked = tracked
        self.factor = 1.0

    def travel(self, key: Key, purpose: int) -> float:
        """How long a message that leaves now is under way, s."""
        return self.latency.draw(key, purpose) * self.factor

    def opening(self, key: Key) -> float:
        """How long a connection takes to open that begins to now, s."""
        return self.connect.draw(key, CONNECT) * self.factor

    def finish(self, key: Key) -> float:
        """How long it takes from now until the other side knows that a connection is closed, s."""
        return self.latency.draw(key, LINK_CLOSE) * self.factor

    def shaking(self, key: Key, purpose: int, messages: int) -> float:
        """How long so many messages of a handshake that go one way are on it, s."""
        return messages * self.latency.draw(key, purpose) * self.factor

    def loses(self, key: Key, purpose: int, sent: int) -> bool:
        """Whether the transmission after `sent` earlier ones is lost."""
        return self.loss_ratio > 0.0 and u01(key, purpose + sent) < self.loss_ratio

    def retransmission(self, sent: int) -> float:
        """How long after its `sent`-th transmission a lost message is sent again, s."""
        wait = ldexp(RETRANSMIT_FIRST, sent - 1)
        return wait if wait < RETRANSMIT_LONGEST else RETRANSMIT_LONGEST
