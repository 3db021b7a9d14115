"""A tracked connection of a caller's proxy to a host, from its opening to its end.

An edge's connections are tracked where something says how long they last; elsewhere they are no more than
their number (`Host.idle`). The states, and what ends them (docs/background/model.md, *Connections*):

    state     event                                 next
    OPENING   its time is over                      IDLE, or CLOSED if the host is down or it was too long
    OPENING   drained, and nobody waits             CLOSED
    IDLE      an attempt attaches                   BUSY
    IDLE      idle_timeout | max_age | FIN | drain  CLOSED
    BUSY      a response                            IDLE, or CLOSED if it is too old, spent or drained
    BUSY      max_age | FIN behind a response       BUSY, and CLOSED with the response
    BUSY      any other end, FIN                    CLOSED
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.certificate import Agent, Passing
from meshsim.mesh.clock import Clock, Deadlines, Event, Timer
from meshsim.policies.connection import ConnectionRule
from meshsim.random import Key, derive

# States
OPENING = 0
IDLE = 1
BUSY = 2
CLOSED_DOWN = 3  # CLOSED is a name already

# What is counted of connections: how they begin, and why they end
OPENED = 0
FAILED = 1
IDLE_TIMEOUT = 2
MAX_REQUESTS = 3
MAX_AGE = 4
SERVER_CLOSED = 5  # the other side has closed it, while it was idle
BROKEN_OFF = 6  # with a request on it
SECURED = 7  # opened with mTLS
UNTRUSTED = 8  # failed, since the caller does not accept the upstream
NOT_ACCEPTED = 9  # opened, and closed by the upstream, which does not accept the caller
DRAINED = 10  # not counted
COUNTED = (
    *("opened", "failed", "idle_timeout", "max_requests", "max_age", "server", "broken"),
    *("secured", "untrusted", "rejected"),
)


class Keeper(Event):
    """Whose connections they are: a cluster, which counts them."""

    def lose(self, connection: Connection, why: int, now: float) -> None:
        """An idle connection is at its end."""
        raise NotImplementedError

    def hang_up(self, connection: Connection) -> None:
        """A connection is closed at this end."""
        raise NotImplementedError


@final
class Lifetimes:
    """The settings of connections that begin from now on.

    Attributes:
        idles, ages, openings: running timers; None for what is off.
    """

    rule: ConnectionRule
    idles: Deadlines | None
    ages: Deadlines | None
    openings: Deadlines | None

    def __init__(self, clock: Clock, rule: ConnectionRule) -> None:
        self.clock = clock
        self.configure(rule)

    def configure(self, rule: ConnectionRule) -> None:
        """Changes them."""
        self.rule = rule
        self.idles = Deadlines(self.clock, rule.idle_timeout) if rule.idle_timeout > 0.0 else None
        self.ages = Deadlines(self.clock, rule.max_age) if rule.max_age > 0.0 else None
        limited = rule.connect_timeout > 0.0
        self.openings = Deadlines(self.clock, rule.connect_timeout) if limited else None


@final
class HostPool:
    """The tracked connections of a cluster to one host.

    Attributes:
        place: of the host among the cluster's.
        key: of the connections.
        top: of the stack of idle ones: who became free last.
        begun: connections so far.
        given_up: how often those that were being opened were given up.
    """

    key: Key
    top: Connection | None

    def __init__(self, keeper: Keeper, place: int, lifetimes: Lifetimes, key: Key) -> None:
        self.keeper = keeper
        self.place = place
        self.lifetimes = lifetimes
        self.key = key
        self.top = None
        self.begun = 0
        self.given_up = 0

    def begin(self) -> Connection:
        """One more connection, which begins to open."""
        connection = Connection(self, derive(self.key, self.begun), self.lifetimes)
        self.begun += 1
        return connection

    def take(self, stream: Timer) -> Connection | None:
        """The top of the idle ones serves a stream from now on.

        NOTE: a local name holds what leaves the stack; compiled, a method does not hold its own object.
        """
        connection = self.top
        if connection is not None:
            connection.leave()
            connection.state = BUSY
            connection.requests += 1
            connection.stream = stream
        return connection

    def close_idle(self) -> None:
        """Closes who serves nobody."""
        connection = self.top
        while connection is not None:
            connection.close()
            connection = self.top


@final
class Connection(Timer):
    """A connection; its own timer is the idle one.

    Attributes:
        given_up: how often openings to its host had been given up when it began.
        requests: attempts that it has had.
        finished: whether the other side has closed it, behind a response that is on its way.
        aged: whether it is older than it may be.
        stream: whom it serves.
        above, below: its neighbours in the stack.
        age: the timer of its age.
        far: the other side's end, if that may close.
        wire: the transport's own.
    """

    rule: ConnectionRule
    state: int
    given_up: int
    idles: Deadlines | None
    ages: Deadlines | None
    openings: Deadlines | None
    stream: Timer | None
    above: Connection | None
    below: Connection | None
    age: Age | None
    far: FarEnd | None
    wire: object

    def __init__(self, pool: HostPool, key: Key, lifetimes: Lifetimes) -> None:
        super().__init__()
        self.pool = pool
        self.key = key
        self.rule = lifetimes.rule
        self.idles = lifetimes.idles
        self.ages = lifetimes.ages
        self.openings = lifetimes.openings
        self.state = OPENING
        self.given_up = pool.given_up
        self.requests = 0
        self.finished = False
        self.aged = False
        self.stream = None
        self.above = None
        self.below = None
        self.age = None
        self.far = None
        self.wire = None

    def wanted(self) -> bool:
        """Whether it is still being opened."""
        return self.state == OPENING and self.given_up == self.pool.given_up

    def opened(self, now: float) -> None:
        """It is open, and free."""
        if self.ages is not None:
            self.age = Age(self)
            self.ages.start(self.age, now)
        if self.far is not None:
            self.far.rest(now)
        self.free()

    def free(self) -> None:
        """It serves nobody: it goes on top of the idle ones."""
        self.state = IDLE
        self.below = self.pool.top
        if self.below is not None:
            self.below.above = self
        self.pool.top = self

    def rest(self, now: float) -> None:
        """If it is still idle, it is for no longer than its time-out."""
        if self.state == IDLE and self.idles is not None:
            self.idles.start(self, now)

    def leave(self) -> None:
        """It is no longer among the idle ones."""
        self.stop_timer()
        if self.above is None:
            self.pool.top = self.below
        else:
            self.above.below = self.below
        if self.below is not None:
            self.below.above = self.above
        self.above = None
        self.below = None

    def fate(self, reusable: bool, drained: bool) -> int:
        """When its attempt is over, after a response if `reusable`: why it is closed; OPENED if it is not."""
        if not reusable:
            return BROKEN_OFF
        if drained:
            return DRAINED
        if self.finished:
            return SERVER_CLOSED
        if self.rule.spent(self.requests):
            return MAX_REQUESTS
        return MAX_AGE if self.aged else OPENED

    def close(self) -> None:
        """It is no more, at this end at once, and knows nobody who knows it: no circle is left of it."""
        if self.state == IDLE:
            self.leave()
        self.state = CLOSED_DOWN
        if self.age is not None:
            self.age.stop_timer()
            self.age = None
        if self.far is not None:
            self.far.over = True
            self.far.stop_timer()
            self.far = None
        self.pool.keeper.hang_up(self)
        self.wire = None

    def expire(self, now: float) -> None:
        """It has been idle for too long."""
        self.pool.keeper.lose(self, IDLE_TIMEOUT, now)

    def unlink(self) -> Event | None:
        super().unlink()
        self.stream = None
        return None


@final
class Age(Timer):
    """What counts how long a connection has been open."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def expire(self, now: float) -> None:
        connection = self.connection
        if connection.state == IDLE:
            connection.pool.keeper.lose(connection, MAX_AGE, now)
        else:
            connection.aged = True


class FarEnd(Passing):
    """The upstream's end of a connection, which closes when it has been idle for too long.

    Attributes:
        keeping: the running timers of its replica.
        guard: what an upstream that knows mTLS goes by, of a connection without.
        secured: whether it was opened with mTLS.
        closed: whether it has closed.
        over: whether the caller has.
    """

    keeping: Deadlines | None
    guard: Agent | None

    def __init__(self) -> None:
        super().__init__()
        self.keeping = None
        self.guard = None
        self.secured = False
        self.closed = False
        self.over = False

    def reject(self, now: float) -> None:
        """It closes, since it does not accept the caller."""
        raise NotImplementedError

    def rest(self, now: float) -> None:
        """It has no request, from now on."""
        if self.keeping is not None and not self.over and not self.closed:
            self.keeping.start(self, now)
