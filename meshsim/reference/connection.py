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

With mTLS, opening goes on with a handshake (:mod:`meshsim.reference.handshake`).

Only an edge whose scenario asks for any of this has such a life (*tracked*). Elsewhere connections open in no
time, and last.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from meshsim.random import HANDSHAKE_BACK, HANDSHAKE_OUT, LINK_CLOSE, Key
from meshsim.reference.attempt import Attempt, Host
from meshsim.reference.clock import Clock
from meshsim.reference.handshake import End, handshake
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
    end: End  # the caller's proxy
    secure: bool  # whether connections that begin to open now use mTLS

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
        self.secured = owner.secure
        self.usable = False
        self._at_once = False  # it opens, and has taken no time yet
        self.closed = False
        self.closed_there = False
        self.clock = clock = owner.run.clock
        self.nobody_came = Alarm(clock, lambda: self._close_idle("idle timeout"))
        self.too_old = Alarm(clock, self._grow_old)
        self.nothing_heard = Alarm(clock, lambda: self._close_there(self._word()))

    # ---- the caller's end

    def open(self) -> None:
        """Begin to open. Whether the replica is up is asked at the end of that, and during a handshake."""
        time = self.link.connect(self.key)
        limit = self.settings.connect_timeout or inf
        if self.secured and time < limit < inf:
            self.clock.after(limit, self._time_out)
        if time == 0.0 and (self.up() or not self.link.tracked):
            self._at_once = True
            self._connect()
            self._at_once = False
        else:
            self.clock.after(min(time, limit), lambda: self._settle(in_time=time < limit))

    def up(self) -> bool:
        """Whether the replica is."""
        return not self.host.replica.outages

    def _settle(self, *, in_time: bool) -> None:
        """TCP has opened it, or will never."""
        if self.closed:
            return
        if in_time and self.up():
            self._connect()
        else:
            self.fail("connect failed" if in_time else "connect timeout")

    def _connect(self) -> None:
        if self.secured:
            self.clock.process(handshake(self.owner.run, self, self.owner.end, self.host.replica.end))
        else:
            self.become_open()

    def _time_out(self) -> None:
        if not (self.usable or self.closed):
            self.did["handshake timed out"] += 1
            self.fail("connect timeout")

    def fail(self, why: str, *, untrusted: bool = False) -> None:
        """It could not be opened. What has taken no time fails in an event of its own all the same."""
        if self._at_once:
            self.clock.after(0.0, lambda: self._fail(why, untrusted=untrusted))
        else:
            self._fail(why, untrusted=untrusted)

    def _fail(self, why: str, *, untrusted: bool) -> None:
        if self.closed:
            return
        self.did[why] += 1
        self.note("failed")
        if untrusted:
            self.note("untrusted")
        self.closed = True
        self.owner.failed(self)

    def become_open(self, *, rejected: bool = False) -> None:
        """It can be used. If it is `rejected`, its other end is closed, and the caller does not know yet."""
        self.usable = True
        self.did["connection opened"] += self.link.tracked
        self.note("opened")
        if self.secured and not rejected:
            self.note("secured")
        self.too_old.set(self.settings.max_age)
        if rejected:
            self.did["rejected"] += 1
            self.note("rejected")
            there, back = (self.link.latency(self.key, way) for way in (HANDSHAKE_OUT, HANDSHAKE_BACK))
            self._close_there(there + back)
        else:
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
        strict = self.host.replica.end.mode == "strict"
        if strict and not (self.secured or self.closed_there) and self.up():
            self.did["plaintext refused"] += 1
            self.note("rejected")
            self._close_there(self._word())
        return not self.closed_there

    def answer(self) -> None:
        """An answer leaves here."""
        if not self.closed:
            self.nothing_heard.set(self.host.replica.keep_alive)

    def _word(self) -> float:
        """How long the word of this end's closing takes."""
        return self.link.latency(self.key, LINK_CLOSE)

    def _close_there(self, word: float) -> None:
        """This end is closed: the caller will learn that it is over, so much later."""
        self.closed_there = True
        self.clock.after(word, self._learn)

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
