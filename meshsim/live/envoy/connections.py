"""What becomes of an Envoy's tracked connections, read from its statistics, which know no times.

They are read once a second, and where the warm-up and the load end. What they have grown by has the time of
the reading before, so that each lies on its own side of those ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from meshsim.live.envoy.process import Envoy
from meshsim.live.envoy.resources import CLUSTER_OF
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.connection import (
    BROKEN_OFF,
    COUNTED,
    FAILED,
    IDLE_TIMEOUT,
    MAX_AGE,
    MAX_REQUESTS,
    OPENED,
    SERVER_CLOSED,
)
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

EVERY = 1.0
"""s."""
CX = CLUSTER_OF + "upstream_cx_"
ENDS = {IDLE_TIMEOUT: "idle_timeout", MAX_REQUESTS: "max_requests", MAX_AGE: "max_duration_reached"}


class ConnectionCounts:
    """What is known of the connections of an Envoy so far, as `rows` of (time, edge, what)."""

    def __init__(self, envoy: Envoy, topology: Topology) -> None:
        self.envoy = envoy
        self.rows: list[tuple[float, int, int]] = []
        edges = {
            topology.number_of[envoy.proxy.caller, service]: service for service in envoy.proxy.upstreams
        }
        self.edges = {edge: service for edge, service in edges.items() if topology.tracked[edge]}
        self._before = {edge: [0] * len(COUNTED) for edge in self.edges}
        self._read_at = 0.0

    def read(self, now: float) -> None:
        """Asks the Envoy; if it does not answer, the next reading finds what this one would have."""
        try:
            stats = {edge: self.envoy.stats(CX.format(service)) for edge, service in self.edges.items()}
        except OSError:  # it has ended, or is stuck: whoever settles or stops it says so
            return
        for edge, each in stats.items():
            before, found = self._before[edge], counts(each)
            for what, count in enumerate(found):
                self.rows += [(self._read_at, edge, what)] * (count - before[what])
            self._before[edge] = list(map(max, found, before))
        self._read_at = now


class Reading(Event):
    """Reads the counts of all Envoys, again and again."""

    def __init__(self, clock: Clock, each: Iterable[ConnectionCounts], scenario: Scenario) -> None:
        self.each = list(each)
        times = {scenario.duration, *(second * EVERY for second in range(ceil(scenario.duration / EVERY)))}
        if scenario.warmup != "auto":
            times.add(scenario.warmup)
        for when in sorted(times) if any(one.edges for one in self.each) else ():
            clock.at(when, self, 0)

    def fire(self, step: int, now: float) -> None:
        for one in self.each:
            one.read(now)


def counts(stats: Mapping[str, int]) -> list[int]:
    """Of a service's clusters together; what became of connections has the numbers of `COUNTED`."""

    def total(name: str) -> int:
        return sum(value for key, value in stats.items() if key.endswith(f".upstream_cx_{name}"))

    failed = total("connect_fail")
    refused = failed - total("connect_timeout")  # which the other side has ended
    found = dict.fromkeys(range(len(COUNTED)), 0)
    found[OPENED] = total("total") - failed
    found[FAILED] = failed
    found |= {what: total(name) for what, name in ENDS.items()}
    found[SERVER_CLOSED] = total("destroy_remote") - total("destroy_remote_with_active_rq") - refused
    found[BROKEN_OFF] = total("destroy_with_active_rq")
    return list(found.values())
