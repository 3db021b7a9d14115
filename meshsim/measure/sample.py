"""The measured part of one run, or of several replications put together: counts and latencies.

A request belongs to the window by its start, and its calls and attempts follow it wherever in time they
fall; the time of workers and waiting rooms follows the clock over the window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from meshsim.measure.grid import Floats, Ints
from meshsim.measure.latency import Latencies, pool
from meshsim.scenario.model import CLIENT

DENIED = "403"
"""The reason of visits that access rules denied."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How what arrived at one member ended: the client's requests, an edge's calls, a replica's visits.

    Attributes:
        ok, failed: ended with a status below 400; with another.
        cancelled: were dropped or cancelled.
        latency: of those that are ok or failed.
        reasons: how often each occurred: flags, or of failures without any the status; of visits `DENIED`
            alone.
    """

    arrived: int
    ok: int
    failed: int
    cancelled: int
    latency: Latencies
    reasons: dict[str, int]

    @property
    def unfinished(self) -> int:
        """How many never ended."""
        return self.arrived - self.ok - self.failed - self.cancelled

    @classmethod
    def pooled(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Those of several members together."""
        if len(parts) == 1:
            return parts[0]
        reasons = sum((Counter(part.reasons) for part in parts), Counter[str]())
        return cls(
            sum(part.arrived for part in parts),
            sum(part.ok for part in parts),
            sum(part.failed for part in parts),
            sum(part.cancelled for part in parts),
            pool([part.latency for part in parts]),
            dict(reasons),
        )


class Tries(NamedTuple):
    """Attempts that were sent; `originals` have no retry or hedge in their ancestry."""

    total: int
    retries: int
    hedges: int
    originals: int

    @classmethod
    def pooled(cls, parts: Iterable[Tries]) -> Tries:
        """All of them."""
        return cls(*map(sum, zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Sample:
    """What is measured, of all replications together.

    Attributes:
        time: measured time of all of them, s; rates divide by it.
        edges, replicas: as in `Measurements`.
        requests: of the client; `ok_latency` of those that are ok.
        calls, tries: by edge.
        visits: of attempts to each replica, from arrival to answer.
        busy, queued: (replicas,) worker-seconds; attempt-seconds in the waiting room.
        present: (replicas,) how long each was there, s.
        ejections: (replicas,) how often each was ejected, by any caller's proxy.
        certificates: what became of them, how often each; None where there are none.
        connections: by edge, what became of tracked ones, by any caller's proxy: how often each.
        routes: calls and tries by edge and endpoint, of edges to a service that has endpoints.
        arrivals: visits by service and endpoint, of those services.
    """

    time: float
    edges: list[tuple[str, str]]
    replicas: list[tuple[str, str, str]]
    requests: Outcomes
    ok_latency: Latencies
    calls: list[Outcomes]
    tries: list[Tries]
    visits: list[Outcomes]
    busy: Floats
    queued: Floats
    present: Floats
    ejections: Ints
    certificates: dict[str, int] | None = None
    connections: dict[int, dict[str, int]] = field(default_factory=dict)
    routes: dict[tuple[int, str], tuple[Outcomes, Tries]] = field(default_factory=dict)
    arrivals: dict[tuple[str, str], Outcomes] = field(default_factory=dict)

    @classmethod
    def pooled(cls, samples: Sequence[Sample]) -> Sample:
        """The samples of replications together."""
        return cls(
            time=sum(sample.time for sample in samples),
            edges=samples[0].edges,
            replicas=samples[0].replicas,
            requests=Outcomes.pooled([sample.requests for sample in samples]),
            ok_latency=pool([sample.ok_latency for sample in samples]),
            calls=[*map(Outcomes.pooled, zip(*(each.calls for each in samples), strict=True))],
            tries=[*map(Tries.pooled, zip(*(each.tries for each in samples), strict=True))],
            visits=[*map(Outcomes.pooled, zip(*(each.visits for each in samples), strict=True))],
            busy=np.sum([sample.busy for sample in samples], axis=0),
            queued=np.sum([sample.queued for sample in samples], axis=0),
            present=np.sum([sample.present for sample in samples], axis=0),
            ejections=np.sum([sample.ejections for sample in samples], axis=0),
            certificates=_added([sample.certificates for sample in samples]),
            connections={
                edge: dict(sum((Counter(each.connections.get(edge)) for each in samples), Counter[str]()))
                for edge in sorted({edge for each in samples for edge in each.connections})
            },
            routes={
                key: (
                    Outcomes.pooled([sample.routes[key][0] for sample in samples]),
                    Tries.pooled([sample.routes[key][1] for sample in samples]),
                )
                for key in samples[0].routes
            },
            arrivals={
                key: Outcomes.pooled([sample.arrivals[key] for sample in samples])
                for key in samples[0].arrivals
            },
        )

    def answered(self, service: str, endpoint: str | None = None) -> Latencies:
        """Latencies of the client's answered requests to a service it calls, or to one of its endpoints."""
        edge = self.edges.index((CLIENT, service))
        return (self.calls[edge] if endpoint is None else self.routes[edge, endpoint][0]).latency


def _added(counts: Sequence[dict[str, int] | None]) -> dict[str, int] | None:
    """The sums of counts by name; None where there are none."""
    known = [Counter(each) for each in counts if each is not None]
    return dict(sum(known, Counter[str]())) if known else None
