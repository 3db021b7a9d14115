"""A cluster's pools under any use: gauges add up, limits hold, nobody is forgotten or served twice."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.connection import Connection
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.recorder import Recorder
from meshsim.policies.balance import RoundRobin
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import MaxRetries
from meshsim.policies.outlier import OutlierDetection


class NoClock(Clock):
    def at(self, time: float, event: Event, step: int) -> None:
        raise AssertionError("a pool schedules nothing")


class Doors(Transport):
    """Connections that open at once, or when the test says so."""

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once
        self.opening: list[Host] = []

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        if self.at_once:
            cluster.opened(host, None, now)
        else:
            self.opening.append(host)

    def drain(self, host: Host) -> None:
        pass

    def stop_opening(self, host: Host) -> None:
        self.opening = [other for other in self.opening if other is not host]


class Probe(Stream):
    """A stream that notes what happens to it.

    Args:
        pools: the test.
        sibling: another, which leaves when this one is refused: their call has its answer.
        next: host of the stream that whoever waited for that answer sends at once.
        ejects: its host, by being refused.
    """

    def __init__(self, pools: Pools, sibling: Probe | None, next: Host | None, ejects: bool = False) -> None:
        self.pools = pools
        self.sibling = sibling
        self.next = next
        self.ejects = ejects
        self.host = None
        self.drains = 0
        self.ahead = None
        self.behind = None
        self.waiting = False
        self.connection = None
        self.events: list[str] = []

    def connected(self, now: float) -> None:
        self.events.append("connected")

    def overflowed(self, now: float) -> None:
        self.events.append("overflowed")

    def refused(self, now: float) -> None:
        self.events.append("refused")
        pools = self.pools
        unserved = [probe for probe in pools.waiting if not probe.events]
        assert pools.breaker.pending == len(unserved) + 1, "a budget counts it till its end"
        if self.sibling in unserved:
            pools.leave_queue(self.sibling)
        if self.ejects and self.host is not None:
            pools.eject(self.host)
        if self.next is not None:
            pools.send(Probe(pools, None, None), self.next)


limits = st.one_of(st.integers(0, 4), st.just(1 << 62))


class Pools(RuleBasedStateMachine):
    @initialize(
        hosts=st.integers(1, 3), connections=limits, pending=limits, requests=limits, at_once=st.booleans()
    )
    def build(self, hosts: int, connections: int, pending: int, requests: int, at_once: bool) -> None:
        self.hosts = [Host(f"cart/{i}", i, i, "") for i in range(hosts)]
        self.doors = Doors(at_once)
        self.breaker = CircuitBreaker(connections, pending, requests)
        self.cluster = Cluster(
            NoClock(),
            Recorder(),
            self.doors,
            0,
            self.hosts,
            RoundRobin(0),
            self.breaker,
            OutlierDetection(),
            MaxRetries(3),
        )
        self.active: list[Probe] = []
        self.waiting: list[Probe] = []
        self.drained: set[Probe] = set()

    def sort(self) -> None:
        """Moves streams to where their last event put them."""
        for probe in list(self.waiting):
            if probe.events:
                self.waiting.remove(probe)
                if probe.events == ["connected"]:
                    self.active.append(probe)

    def send(self, probe: Probe, host: Host) -> None:
        self.waiting.append(probe)
        self.cluster.connect(probe, host, 0.0)

    def leave_queue(self, probe: Probe) -> None:
        self.waiting.remove(probe)
        assert probe.host is not None
        self.cluster.leave(probe, probe.host)

    def eject(self, host: Host) -> None:
        self.cluster.drain(host)
        assert host.idle == 0
        self.drained.update(probe for probe in self.active if probe.host is host)

    @rule(data=st.data(), paired=st.booleans(), followed=st.booleans(), ejects=st.booleans())
    def connect(self, data: st.DataObject, paired: bool, followed: bool, ejects: bool) -> None:
        hosts = st.sampled_from(self.hosts)
        sibling = data.draw(st.sampled_from(self.waiting)) if paired and self.waiting else None
        probe = Probe(self, sibling, data.draw(hosts) if followed else None, ejects)
        if sibling is not None and sibling.sibling is None:
            sibling.sibling = probe
        self.send(probe, data.draw(hosts))
        self.sort()

    @precondition(lambda self: self.active)
    @rule(data=st.data(), reusable=st.booleans())
    def end(self, data: st.DataObject, reusable: bool) -> None:
        probe = data.draw(st.sampled_from(self.active))
        self.active.remove(probe)
        assert probe.host is not None
        before = probe.host.connections - probe.host.opening
        self.cluster.release(probe, probe.host, reusable, 0.0)
        if not self.doors.at_once:
            closes = not reusable or probe in self.drained
            assert probe.host.connections - probe.host.opening == before - closes
        self.sort()

    @precondition(lambda self: self.doors.opening)
    @rule(data=st.data(), works=st.booleans())
    def answer_the_door(self, data: st.DataObject, works: bool) -> None:
        host = self.doors.opening.pop(data.draw(st.integers(0, len(self.doors.opening) - 1)))
        mine = [probe for probe in self.waiting if probe.host is host]
        if works:
            self.cluster.opened(host, None, 0.0)
        else:
            self.cluster.failed(host, None, 0.0)
            left = [probe for probe in mine if not probe.waiting and not probe.events]
            refused = [probe for probe in mine if probe.events == ["refused"]]
            assert len(left) + len(refused) == len(mine), "all who waited fail together"
            if any(probe.ejects for probe in refused):
                assert host.opening == 0 or host.pending > 0, "no connection is opened to it for nobody"
            assert not any(probe.events == ["refused"] for probe in self.waiting if probe not in mine), (
                "who comes meanwhile does not"
            )
        self.sort()

    @precondition(lambda self: any(host.idle for host in self.hosts))
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from([host for host in self.hosts if host.idle]))
        self.cluster.closed(host, None, 0.0)
        self.sort()

    @rule(data=st.data())
    def drain(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from(self.hosts))
        self.eject(host)
        assert host.opening == 0 or host.pending > 0

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.leave_queue(data.draw(st.sampled_from(self.waiting)))

    @invariant()
    def gauges_add_up(self) -> None:
        if not hasattr(self, "breaker"):
            return
        breaker = self.breaker
        assert breaker.active == len(self.active) == sum(host.active for host in self.hosts)
        assert breaker.pending == len(self.waiting)
        assert breaker.connections == sum(host.connections for host in self.hosts)
        for host in self.hosts:
            assert host.connections == host.active + host.idle + host.opening
            assert host.opening == sum(other is host for other in self.doors.opening)
            assert host.pending == sum(probe.host is host for probe in self.waiting)
            assert host.idle == 0 or host.head is None, "nobody waits beside an idle connection"

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "breaker"):
            return
        breaker = self.breaker
        assert breaker.active <= breaker.max_requests
        assert breaker.pending <= breaker.max_pending
        # the cap may be exceeded by hosts that had no connection at all
        assert breaker.connections <= max(breaker.max_connections, 0) + len(self.hosts)

    @invariant()
    def each_stream_has_one_fate(self) -> None:
        if hasattr(self, "breaker"):
            assert all(probe.events == ["connected"] for probe in self.active)
            assert all(not probe.events and probe.waiting for probe in self.waiting)


TestPools = Pools.TestCase
