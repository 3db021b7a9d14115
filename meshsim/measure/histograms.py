"""A run that kept counts, histograms and time series, and no rows: `meshsim.mesh.streams` fills them.

What has been counted is the measured time as the scenario says it, and bins of the run's grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from meshsim.measure.answers import Totals
from meshsim.measure.flow import COUNTS, BinnedFlow, Ended, fitted
from meshsim.measure.grid import Floats, Ints, Window
from meshsim.measure.latency import Latencies
from meshsim.measure.measurements import Measurements
from meshsim.measure.sample import Outcomes, Sample, Tries


@dataclass(slots=True)
class Flows:
    """What passed the members of one kind, bin by bin.

    Attributes:
        counts: (members, bins) by the names in :data:`meshsim.measure.flow.COUNTS`; `ended` in any way.
        present: (members, bins) the integral of how many there were, s.
        total: (members, bins) sum of latencies of what was completed, s.
        member, bin: (n,) where latencies were counted in a bucket.
        latency: (n,) the bucket's value, s.
        times: (n,) how many.
    """

    counts: dict[str, Ints]
    present: Floats
    total: Floats
    member: Ints
    bin: Ints
    latency: Floats
    times: Ints

    def binned(self, edges: Floats) -> BinnedFlow:
        """The same for the bins between these edges; the last bin holds all the rest."""
        bins, width = len(edges) - 1, np.diff(edges)
        present = fitted(self.present, bins)
        return BinnedFlow(
            {name: fitted(self.counts[name], bins) for name in COUNTS},
            Ended(
                self.member * bins + np.minimum(self.bin, bins - 1),
                self.latency,
                self.times,
                fitted(self.total, bins).ravel(),
            ),
            np.divide(present, width, out=np.zeros_like(present), where=width > 0),
        )


@dataclass(slots=True)
class Histograms(Measurements):
    """A run without rows.

    Attributes:
        requests, ok_latency, calls, tries, visits, routes, arrivals: as in `meshsim.measure.sample.Sample`.
        client, services, links: what passed the client, the services in order of the scenario, the edges.
        ejected: ejections in the measured time and the drain, by (edge index, replica index); `ejections`
            is empty.
        certified: likewise, what became of certificates; `certificates` is empty.
        connected: likewise, what became of connections, by edge index; `connections` is empty.
        totals: what was counted from the start of the run.
    """

    requests: Outcomes
    ok_latency: Latencies
    calls: list[Outcomes]
    tries: list[Tries]
    visits: list[Outcomes]
    routes: dict[tuple[int, str], tuple[Outcomes, Tries]]
    arrivals: dict[tuple[str, str], Outcomes]
    client: Flows
    services: Flows
    links: Flows
    ejected: dict[tuple[int, int], int]
    certified: dict[str, int]
    connected: dict[int, dict[str, int]]
    totals: Totals

    def sample(self, window: Window) -> Sample:
        """What was counted, in the window that it was counted in."""
        ejections = np.zeros(len(self.replicas), np.int64)
        for (_, replica), times in self.ejected.items():
            ejections[replica] += times
        return Sample(
            time=window.length,
            edges=self.edges,
            replicas=self.replicas,
            requests=self.requests,
            ok_latency=self.ok_latency,
            calls=self.calls,
            tries=self.tries,
            visits=self.visits,
            busy=window.of(self.busy),
            queued=window.of(self.queued),
            present=self.present(np.array([window.start, window.end]))[:, 0],
            ejections=ejections,
            certificates=None if self.certificates is None else self.certified,
            connections=self.connected,
            routes=self.routes,
            arrivals=self.arrivals,
        )

    def flows(self, edges: Floats) -> Iterator[BinnedFlow]:
        return (flows.binned(edges) for flows in (self.client, self.services, self.links))

    def in_flight(self, window: Window) -> Floats:
        """As linear within each bin."""
        return window.quarters(self.client.present[0], self.grid)

    def requested(self, window: Window) -> int:
        return int(window.of(self.client.counts["offered"])[0])

    def visited(self, service: str, window: Window) -> tuple[int, int]:
        place, counts = self.service_names.index(service), self.services.counts
        return int(window.of(counts["offered"])[place]), int(window.of(counts["ended"])[place])
