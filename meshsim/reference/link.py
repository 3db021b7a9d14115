"""The way between two proxies, as TCP makes it: nothing gets lost, but some of it comes late.

A transmission that is lost is sent again after 200 ms, then 400 ms, doubling up to two minutes (Linux gives
up after fifteen times, ``tcp_retries2``). Where services answer in 5 ms, one loss in a thousand makes a 99.9%
latency of 200 ms: the reason why so small a loss is worth a policy.
"""

from __future__ import annotations

from math import prod

from meshsim.random import CONNECT, Key, u01
from meshsim.reference.clock import Steps
from meshsim.reference.run import Run

TRANSMISSIONS = 16
RESEND_FIRST = 0.2
RESEND_MAX = 120.0


class Link:
    """The link of one edge, the same for all instances at its ends, and both ways.

    Its connections are `tracked` if opening them takes time, or something ends them.
    """

    def __init__(self, run: Run, caller: str, service: str, tracked: bool) -> None:
        link = run.scenario.link(caller, service)
        self.run = run
        self.caller = caller
        self.tracked = tracked
        self.slower: dict[int, float] = {}  # event in force -> factor on the latency
        self.loss: dict[int, float] = {}  # event in force -> share of transmissions lost; the latest counts
        self._loss = link.loss
        self._latency = link.latency.build()
        self._connect = link.connect.build()

    def connect(self, key: Key) -> float:
        """How long a connection that begins to open now will take, s."""
        return self._connect.draw(key, CONNECT) * prod(self.slower.values())

    def latency(self, key: Key, purpose: int) -> float:
        """How long a message that is first sent now will be under way, once it gets through, s."""
        return self._latency.draw(key, purpose) * prod(self.slower.values())

    def loses(self, key: Key, purpose: int) -> bool:
        """Whether this transmission is lost."""
        return u01(key, purpose) < next(reversed(self.loss.values()), self._loss)

    def resend(self, key: Key, purpose: int) -> Steps[bool]:
        """Send again what was lost at first, until it gets through; False when the last one is lost too."""
        wait = RESEND_FIRST
        for transmission in range(1, TRANSMISSIONS):
            self.run.did["resend"] += 1
            yield self.run.clock.timeout(wait)
            wait = min(2.0 * wait, RESEND_MAX)
            if not self.loses(key, purpose + transmission):
                return True
        return False
