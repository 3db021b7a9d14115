"""A caller's proxy whose world is a script: what happens to each connection and attempt is drawn by its key.

Connections open after a while or fail, idle ones are closed by the other side, attempts are answered, reset,
refused or left without an answer; a host goes down and loses what it has; another policy is pushed. All that
the proxy decides is written down in order, and its books are checked at every decision.

A script may be on a grid: whatever takes time takes a whole number of `STEP`. Then many things happen at one
instant, and their order is all that decides.
"""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

from hypothesis import strategies as st

from meshsim.mesh.attempt import PENDING, SENT, Attempt
from meshsim.mesh.call import ENDED, Call, Owner
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.connection import Connection
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.proxy import Proxy
from meshsim.mesh.request import Request
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.policies.accrual import PROBING, SHUT
from meshsim.policies.outcome import NO_FLAG, RESET, RESPONSE, UC, flag_names
from meshsim.random import Key, derive, u01
from meshsim.scenario.machines import ConfiguredRoute, ConfiguredUpstream
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

Document = dict[str, Any]
Decision = tuple[float, str, Any, Any]

# What a uniform number below each of these means for an attempt
SHARES = {"silence": 0.08, "reset": 0.16, "503": 0.3, "500": 0.4, "409": 0.45, "streamed": 0.6, "200": 1.0}
CALLS = 40
GONE = 0.05
"""Share of calls whose maker goes away."""
FAILS, CLOSES = 0.15, 0.2
"""Shares of connections that can't be opened, and of responses after which the host closes the connection."""

STEP = 1 / 64
"""Of the grid, s: sums of it are exact."""
OUTAGE = (0.2, 0.35)
"""From when to when the first host is down, s, if it goes down at all; not on the grid."""


class Plot(NamedTuple):
    """What a script is made of: a scenario, whether its times are on the grid, whether a host goes down."""

    document: Document
    grid: bool
    outage: bool


@st.composite
def policies(draw: st.DrawFn, grid: bool, split: bool) -> Document:
    """A policy in which much can happen."""

    def ms(low: float, high: float) -> str:
        if grid:
            return f"{draw(st.integers(1, max(1, int(high / 1000 / STEP)))) * STEP * 1000}ms"
        return f"{draw(st.floats(low, high)):.4f}ms"

    balancers = ["round_robin", "random", "least_request", "peak_ewma"]
    policy: Document = {"balance": draw(st.sampled_from(balancers))}
    if draw(st.booleans()):
        policy["timeout"] = ms(50, 900)
    if draw(st.booleans()):
        retries: Document = {
            "attempts": draw(st.integers(0, 4)),
            "on": draw(
                st.sampled_from([["5xx"], ["reset"], ["connect-failure", "retriable-4xx"], ["gateway-error"]])
            ),
            "backoff": {"base": "0ms" if grid else ms(1, 40)},
        }
        if draw(st.booleans()):
            retries["per_try_timeout"] = ms(20, 300)
        if draw(st.booleans()):
            retries |= {"previous_hosts": True, "host_attempts": draw(st.integers(1, 4))}
        if draw(st.booleans()):
            retries["statuses"] = draw(st.sampled_from([[503], [200, 500]]))
        budget = draw(
            st.sampled_from(
                [
                    None,
                    {"ratio": "20%", "min_concurrency": 1},
                    {"ratio": "10%", "ttl": "1s", "min_per_second": 1},
                ]
            )
        )
        if budget:
            retries["budget"] = budget
        policy["retries"] = retries
    if draw(st.booleans()):
        policy["circuit_breaker"] = {
            "max_connections": draw(st.integers(1, 4)),
            "max_pending": draw(st.integers(0, 4)),
            "max_requests": draw(st.integers(1, 6)),
            "max_retries": draw(st.integers(0, 3)),
        }
    detection = draw(st.sampled_from(["none", "outlier_detection", "failure_accrual"]))
    if detection == "failure_accrual":
        policy["failure_accrual"] = {
            "max_failures": draw(st.integers(1, 3)), "min_penalty": ms(20, 150), "max_penalty": "400ms",
            "jitter": "0%" if grid else "50%",
        }  # fmt: skip
    elif detection == "outlier_detection":
        policy["outlier_detection"] = {
            "consecutive_5xx": draw(st.integers(1, 3)), "interval": ms(40, 200),
            "always_eject_one": draw(st.booleans()),
            "base_ejection_time": ms(50, 400),
            "max_ejection_percent": draw(st.sampled_from(["34%", "60%", "100%"])),
            "merge_window": draw(st.sampled_from(["0s", ms(40, 200)])),
        }  # fmt: skip
    if draw(st.booleans()):
        policy["connection"] = {
            "idle_timeout": draw(st.sampled_from(["0s", ms(10, 120)])),
            "max_age": draw(st.sampled_from(["0s", ms(40, 300)])),
            "max_requests": draw(st.sampled_from([1, 2, "unlimited"])),
        }
    if draw(st.booleans()):
        policy["hedge"] = {"after": ms(10, 150), "max": draw(st.integers(1, 2))}
    if draw(st.booleans()):
        policy["rate_limit"] = {"burst": draw(st.integers(1, 10)), "rate": "40/s"}
    if draw(st.booleans()):
        delay = ms(1, 30) if grid else {"exponential": "30ms"}
        policy["fault"] = {"delay": {"percent": "20%", "time": delay}, "abort": {"percent": "10%"}}
    if split and draw(st.booleans()):
        policy["split"] = {"v1": 3, "v2": 1}
    return policy


