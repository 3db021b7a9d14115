"""A caller's proxy whose world is a script: what happens to each connection and attempt is drawn by its key.

Connections open after a while or fail, idle ones are closed by the other side, attempts are answered, reset,
refused or left without an answer. All that the proxy decides is written down in order.
"""

from __future__ import annotations

from math import log
from typing import Any

from hypothesis import strategies as st

from meshsim.mesh.attempt import Attempt
from meshsim.mesh.call import Call, Owner
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.cluster import Cluster, Host, Stream, Transport
from meshsim.mesh.dataplane import Dataplane
from meshsim.mesh.route import Request
from meshsim.mesh.rows import RowRecorder
from meshsim.mesh.spans import Tracer
from meshsim.policies.outcome import NO_FLAG, RESET, RESPONSE, UC, flag_names
from meshsim.random import Key, derive, u01
from meshsim.scenario.machines import ConfiguredRoute, Custom, Site, Target
from meshsim.scenario.model import Scenario
from meshsim.scenario.parts import places

Document = dict[str, Any]
Decision = tuple[float, str, Any, Any]

# What a uniform number below each of these means for an attempt
SHARES = {"silence": 0.08, "reset": 0.16, "503": 0.3, "500": 0.4, "409": 0.45, "streamed": 0.6, "200": 1.0}
CALLS = 40
GONE = 0.05
"""Share of calls whose maker goes away."""
FAILS, CLOSES = 0.15, 0.2
"""Shares of connections that can't be opened, and of responses after which the host closes the connection."""


@st.composite
def scripts(draw: st.DrawFn) -> Document:
    """A service of a few replicas, and a policy in which much can happen."""

    def ms(low: float, high: float) -> str:
        return f"{draw(st.floats(low, high)):.4f}ms"

    policy: Document = {"balance": draw(st.sampled_from(["round_robin", "random", "least_request"]))}
    if draw(st.booleans()):
        policy["timeout"] = ms(50, 900)
    if draw(st.booleans()):
        retries: Document = {
            "attempts": draw(st.integers(0, 4)),
            "on": draw(
                st.sampled_from([["5xx"], ["reset"], ["connect-failure", "retriable-4xx"], ["gateway-error"]])
            ),
            "backoff": {"base": ms(1, 40)},
        }
        if draw(st.booleans()):
            retries["per_try_timeout"] = ms(20, 300)
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
    if draw(st.booleans()):
        policy["outlier_detection"] = {
            "consecutive_5xx": draw(st.integers(1, 3)), "interval": ms(40, 200),
            "base_ejection_time": ms(50, 400),
            "max_ejection_percent": draw(st.sampled_from(["34%", "60%", "100%"])),
        }  # fmt: skip
    if draw(st.booleans()):
        policy["hedge"] = {"after": ms(10, 150), "max": draw(st.integers(1, 2))}
    if draw(st.booleans()):
        policy["rate_limit"] = {"burst": draw(st.integers(1, 10)), "rate": "40/s"}
    if draw(st.booleans()):
        policy["fault"] = {
            "delay": {"percent": "20%", "time": {"exponential": "30ms"}},
            "abort": {"percent": "10%"},
        }
    versions = {"v1": {"replicas": draw(st.integers(1, 2))}, "v2": {"replicas": draw(st.integers(1, 2))}}
    service: Document = (
        {"versions": versions} if draw(st.booleans()) else {"replicas": draw(st.integers(1, 4))}
    )
    if "versions" in service and draw(st.booleans()):
        policy["split"] = {"v1": 3, "v2": 1}
    return {
        "duration": "10s", "services": {"cart": service}, "policies": {"cart": policy},
        "load": [{"to": "cart", "rate": f"{draw(st.floats(5, 200)):.2f}/s"}],
    }  # fmt: skip


class Then(Event):
    """Does something later."""

    def __init__(self, what: Any, *arguments: Any) -> None:
        self.what, self.arguments = what, arguments

    def fire(self, step: int, now: float) -> None:
        self.what(*self.arguments, now)


