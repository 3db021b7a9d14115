"""When a proxy asks for its next certificate: renewal, back-off, expiry, restarts, on the live clock.

| state | event | what follows |
|---|---|---|
| has one | its renewal is due | asks for the next |
| asks | signed | has one, younger; the asking has taken what it has |
| asks | refused | waits, up to twice as long each time, then asks again for the same |
| any | the one it has is over | expired: handshakes fail until the next is there |
| any | its replica goes down | has none, asks for nothing |
| down | its replica would be up | asks for the next; is up when it has that |

Source: docs/background/model.md, *Certificates*. Istio's agent renews at half of a certificate's life, with a
jitter, and backs off exponentially.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from meshsim.mesh.clock import Clock, Event
from meshsim.random import CA_RETRY, RENEW, Key, derive, u01
from meshsim.scenario.mesh import Mtls

SIGNED = "signed"
REFUSED = "refused"
EXPIRED = "expired"
KINDS = (SIGNED, REFUSED, EXPIRED)

_RENEW, _RETRY, _EXPIRE = range(3)
_STEPS = 3


class Issuer(ABC):
    """Where an agent asks; it answers by `Agent.signed` or `Agent.refused`."""

    @abstractmethod
    def ask(self, number: int) -> None:
        """The certificate of a number is wanted; what was asked for before is not any more."""

    @abstractmethod
    def stop(self) -> None:
        """Nothing is wanted any more."""


@final
class Agent(Event):
    """The certificates of one proxy, whose draws have the keys below `key`; `note` hears what happens."""

    def __init__(
        self, clock: Clock, config: Mtls, key: Key, issuer: Issuer, note: Callable[[float, str], None]
    ) -> None:
        self.clock = clock
        self.config = config
        self.key = key
        self.issuer = issuer
        self.note = note
        self.number = 0
        self.refusals = 0
        self.down = False
        self.back: Callable[[], None] | None = None
        self._turn = 0  # events of earlier turns are out of date

    def begin(self) -> None:
        """Certificate 0 is there, signed at time 0."""
        self._plan(0.0, 0.0)

    def signed(self, signed: float, now: float) -> None:
        """The certificate that was asked for is there, signed at some time."""
        self.note(now, SIGNED)
        self.refusals = 0
        self._plan(signed, now)
        back, self.back = self.back, None
        if back is not None:
            back()

    def refused(self, now: float) -> None:
        """The authority gives none: later."""
        self.note(now, REFUSED)
        self.refusals += 1
        retry = self.config.ca.retry
        most = min(retry.base * 2.0 ** (self.refusals - 1), retry.max)
        draw = u01(derive(derive(self.key, self.number), self.refusals), CA_RETRY)
        self._at(now + draw * most, _RETRY)

    def go_down(self) -> None:
        """Its replica is gone, and the certificate with it."""
        self.down = True
        self.back = None
        self._turn += 1
        self.issuer.stop()

    def come_up(self, back: Callable[[], None]) -> None:
        """Its replica would be up; `back` is called when it has a certificate."""
        self.down = False
        self.back = back
        self._ask_next()

    def fire(self, step: int, now: float) -> None:
        turn, what = divmod(step, _STEPS)
        if turn != self._turn:
            return
        if what == _EXPIRE:
            self.note(now, EXPIRED)
        elif what == _RETRY:
            self.issuer.ask(self.number)
        else:
            self._ask_next()

    def _ask_next(self) -> None:
        self.number += 1
        self.refusals = 0
        self.issuer.ask(self.number)

    def _plan(self, signed: float, now: float) -> None:
        """Plans what becomes of a certificate."""
        self._turn += 1
        config, draw = self.config, u01(derive(self.key, self.number), RENEW)
        lasts = config.certificate_ttl * (config.rotate_at + config.jitter * (2.0 * draw - 1.0))
        self._at(max(signed + lasts, now), _RENEW)
        self._at(signed + config.certificate_ttl, _EXPIRE)

    def _at(self, time: float, what: int) -> None:
        self.clock.at(time, self, _STEPS * self._turn + what)