@st.composite
def scripts(draw: st.DrawFn) -> Plot:
    """A service of a few replicas, its policy, and perhaps another that is pushed."""
    versions = {"v1": {"replicas": draw(st.integers(1, 2))}, "v2": {"replicas": draw(st.integers(1, 2))}}
    service: Document = (
        {"versions": versions} if draw(st.booleans()) else {"replicas": draw(st.integers(1, 4))}
    )
    grid = draw(st.booleans())
    policy = policies(grid, "versions" in service)
    document = {
        "duration": "10s", "services": {"cart": service}, "policies": {"cart": draw(policy)},
        "load": [{"to": "cart", "rate": f"{draw(st.floats(5, 200)):.2f}/s"}],
    }  # fmt: skip
    if draw(st.booleans()):
        document["events"] = [{"at": "0.25s", "set": {"policies.cart": draw(policy)}}]
    return Plot(document, grid, draw(st.booleans()))


class Then(Event):
    """Does something later."""

    def __init__(self, what: Any, *arguments: Any) -> None:
        self.what, self.arguments = what, arguments

    def fire(self, step: int, now: float) -> None:
        self.what(*self.arguments, now)


class Script(Transport):
    """The world of the proxy.

    Attributes:
        down: names of the hosts that are.
        opening: hosts and connections that are being opened, by number.
        under_way: attempts that were sent and have not ended, and those whose bodies are coming.
    """

    def __init__(self, clock: Clock, key: Key, grid: bool, decisions: list[Decision]) -> None:
        self.clock, self.key, self.grid, self.decisions = clock, key, grid, decisions
        self.connections = 0
        self.opening: dict[int, tuple[Host, Connection | None]] = {}
        self.down: set[str] = set()
        self.under_way: dict[Attempt, None] = {}

    def later(self, seconds: float, now: float, what: Any, *arguments: Any) -> None:
        if self.grid:
            seconds = round(seconds / STEP) * STEP
        self.clock.at(now + seconds, Then(what, *arguments), 0)

    def decide(self, now: float, what: str, who: Any, which: Any, cluster: Cluster) -> None:
        self.decisions.append((now, what, who, which))
        check_books(cluster)

    # ---- connections --------------------------------------------------------------------------------

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        self.decide(now, "open", host.name, None, cluster)
        key = derive(self.key, self.connections)
        self.opening[self.connections] = host, connection
        works = u01(key, 0) >= FAILS
        self.later(0.03 * u01(key, 1), now, self.opened, cluster, self.connections, works)
        self.connections += 1

    def opened(self, cluster: Cluster, number: int, works: bool, now: float) -> None:
        if number not in self.opening:  # nobody wanted it any more
            return
        host, connection = self.opening.pop(number)
        if works and host.name not in self.down:
            cluster.opened(host, connection, now)
        else:
            cluster.failed(host, connection, now)

    def hang_up(self, connection: Connection) -> None:
        self.decisions.append((-1.0, "hang up", connection.key, connection.requests))

    def close_idle(self, attempt: Attempt, now: float) -> None:
        host = attempt.host_sent()
        if host.idle > 0:
            attempt.cluster.closed(host, host.pool and host.pool.top, now)

    def drain(self, host: Host) -> None:
        self.decisions.append((-1.0, "drain", host.name, None))

    def stop_opening(self, host: Host) -> None:
        self.decisions.append((-1.0, "stop opening", host.name, None))
        self.opening = {number: other for number, other in self.opening.items() if other[0] is not host}

    def go_down(self, clusters: list[Cluster], name: str, now: float) -> None:
        """A host goes down: it loses what it has, and closes its connections."""
        self.down.add(name)
        for attempt in list(self.under_way):
            if attempt.host_sent().name == name:
                self.end(attempt, 503, UC, RESET, now)
        for cluster in clusters:
            for host in cluster.hosts:
                while host.name == name and host.idle > 0:
                    cluster.closed(host, host.pool and host.pool.top, now)

    def come_up(self, name: str, now: float) -> None:
        self.down.discard(name)

    # ---- attempts -----------------------------------------------------------------------------------

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt)
        self.decide(now, "send", stream.key, stream.host_sent().name, stream.cluster)
        self.under_way[stream] = None
        drawn = u01(stream.key, 1)
        fate = next(name for name, below in SHARES.items() if drawn < below)
        after = -0.08 * log(1.0 - u01(stream.key, 2))
        if fate == "reset":
            self.later(after, now, self.end, stream, 503, UC, RESET)
        elif fate == "streamed":
            self.later(after, now, self.begin_body, stream)
        elif fate != "silence":
            self.later(after, now, self.end, stream, int(fate), NO_FLAG, RESPONSE)

    def end(self, attempt: Attempt, status: int, flag: int, cause: int, now: float) -> None:
        if attempt not in self.under_way:
            return
        del self.under_way[attempt]
        if attempt.lasting:
            attempt.detach(False, now)
            return
        closes = u01(attempt.key, 3) < CLOSES
        attempt.closing = closes and u01(attempt.key, 4) < 0.5
        attempt.respond(status, flag, cause, now)
        if closes and not attempt.closing and cause == RESPONSE:
            self.later(0.02 * u01(attempt.key, 5), now, self.close_idle, attempt)

    def begin_body(self, attempt: Attempt, now: float) -> None:
        if attempt not in self.under_way:
            return
        attempt.lasting = True
        attempt.respond(200, NO_FLAG, RESPONSE, now)
        assert attempt.attached, "its connection is busy till its body has come"
        self.later(0.2 * u01(attempt.key, 6), now, self.end_body, attempt)

    def end_body(self, attempt: Attempt, now: float) -> None:
        if attempt in self.under_way:
            del self.under_way[attempt]
            attempt.detach(u01(attempt.key, 7) < 0.8, now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt)
        self.decide(now, "abandon", stream.key, None, stream.cluster)
        del self.under_way[stream]


