"""The life of a tracked connection, state by state, on a bare clock: docs/background/model.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshsim.mesh.clock import Clock, Deadlines, Event
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.connection import (
    BUSY,
    CLOSED_DOWN,
    COUNTED,
    IDLE,
    OPENING,
    Connection,
    FarEnd,
    HostPool,
    Lifetimes,
)
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.rows import RowRecorder
from meshsim.policies.balance import RoundRobin
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import MaxRetries
from meshsim.policies.connection import ConnectionRule
from meshsim.policies.outlier import OutlierDetection


class BareClock(Clock):
    """Fires what is due when it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.numbers = 0
        self.waiting: list[tuple[float, int, Event, int]] = []

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def at(self, time: float, event: Event, step: int) -> None:
        self.at_number(time, event, step, self.number())

    def at_number(self, time: float, event: Event, step: int, number: int) -> None:
        self.waiting.append((time, number, event, step))

    def go_on(self, until: float) -> None:
        while self.waiting and min(self.waiting)[0] <= until:
            first = min(self.waiting, key=lambda each: each[:2])
            self.waiting.remove(first)
            self.now = first[0]
            first[2].fire(first[3], self.now)
        self.now = until


class Doors(Transport):
    """Openings that wait for the test."""

    def __init__(self) -> None:
        self.asked: list[Connection] = []
        self.hung_up: list[Connection] = []

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        assert connection is not None
        self.asked.append(connection)

    def hang_up(self, connection: Connection) -> None:
        self.hung_up.append(connection)

    def drain(self, host: Host) -> None:
        pass

    def stop_opening(self, host: Host) -> None:
        pass


