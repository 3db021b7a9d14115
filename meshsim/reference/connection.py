"""A caller's connection to a host: it opens, carries one request after another, and is closed.

    opening --open--> idle --attach--> busy --response--> idle
       |               |                |
       |               |                +--broken | spent | outdated--> closed
       |               +--nobody came for so long | too old | the host is drained--> closed
       +--it takes too long | the replica is down--> failed

The replica has the other end, with a clock of its own: it closes a connection on which it has heard nothing
for so long (*keep-alive*). The caller learns of that a link's latency later. What it has sent meanwhile
arrives where nobody listens: it sees the connection close instead of an answer, and cannot know whether its
request has acted.

Only an edge whose scenario asks for any of this has such a life (*tracked*). Elsewhere connections open in no
time, and last.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from meshsim.random import LINK_CLOSE, Key
from meshsim.reference.attempt import Attempt, Host
from meshsim.reference.clock import Clock
from meshsim.reference.link import Link
from meshsim.reference.run import Run
from meshsim.scenario.policy import Connection as Settings

BUSY_ENDS = ("drained", "server", "max_requests", "max_age")
"""Why what a connection carries may be the last; the first of these counts."""
IDLE_ENDS = {"idle timeout": "idle_timeout", "max age: idle": "max_age", "server closed idle": "server"}


class Alarm:
    """Rings a while after it was last set, unless it is stopped before."""

    def __init__(self, clock: Clock, action: Callable[[], None]) -> None:
        self.clock = clock
        self.action = action
        self.setting: object = None  # the one that counts

    def set(self, delay: float) -> None:
        """Ring in `delay` seconds; 0: never."""
        if delay > 0.0:
            self.setting = setting = object()
            self.clock.after(delay, lambda: self._ring(setting))

    def stop(self) -> None:
        """Do not ring."""
        self.setting = None

    def _ring(self, setting: object) -> None:
        if self.setting is setting:
            self.action()


class Owner(Protocol):
    """Whose connections they are (:class:`meshsim.reference.cluster.Cluster`)."""

    run: Run
    edge: int
    link: Link

    def opened(self, connection: Connection) -> None:
        """It can be used."""

    def failed(self, connection: Connection) -> None:
        """It could not be opened."""

    def closed(self, connection: Connection) -> None:
        """It was idle, and is no more."""


class Connection:
    """A connection. It keeps the `settings` with which it began to open."""

    def __init__(self, owner: Owner, host: Host, key: Key, settings: Settings | None) -> None:
        self.owner = owner
        self.host = host
        self.key = key
        self.settings = settings or Settings()
        self.link = owner.link
        self.did = owner.run.did
        self.ends: set[str] = set()  # why what it carries now is the last
        self.carried = 0  # requests
        self.attempt: Attempt | None = None  # that it carries now
        self.closed = False
        self.closed_there = False
        self.clock = clock = owner.run.clock
        self.nobody_came = Alarm(clock, lambda: self._close_idle("idle timeout"))
        self.too_old = Alarm(clock, self._grow_old)
        self.nothing_heard = Alarm(clock, self._close_there)

    # ---- the caller's end

    def open(self) -> None:
        """Begin to open. Whether the replica is up is asked once, at the end of that."""
        time = self.link.connect(self.key)
        limit = self.settings.connect_timeout or inf
        if time == 0.0 and (self._up() or not self.link.tracked):
            self._is_open()
        else:
            self.clock.after(min(time, limit), lambda: self._settle(in_time=time < limit))

    def _up(self) -> bool:
        return not self.host.replica.outages

    def _settle(self, *, in_time: bool) -> None:
        """It is open, or will never be."""
        if self.closed:
            return
        if in_time and self._up():
            self._is_open()
        else:
            self.did["connect failed" if in_time else "connect timeout"] += 1
            self.note("failed")
            self.closed = True
            self.owner.failed(self)

    def _is_open(self) -> None:
        self.did["connection opened"] += self.link.tracked
        self.note("opened")
        self.too_old.set(self.settings.max_age)
        self.nothing_heard.set(self.host.replica.keep_alive)
        self.owner.opened(self)

    def carry(self, attempt: Attempt) -> None:
        """Something to carry."""
        self.nobody_came.stop()
        self.attempt = attempt
        self.carried += 1
        if self.carried >= self.settings.max_requests:
            self.did["max requests"] += 1
            self.ends.add("max_requests")

    def rest(self) -> None:
        """Nothing to carry for now."""
        self.attempt = None
        self.nobody_came.set(self.settings.idle_timeout)

    def part(self, *, broken: bool) -> None:
        """It has carried its last, or that broke."""
        why = "broken" if broken else next(each for each in BUSY_ENDS if each in self.ends)
        if why != "drained":
            self.note(why)
        self.close()

    def close(self) -> None:
        """It is no more; the replica knows that at once."""
        self.closed = True
        for alarm in (self.nobody_came, self.too_old, self.nothing_heard):
            alarm.stop()

    def note(self, what: str) -> None:
        """Something became of it, which results count."""
        if self.link.tracked:
            self.owner.run.connections.append((self.clock.now, self.owner.edge, what))

    def _close_idle(self, why: str) -> None:
        self.did[why] += 1
        self.note(IDLE_ENDS[why])
        self.close()
        self.owner.closed(self)

    def _grow_old(self) -> None:
        if self.attempt is None:
            self._close_idle("max age: idle")
        else:
            self.did["max age: busy"] += 1
            self.ends.add("max_age")

    # ---- the replica's end

    def hear(self) -> bool:
        """A request comes here; whether anybody listens."""
        self.nothing_heard.stop()
        return not self.closed_there

    def answer(self) -> None:
        """An answer leaves here."""
        if not self.closed:
            self.nothing_heard.set(self.host.replica.keep_alive)

    def _close_there(self) -> None:
        """Nothing was heard for too long: the caller will learn that it is over."""
        self.closed_there = True
        self.clock.after(self.link.latency(self.key, LINK_CLOSE), self._learn)

    def _learn(self) -> None:
        """The caller learns of it; it breaks what is on its way there."""
        if self.closed:
            return
        if self.attempt is None:
            self._close_idle("server closed idle")
        elif self.attempt.reached:  # and has its answer: that comes first
            self.did["server closed behind an answer"] += 1
            self.ends.add("server")
        else:
            self.did["keep-alive race"] += 1
            self.attempt.cut()
