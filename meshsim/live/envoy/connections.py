"""What becomes of an Envoy's tracked connections, read from its statistics, which know no times.

They are read once a second, and where the warm-up and the load end. What they have grown by has the time of
the reading before, so that each lies on its own side of those ends.

What an upstream refuses, its own Envoy counts, and does not say whose it was: it is put down to the one edge
that can have been it, and to none where there are several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from math import ceil

from meshsim.live.envoy.process import Envoy
from meshsim.live.envoy.proxy import INBOUND
from meshsim.live.envoy.resources import CLUSTER_OF
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.connection import COUNTED
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

EVERY = 1.0
"""s."""
CX = CLUSTER_OF + "(upstream_cx_|ssl\\.(handshake|fail_verify))"
ENDS = {"idle_timeout": "idle_timeout", "max_requests": "max_requests", "max_age": "max_duration_reached"}
PLAINTEXT, UNTRUSTED = "no_filter_chain_match", "ssl\\.fail_verify_(error|san|no_cert)"
"""What a strict listener counts of plaintext, and of certificates that it does not accept."""


class ConnectionCounts:
    """What is known of the connections of an Envoy since `now`, s, as `rows` of (time, edge, what)."""

    def __init__(self, envoy: Envoy, topology: Topology, now: float = 0.0) -> None:
        self.envoy = envoy
        self.rows: list[tuple[float, int, int]] = []
        own = envoy.proxy.caller
        edges = {topology.number_of[own, service]: service for service in envoy.proxy.upstreams}
        self.edges = {edge: service for edge, service in edges.items() if topology.tracked[edge]}
        self.inward = inward(topology, own) if INBOUND in envoy.proxy.listeners else {}
        self._before = {edge: [0] * len(COUNTED) for edge in (*self.edges, *self.inward)}
        self._read_at = now

    def read(self, now: float) -> None:
        """Asks the Envoy; if it does not answer, the next reading finds what this one would have."""
        try:
            found = {
                edge: counts(self.envoy.stats(CX.format(service))) for edge, service in self.edges.items()
            }
            for edge, name in self.inward.items():
                refused = sum(self.envoy.stats(f"^listener\\.{INBOUND}\\.{name}$").values())
                found[edge] = of_names({"rejected": refused})
        except OSError:  # it has ended, or is stuck: whoever settles or stops it says so
            return
        for edge, now_there in found.items():
            before = self._before[edge]
            for what, count in enumerate(now_there):
                self.rows += [(self._read_at, edge, what)] * (count - before[what])
            self._before[edge] = list(map(max, now_there, before))
        self._read_at = now


def without_rejected(each: Iterable[ConnectionCounts]) -> None:
    """Takes connections that were rejected off `secured`: their callers have counted their handshakes."""
    each = list(each)
    secured, rejected = COUNTED.index("secured"), COUNTED.index("rejected")
    refused = Counter((time, edge) for one in each for time, edge, what in one.rows if what == rejected)
    for one in each:
        kept = []
        for row in one.rows:
            time, edge, what = row
            if what == secured and refused[time, edge] > 0:
                refused[time, edge] -= 1
            else:
                kept.append(row)
        one.rows = kept


class Reading(Event):
    """Reads the counts of all Envoys, again and again."""

    def __init__(self, clock: Clock, each: Collection[ConnectionCounts], scenario: Scenario) -> None:
        self.each = each
        times = {scenario.duration, *(second * EVERY for second in range(ceil(scenario.duration / EVERY)))}
        if scenario.warmup != "auto":
            times.add(scenario.warmup)
        for when in sorted(times) if any(one.edges or one.inward for one in self.each) else ():
            clock.at(when, self, 0)

    def fire(self, step: int, now: float) -> None:
        for one in self.each:
            one.read(now)


def counts(stats: Mapping[str, int]) -> list[int]:
    """Of a service's clusters together; what became of connections has the numbers of `COUNTED`."""

    def total(name: str) -> int:
        return sum(value for key, value in stats.items() if key.endswith(f".{name}"))

    failed = total("upstream_cx_connect_fail")
    refused = failed - total("upstream_cx_connect_timeout")  # which the other side has ended
    raced = total("upstream_cx_destroy_remote_with_active_rq")
    return of_names(
        {
            "opened": total("upstream_cx_total") - failed,
            "failed": failed,
            **{what: total(f"upstream_cx_{name}") for what, name in ENDS.items()},
            "server": total("upstream_cx_destroy_remote") - raced - refused,
            "broken": total("upstream_cx_destroy_with_active_rq"),
            "secured": total("ssl.handshake"),
            "untrusted": total("ssl.fail_verify_error") + total("ssl.fail_verify_san"),
        }
    )


def of_names(found: Mapping[str, int]) -> list[int]:
    """Counts by name, in the order of `COUNTED`."""
    return [found.get(name, 0) for name in COUNTED]


def inward(topology: Topology, service: str) -> dict[int, str]:
    """By what the refused connections of edges to a service are counted, of those that can be no other's."""
    found = {}
    for what, secured in ((PLAINTEXT, False), (UNTRUSTED, True)):
        edge = topology.lone_edge(service, secured=secured)
        if topology.scenario.mesh.mtls is not None and edge is not None and topology.tracked[edge]:
            found[edge] = what
    return found