class Probe(Stream):
    """An attempt, which notes what happens to it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.host = self.ahead = self.behind = self.connection = None
        self.drains = 0
        self.waiting = False

    def connected(self, now: float) -> None:
        self.world.said.append((self, "connected"))

    def overflowed(self, now: float) -> None:
        self.world.said.append((self, "overflowed"))

    def refused(self, now: float) -> None:
        self.world.said.append((self, "refused"))


class World:
    """One host, and a cluster that tracks its connections to it."""

    def __init__(
        self, requests: int = 9, connections: int = 9, *, idle_timeout: float = 0.0, max_age: float = 0.0,
        max_requests: int = 1 << 40,
    ) -> None:  # fmt: skip
        self.clock = BareClock()
        self.doors = Doors()
        self.recorder = RowRecorder(10.0)
        self.said: list[tuple[Probe, str]] = []
        self.host = Host("cart/0", 0, 0, "")
        self.breaker = CircuitBreaker(connections, 9, requests)
        self.cluster = Cluster(
            self.clock, self.recorder, self.doors, 0, [self.host], RoundRobin(0), self.breaker,
            OutlierDetection(), MaxRetries(9),
        )  # fmt: skip
        self.lifetimes = Lifetimes(self.clock, ConnectionRule(0.0, idle_timeout, max_requests, max_age))
        self.host.pool = HostPool(self.cluster, 0, self.lifetimes, 7)

    def counted(self) -> list[str]:
        """What became of connections, in words."""
        return [COUNTED[what] for _, _, what in self.recorder.connections]

    def attempt(self) -> Probe:
        """An attempt wants a connection."""
        probe = Probe(self)
        self.cluster.connect(probe, self.host, self.clock.now)
        return probe

    def answer(self, probe: Probe, reusable: bool = True) -> None:
        """It is answered, or is at its end in another way."""
        self.cluster.release(probe, self.host, reusable, self.clock.now)

    def opened(self, connection: Connection | None = None) -> Connection:
        """A connection is open, the one last asked for."""
        made = connection or self.doors.asked[-1]
        self.cluster.opened(self.host, made, self.clock.now)
        return made

    def idle(self) -> Connection:
        """One that has served, and is idle."""
        probe = self.attempt()
        connection = self.opened()
        self.answer(probe)
        return connection

    def check(self) -> None:
        """The books are right."""
        host, stack = self.host, list(self.stack())
        assert host.connections == host.active + host.idle + host.opening == self.breaker.connections
        assert len(stack) == host.idle
        assert all(one.state == IDLE for one in stack)
        assert all(one.state == CLOSED_DOWN for one in self.doors.hung_up)
        assert len(set(self.doors.hung_up)) == len(self.doors.hung_up), "closed once"

    def stack(self) -> Iterator[Connection]:
        assert self.host.pool is not None
        one = self.host.pool.top
        while one is not None:
            yield one
            one = one.below


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.check()


def test_it_opens_and_serves_who_waits(world: World) -> None:
    probe = world.attempt()
    (connection,) = world.doors.asked
    assert connection.state == OPENING
    assert (world.host.opening, world.breaker.pending) == (1, 1)
    world.opened()
    assert connection.state == BUSY
    assert connection.stream is probe
    assert probe.connection is connection
    assert world.counted() == ["opened"]


def test_one_that_opens_for_nobody_is_idle(world: World) -> None:
    probe = world.attempt()
    world.cluster.leave(probe, world.host)
    assert world.opened().state == IDLE
    assert world.said == []


def test_openings_are_for_as_many_as_wait_and_not_for_whom(world: World) -> None:
    probe = world.attempt()
    world.cluster.leave(probe, world.host)
    other = world.attempt()
    assert len(world.doors.asked) == 1, "the one that opens is enough"
    world.opened()
    assert world.said == [(other, "connected")]


def test_all_who_wait_fail_with_an_opening_the_oldest_first(world: World) -> None:
    probes = [world.attempt() for _ in range(3)]
    first, second, third = world.doors.asked
    world.cluster.failed(world.host, second, 0.0)
    assert world.said == [(probe, "refused") for probe in probes]
    assert [first.state, second.state, third.state] == [OPENING, CLOSED_DOWN, OPENING]
    assert world.counted() == ["failed"]
    assert (world.host.opening, world.breaker.pending, world.breaker.connections) == (2, 0, 2)


def test_openings_are_given_up_by_a_drain_if_nobody_waits(world: World) -> None:
    probe = world.attempt()
    (connection,) = world.doors.asked
    world.cluster.drain(world.host)
    assert connection.wanted()
    world.cluster.leave(probe, world.host)
    world.cluster.drain(world.host)
    assert not connection.wanted()
    assert world.breaker.connections == 0


def test_the_last_that_became_free_is_taken_first(world: World) -> None:
    probes = [world.attempt() for _ in range(3)]
    for connection in world.doors.asked:
        world.opened(connection)
    connections = [probe.connection for probe in probes]
    for number in (1, 0, 2):
        world.answer(probes[number])
    assert [*world.stack()] == [connections[2], connections[0], connections[1]]
    assert world.attempt().connection is connections[2]
    assert world.attempt().connection is connections[0]


def test_one_that_is_idle_for_too_long_is_closed() -> None:
    world = World(idle_timeout=1.0)
    connection = world.idle()
    world.clock.go_on(0.9)
    world.answer(world.attempt())
    world.clock.go_on(1.8)
    assert connection.state == IDLE, "it began to be idle anew"
    world.clock.go_on(1.9)
    assert connection.state == CLOSED_DOWN
    assert world.doors.hung_up == [connection]
    assert world.counted() == ["opened", "idle_timeout"]
    world.check()


def test_time_does_not_run_while_it_opens_or_is_busy() -> None:
    world = World(idle_timeout=1.0)
    probe = world.attempt()
    world.clock.go_on(5.0)
    connection = world.opened()
    world.clock.go_on(9.0)
    assert connection.state == BUSY
    world.answer(probe)
    assert connection.state == IDLE
    world.clock.go_on(10.0)
    assert connection.state == CLOSED_DOWN


def test_one_in_the_middle_of_the_stack_can_end(world: World) -> None:
    probes = [world.attempt() for _ in range(3)]
    for connection in world.doors.asked:
        world.opened(connection)
    for probe in probes:
        world.answer(probe)
    last, middle, first = world.stack()
    world.cluster.closed(world.host, middle, 0.0)
    assert [*world.stack()] == [last, first]
    assert world.counted()[3:] == ["server"]


@pytest.mark.parametrize("limit", [1, 2])
def test_one_that_has_served_enough_is_closed(limit: int) -> None:
    world = World(max_requests=limit)
    probe = world.attempt()
    connection = world.opened()
    for _ in range(limit - 1):
        world.answer(probe)
        assert connection.state == IDLE
        probe = world.attempt()
    world.answer(probe)
    assert connection.state == CLOSED_DOWN
    assert world.counted() == ["opened", "max_requests"]
    world.check()


def test_one_that_is_too_old_is_closed_when_it_is_free() -> None:
    world = World(max_age=1.0)
    idle, probe = world.idle(), world.attempt()
    assert probe.connection is idle
    world.clock.go_on(1.0)
    assert idle.state == BUSY
    assert idle.aged
    world.answer(probe)
    assert idle.state == CLOSED_DOWN
    fresh = world.idle()
    world.clock.go_on(2.0)
    assert fresh.state == CLOSED_DOWN
    assert world.counted() == ["opened", "max_age"] * 2
    world.check()


def test_who_waits_gets_another_when_one_has_served_enough() -> None:
    world = World(max_requests=1, connections=1)
    first, second = world.attempt(), world.attempt()
    old = world.opened()
    assert len(world.doors.asked) == 1
    world.answer(first)
    assert old.state == CLOSED_DOWN
    assert world.opened() is not old
    assert world.said == [(first, "connected"), (second, "connected")]
    world.check()


def test_a_drain_closes_what_is_idle_at_once_and_what_is_busy_when_it_is_free(world: World) -> None:
    probe, other = world.attempt(), world.attempt()
    for connection in world.doors.asked:
        world.opened(connection)
    busy, idle = world.doors.asked
    world.answer(other)
    world.cluster.drain(world.host)
    assert [busy.state, idle.state] == [BUSY, CLOSED_DOWN]
    world.answer(probe)
    assert busy.state == CLOSED_DOWN
    assert world.counted() == ["opened", "opened"], "who did not fail is not counted"


def test_any_other_end_of_its_attempt_closes_it(world: World) -> None:
    probe = world.attempt()
    connection = world.opened()
    world.answer(probe, reusable=False)
    assert connection.state == CLOSED_DOWN
    assert probe.connection is None
    assert world.counted() == ["opened", "broken"]


def test_too_many_active_leave_it_idle() -> None:
    world = World(requests=1, idle_timeout=1.0)
    world.attempt()
    world.opened()
    refused = world.attempt()
    connection = world.opened()
    assert world.said[1:] == [(refused, "overflowed")]
    assert connection.state == IDLE
    world.clock.go_on(1.0)
    assert connection.state == CLOSED_DOWN, "its time runs"
    world.check()


def test_the_far_end_closes_behind_an_answer(world: World) -> None:
    probe = world.attempt()
    connection = world.opened()
    connection.finished = True
    world.answer(probe)
    assert connection.state == CLOSED_DOWN
    assert world.counted() == ["opened", "server"]


def test_the_far_end_rests_from_the_opening_and_stops_with_its_connection(world: World) -> None:
    world.attempt()
    (connection,) = world.doors.asked
    connection.far = far = FarEnd()
    far.keeping = Deadlines(world.clock, 1.0)
    world.clock.go_on(3.0)
    world.opened()
    assert far.due == 4.0
    connection.close()
    far.rest(3.0)
    assert far.deadlines is None
    world.doors.hung_up.clear()
    world.cluster.drain(world.host)
    world.host.active = world.host.connections = world.breaker.connections = 0


def test_a_push_changes_those_that_begin_later() -> None:
    world = World(idle_timeout=1.0)
    connection = world.idle()
    world.lifetimes.configure(ConnectionRule(0.0, 5.0, 1 << 40, 0.0))
    probe, other = world.attempt(), world.attempt()
    later = world.opened()
    world.answer(probe)
    world.answer(other)
    world.clock.go_on(1.0)
    assert [connection.state, later.state] == [CLOSED_DOWN, IDLE]
    world.clock.go_on(5.0)
    assert later.state == CLOSED_DOWN
    world.check()


@pytest.mark.parametrize(("limit", "takes", "fails"), [(0.0, 9.0, False), (2.0, 1.9, False), (2.0, 2, True)])
def test_an_opening_that_takes_as_long_as_the_time_out_fails(limit: float, takes: float, fails: bool) -> None:
    assert ConnectionRule(limit, 0.0, 1, 0.0).gives_up(takes) is fails