class Script(Transport):
    """The world of the proxy."""

    def __init__(self, clock: Clock, key: Key, decisions: list[Decision]) -> None:
        self.clock, self.key, self.decisions = clock, key, decisions
        self.connections = 0

    def later(self, seconds: float, now: float, what: Any, *arguments: Any) -> None:
        self.clock.at(now + seconds, Then(what, *arguments), 0)

    def open(self, cluster: Cluster, host: Host, now: float) -> None:
        self.decisions.append((now, "open", host.name, None))
        key = derive(self.key, self.connections)
        self.connections += 1
        works = u01(key, 0) >= FAILS
        self.later(0.03 * u01(key, 1), now, cluster.opened if works else cluster.failed, host)

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt)
        self.decisions.append((now, "send", stream.key, stream.host_sent().name))
        stream.exchange = self
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
        if attempt.exchange is None:
            return
        attempt.exchange = None
        closes = u01(attempt.key, 3) < CLOSES
        attempt.closing = closes and u01(attempt.key, 4) < 0.5
        attempt.respond(status, flag, cause, now)
        if closes and not attempt.closing and cause == RESPONSE:
            self.later(0.02 * u01(attempt.key, 5), now, self.close_idle, attempt)

    def begin_body(self, attempt: Attempt, now: float) -> None:
        if attempt.exchange is None:
            return
        attempt.exchange = None
        attempt.lasting = True
        attempt.respond(200, NO_FLAG, RESPONSE, now)
        self.later(0.2 * u01(attempt.key, 6), now, self.end_body, attempt)

    def end_body(self, attempt: Attempt, now: float) -> None:
        attempt.detach(u01(attempt.key, 7) < 0.8, now)

    def close_idle(self, attempt: Attempt, now: float) -> None:
        host = attempt.host_sent()
        if host.idle > 0:
            attempt.cluster.closed(host, now)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt)
        self.decisions.append((now, "abandon", stream.key, None))
        stream.exchange = None


class Maker(Owner):
    """Who makes one call."""

    def __init__(self, caller: Caller) -> None:
        self.span = 0
        self.caller = caller

    def answered(self, call: Call, now: float) -> None:
        what = (call.status, flag_names(call.flags), call.sent)
        self.caller.decisions.append((now, "answer", call.key, what))


class Caller:
    """The proxy under test, and who makes calls through it."""

    def __init__(self, clock: Clock, scenario: Scenario, seed: int) -> None:
        self.clock = clock
        self.key = derive(seed, 1)
        self.decisions: list[Decision] = []
        self.recorder = RowRecorder(10.0)
        script = Script(clock, derive(seed, 2), self.decisions)
        site = Site(clock, self.recorder, Tracer(), script, Dataplane(), 0, seed, Custom())
        targets = [Target(place.number, place.name, place.version) for place in places(scenario)]
        self.route = ConfiguredRoute(site, "cart", 0, targets, scenario.policy("client", "cart"))
        self.rate = scenario.load[0].rate or 1.0

    def begin(self) -> None:
        """Puts all calls on the clock."""
        time = 0.0
        for number in range(CALLS):
            key = derive(self.key, number)
            time -= log(1.0 - u01(key, 100)) / self.rate
            self.clock.at(time, Then(self.call, key), 0)

    def call(self, key: Key, now: float) -> None:
        call = Call(self.route.route, Maker(self), Request(-1, key, now, 0, False), key, False, now)
        if u01(key, 101) < 0.2:  # its body is still coming
            call.uploading = True
            call.replayable = False
            self.clock.at(now + 0.1 * u01(key, 102), Then(self.uploaded, call), 0)
        call.begin(now)
        if u01(key, 103) < GONE:
            self.clock.at(now + 0.1 * u01(key, 104), Then(call.cancel), 0)

    def uploaded(self, call: Call, now: float) -> None:
        call.replayable = True
        call.uploaded(now)

    def check_at_rest(self) -> None:
        """Nothing is left when all is over, but attempts that nobody ever answers."""
        self.decisions.extend(
            (time, "eject", edge, replica) for time, edge, replica in self.recorder.ejections
        )
        for cluster in self.route.clusters.values():
            breaker = cluster.breaker
            silent = sum(host.active for host in cluster.hosts)
            assert breaker.active == silent
            assert breaker.connections == sum(host.connections for host in cluster.hosts)
            assert silent or breaker.pending == 0