class Maker(Owner):
    """Who makes one call."""

    def __init__(self, caller: Caller) -> None:
        self.span = 0
        self.caller = caller

    def answered(self, call: Call, now: float) -> None:
        assert call.deadlines is None, "no timer runs for what is over"
        hedges = call.policy.hedges
        timer = None if hedges is None else hedges.head
        while timer is not None:
            assert timer.call is not call
            timer = timer.later
        what = (call.status, flag_names(call.flags), call.sent)
        self.caller.decisions.append((now, "answer", call.key, what))


class Caller:
    """The proxy under test, and who makes calls through it."""

    def __init__(self, clock: Clock, plot: Plot, seed: int) -> None:
        scenario = Scenario.model_validate(plot.document)
        self.clock = clock
        self.plot = plot
        self.scenario = scenario
        self.key = derive(seed, 1)
        self.calls: list[Call] = []
        self.decisions: list[Decision] = []
        self.recorder = RowRecorder(10.0)
        self.script = Script(clock, derive(seed, 2), plot.grid, self.decisions)
        proxy = Proxy(clock, self.recorder, Tracer(), self.script, 0, seed, Station())
        topology = Topology(scenario)
        policy = scenario.policy("client", "cart")
        (tracked,) = topology.tracked
        self.upstream = ConfiguredUpstream(proxy, 0, "cart", topology.replicas, policy, tracked=tracked)
        self.route = ConfiguredRoute(self.upstream, policy)
        self.policies = [self.route.route.policy]
        self.rate = scenario.load[0].rate or 1.0

    def begin(self) -> None:
        """Puts all calls on the clock, and what happens meanwhile."""
        time = 0.0
        for number in range(CALLS):
            key = derive(self.key, number)
            time -= log(1.0 - u01(key, 100)) / self.rate
            self.clock.at(self.on_grid(time), Then(self.call, key), 0)
        for number, event in enumerate(self.scenario.events):
            self.clock.at(event.at, Then(self.push, number), 0)
        if self.plot.outage:
            name = self.upstream.replicas[0].name
            self.clock.at(OUTAGE[0], Then(self.outage, name), 0)
            self.clock.at(OUTAGE[1], Then(self.script.come_up, name), 0)

    def on_grid(self, time: float) -> float:
        return round(time / STEP) * STEP if self.plot.grid else time

    def outage(self, name: str, now: float) -> None:
        self.script.go_down(list(self.upstream.clusters.values()), name, now)

    def push(self, number: int, now: float) -> None:
        policy = self.scenario.policies_after(number).policy("client", "cart")
        self.upstream.apply(policy, now)
        self.route.apply(policy, False, now)
        self.policies.append(self.route.route.policy)

    def call(self, key: Key, now: float) -> None:
        call = Call(self.route.route, Maker(self), Request(-1, key, now, 0, False), key, False, now)
        self.calls.append(call)
        if u01(key, 101) < 0.2:  # its body is still coming
            call.uploading = True
            call.replayable = u01(key, 105) < 0.5
            self.clock.at(self.on_grid(now + 0.1 * u01(key, 102)), Then(self.uploaded, call), 0)
        call.begin(now)
        if u01(key, 103) < GONE:
            self.clock.at(self.on_grid(now + 0.1 * u01(key, 104)), Then(call.cancel), 0)

    def uploaded(self, call: Call, now: float) -> None:
        call.replayable = True
        call.uploaded(now)

    def check_at_rest(self) -> None:
        """Nothing is left when all is over, but attempts that nobody answers, and who waits behind them."""
        self.decisions.extend(
            (time, "eject", edge, replica) for time, edge, replica in self.recorder.ejections
        )
        silent = self.script.under_way
        alive: set[Key] = set()
        slots: dict[Cluster, int] = {}
        for call in self.calls:
            attempt = call.eldest
            assert (call.step == ENDED) == (attempt is None), "a call that has not ended waits for something"
            while attempt is not None:
                waits = attempt.step == SENT and attempt in silent
                assert waits or (attempt.step == PENDING and attempt.waiting)
                alive.add(attempt.key)
                slots[attempt.cluster] = slots.get(attempt.cluster, 0) + attempt.slot
                attempt = attempt.younger
        for cluster in self.upstream.clusters.values():
            check_books(cluster)
            assert cluster.breaker.active == sum(attempt.cluster is cluster for attempt in silent)
            assert cluster.breaker.retries == slots.get(cluster, 0)
            for host in cluster.hosts:
                assert host.opening == 0
                assert host.head is None or (host.active > 0 and host.idle == 0)
                assert host.gate != SHUT, "a penalty ends"
                assert host.gate != PROBING or host.probe in alive, "a host is probed by what is under way"
        for policy in self.policies:
            for deadlines in (policy.timeouts, policy.try_timeouts, policy.hedges):
                assert deadlines is None or deadlines.head is None, "no timer runs for nobody"


def check_books(cluster: Cluster) -> None:
    """A cluster's gauges are the sums of its hosts' (but for one stream that is just being refused)."""
    breaker, hosts = cluster.breaker, cluster.hosts
    assert breaker.active == sum(host.active for host in hosts)
    assert breaker.connections == sum(host.connections for host in hosts)
    assert breaker.pending - sum(host.pending for host in hosts) in (0, 1)
    for host in hosts:
        assert host.connections == host.active + host.idle + host.opening
        idle, one = host.idle, host.pool and host.pool.top
        while one:
            idle, one = idle - 1, one.below
        assert host.pool is None or idle == 0
