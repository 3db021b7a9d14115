"""From the counts of a recorder that keeps no rows to :class:`meshsim.measure.histograms.Histograms`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from meshsim.measure.answers import Answers, Totals
from meshsim.measure.grid import Ints
from meshsim.measure.histograms import Flows, Histograms
from meshsim.measure.latency import Buckets
from meshsim.measure.sample import Outcomes, Tries
from meshsim.mesh import streams, totals
from meshsim.mesh.certificate import CERTIFICATE_EVENTS
from meshsim.mesh.connection import COUNTED
from meshsim.mesh.histogram import BUCKETS, Histogram, representative
from meshsim.mesh.streams import PACKED, WHATS, Flow, StreamRecorder
from meshsim.mesh.totals import ANSWERS, CODES
from meshsim.policies.outcome import flag_names
from meshsim.scenario.topology import Topology

Part = TypeVar("Part")
VALUES = np.array([representative(number) for number in range(BUCKETS)])
"""What each bucket stands for, s."""


def histograms(
    recorder: StreamRecorder, topology: Topology, end: float, common: dict[str, Any]
) -> Histograms:
    """What has been counted up to `end`, s; the run may go on. `common` are the fields of `Measurements`."""
    recorder.put_away()
    bins = max(recorder.bin + 1, common["grid"].last)
    calls = [_outcomes(each) for each in recorder.calls]
    tries = [Tries(each.total, each.retries, each.hedges, each.originals) for each in recorder.tries]
    visits = [_outcomes(each) for each in recorder.visits]
    named = [
        number for number, (_, service, _) in enumerate(topology.routes) if service in topology.with_endpoints
    ]
    return Histograms(
        **common,
        requests=_outcomes(recorder.requests),
        ok_latency=buckets(recorder.ok_latency),
        calls=[*map(Outcomes.pooled, _grouped(calls, topology.edge_of))],
        tries=[*map(Tries.pooled, _grouped(tries, topology.edge_of))],
        visits=[*map(Outcomes.pooled, _grouped(visits, [replica for replica, _ in topology.places]))],
        routes={
            (topology.edge_of[number], topology.routes[number][2]): (calls[number], tries[number])
            for number in named
        },
        arrivals=_arrivals(visits, topology),
        client=_flows([recorder.client], bins, end),
        services=_flows(recorder.services, bins, end),
        links=_flows(recorder.edges, bins, end),
        ejected={divmod(place, recorder.replicas): times for place, times in recorder.ejected_from.items()},
        certified={CERTIFICATE_EVENTS[what]: times for what, times in recorder.certificates.items()},
        connected=_connected(recorder.connections),
        totals=_totals(recorder.totals, topology),
    )


def _totals(found: totals.Totals, topology: Topology) -> Totals:
    """What was counted from the start of the run, by edge, and by version of a service."""
    calls: Counter[tuple[int, str, int, str]] = Counter()
    visits: Counter[tuple[str, str, int]] = Counter()
    versions = [topology.labels[replica][:2] for replica, _ in topology.places]
    for number, times in enumerate(found.good_calls):
        if times:
            calls[*_answered(number, found, topology), 200, ""] += times
    for number, times in found.other_calls.items():
        of, flags = divmod(number, 1 << ANSWERS)
        call, status = divmod(of, CODES)
        calls[*_answered(call, found, topology), status, flag_names(flags)] += times
    for place, times in enumerate(found.good_visits):
        visits[*versions[place], 200] += times
    for number, times in found.other_visits.items():
        place, status = divmod(number, CODES)
        visits[*versions[place], status] += times
    return Totals(
        [
            Answers(edge, topology.edges[edge][1], version, status, flags, np.array([times], float))
            for (edge, version, status, flags), times in calls.items()
            if times
        ],
        [
            Answers(None, service, version, status, "", np.array([times], float))
            for (service, version, status), times in visits.items()
            if times
        ],
        found.ejections,
    )


def _answered(number: int, found: totals.Totals, topology: Topology) -> tuple[int, str]:
    """The edge of calls that are counted together, and the version that answered, if there are several."""
    route, version = divmod(number, found.versions)
    edge = topology.edge_of[route]
    if not version:
        return edge, ""
    return edge, [*topology.scenario.services[topology.edges[edge][1]].deployments()][version - 1]


def _connected(counts: dict[int, int]) -> dict[int, dict[str, int]]:
    """What became of tracked connections, by edge."""
    found: dict[int, dict[str, int]] = {}
    for number, times in counts.items():
        edge, what = divmod(number, WHATS)
        found.setdefault(edge, {})[COUNTED[what]] = times
    return found


def _grouped(each: Sequence[Part], group: Sequence[int]) -> list[list[Part]]:
    """What belongs to each group, by its number."""
    found: list[list[Part]] = [[] for _ in range(max(group) + 1)]
    for number, part in zip(group, each, strict=True):
        found[number].append(part)
    return found


def _arrivals(visits: list[Outcomes], topology: Topology) -> dict[tuple[str, str], Outcomes]:
    """Visits by service and endpoint, of services that have endpoints."""
    found: dict[tuple[str, str], list[Outcomes]] = {}
    for (replica, endpoint), each in zip(topology.places, visits, strict=True):
        service = topology.replicas[replica].service
        if service in topology.with_endpoints:
            found.setdefault((service, topology.endpoints[service][endpoint]), []).append(each)
    return {key: Outcomes.pooled(parts) for key, parts in found.items()}


def _outcomes(found: streams.Outcomes) -> Outcomes:
    reasons = {
        (flag_names(word) if word > 0 else str(-word)): times for word, times in sorted(found.reasons.items())
    }
    return Outcomes(found.arrived, found.ok, found.failed, found.cancelled, buckets(found.latency), reasons)


def buckets(histogram: Histogram) -> Buckets:
    """Its counts, with what each bucket stands for."""
    counts = np.array(histogram.counts, dtype=np.int64)
    some = np.flatnonzero(counts)
    values = VALUES[histogram.low + some]
    values[histogram.low + some == BUCKETS - 1] = histogram.most  # that bucket has no upper edge
    return Buckets(values, counts[some], histogram.total, histogram.least, histogram.most)


def _flows(flows: Sequence[Flow], bins: int, end: float) -> Flows:
    """The flows of one kind, as far as so many bins."""
    counts = {
        name: _table([getattr(flow, name) for flow in flows], bins, np.int64)
        for name in ("offered", "ok", "failed", "cancelled", "attempts", "retries", "hedges", "originals")
    }
    counts["completed"] = counts["ok"] + counts["failed"]
    counts["ended"] = counts["completed"] + counts.pop("cancelled")
    for flow in flows:
        flow.present.add(0, end)
    present = [flow.present.bins for flow in flows]
    packed = [np.array(flow.packed, dtype=np.int64)[: flow.rows] for flow in flows]
    times, numbers = np.divmod(np.concatenate(packed), PACKED)
    return Flows(
        counts=counts,
        present=_table(present, max(bins, *(len(column) for column in present)), np.float64),
        total=_table([flow.total for flow in flows], bins, np.float64),
        member=np.repeat(np.arange(len(flows)), [flow.rows for flow in flows]),
        bin=np.concatenate([_bins(flow, bins) for flow in flows]),
        latency=VALUES[numbers],
        times=times,
    )


def _table(columns: Sequence[Any], bins: int, kind: type) -> Any:
    """(columns, bins): the first bins of each column, 0 where it is shorter."""
    table: Any = np.zeros((len(columns), bins), kind)
    for row, column in zip(table, columns, strict=True):
        known = np.asarray(column)[:bins]
        row[: len(known)] = known
    return table


def _bins(flow: Flow, bins: int) -> Ints:
    """(rows,) the bin of each packed number."""
    ends = np.maximum.accumulate(np.array(flow.ends, dtype=np.int64)[:bins])
    return np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
