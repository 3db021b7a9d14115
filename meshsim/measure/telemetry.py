"""The metrics of a run, as its proxies' pages would have them: Istio's and Envoy's series.

    rows ─────────► answers, each with its durations ─┐            ┌─ at the end ─► metrics.prom
    histograms ───► answers; durations of all codes ──┴► metrics ──┴─ over time ──► metrics.om

They count the whole run, warm-up included, as proxies do. What a run does not know is left out: sizes of
bodies, gauges, and of histograms what docs/guides/observability.md says. Of histograms only the end is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from meshsim.measure import istio
from meshsim.measure.answers import Answers, Durations
from meshsim.measure.exposition import MetricOverTime, latest, page
from meshsim.measure.grid import Floats, Ints, Truths
from meshsim.measure.histograms import Flows, Histograms
from meshsim.measure.measurements import Measurements
from meshsim.measure.openmetrics import document
from meshsim.measure.over_time import AT_END, before, counted
from meshsim.measure.pilot import control_plane_over_time
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

UNCONNECTED = frozenset(["UH", "UF", "UO", "NC", "NR", "FI", "RL"])
"""Flags of answers for which no connection was used: nobody has shown a certificate."""
PROXYS_OWN = UNCONNECTED | {"UC", "UT", "UPE", "DC", "DPE", "SI"}
"""Flags of answers that are no upstream's: no version of it has answered."""
BOUNDS = np.array(istio.BOUNDS_MS)


def metrics_page(record: Measurements, scenario: Scenario) -> bytes:
    """The page of a run at its end; see `metrics`."""
    return page(latest(metrics(record, scenario, AT_END)))


def metrics_document(record: Records, scenario: Scenario, step: float, began: float) -> Iterator[bytes]:
    """The same as OpenMetrics, each `step` seconds until all is over; it `began` so many s after 1970."""
    times: Floats = step * np.arange(math.ceil(record.end / step) + 1, dtype=np.float64)
    return document(metrics(record, scenario, times), times, began)


def metrics(record: Measurements, scenario: Scenario, times: Floats) -> list[MetricOverTime]:
    """The metrics of all proxies of a run up to each of (T,) `times`, s, the last of which is after all.

    Their order does not depend on chance.
    """
    topology = Topology(scenario)
    told = _Told(scenario, topology)
    requests, durations = MetricOverTime(*istio.REQUESTS), MetricOverTime(*istio.DURATION)
    for reporter, each in (
        (istio.SOURCE, _calls(record, times)),
        (istio.DESTINATION, _visits(record, topology, times)),
    ):
        for labels, answers in told.series(reporter, each):
            lasted = answers.durations
            if answers.count is not None:
                requests.add(labels, answers.count)
            if lasted is not None:
                durations.add_histogram(labels, istio.BOUNDS_MS, lasted.counts, lasted.total_ms)
    return [
        requests, durations, *_clusters(record, times), *_security(record, times),
        *control_plane_over_time(record.pushes, times),
    ]  # fmt: skip


# ---- what each reporter says ----------------------------------------------------------------------------


class _Told:
    """What proxies of a scenario say about requests: who called, of which version, proven or not."""

    def __init__(self, scenario: Scenario, topology: Topology) -> None:
        pushes = (number for number, event in enumerate(scenario.events) if event.set)
        stages = [scenario, *map(scenario.policies_after, pushes)]
        self.edges = topology.edges
        self.secured = [{stage.secures(*edge) for stage in stages} for edge in topology.edges]
        self.sidecar = {name: scenario.has_sidecar(name) for name in scenario.services}
        self.versions = {name: list(each.deployments()) for name, each in scenario.services.items()}

    def version(self, service: str) -> str:
        """Of a service with one, ``v1`` if it has no name; else unknown."""
        versions = self.versions.get(service, ["", ""])
        return (versions[0] or "v1") if len(versions) == 1 else istio.UNKNOWN

    def series(self, reporter: str, each: Iterable[Answers]) -> Iterable[tuple[dict[str, str], Answers]]:
        """Answers with their labels; what proxies can't tell apart, as versions that reset, is one series."""
        found: dict[tuple[str, ...], tuple[dict[str, str], Answers]] = {}
        for answers in each:
            labels = self.labels(reporter, answers)
            if labels is not None:
                key = tuple(labels.values())
                found[key] = labels, found[key][1].plus(answers) if key in found else answers
        return found.values()

    def labels(self, reporter: str, answers: Answers) -> dict[str, str] | None:
        """The labels of the series of some answers; None where nobody is there to report them."""
        service, flags = answers.service, set(answers.flags.split(","))
        caller = istio.UNKNOWN if answers.edge is None else self.edges[answers.edge][0]
        if reporter == istio.DESTINATION:
            if not self.sidecar[service]:
                return None
            version = answers.version or self.version(service)
        else:
            own = flags & PROXYS_OWN
            version = istio.UNKNOWN if own else answers.version or self.version(service)
        source_version = self.version(caller) if caller in self.versions else istio.UNKNOWN
        secured = self._secured(answers.edge, service)
        proven = secured is True and not flags & UNCONNECTED
        found = istio.labels(reporter, caller, source_version, service, version, proven)
        if secured is None and reporter == istio.DESTINATION:
            found["connection_security_policy"] = istio.UNKNOWN
        return found if answers.code is None else istio.answered(found, answers.code, answers.flags)

    def _secured(self, edge: int | None, service: str) -> bool | None:
        """Whether an edge, or all to a service, use mTLS; None where that differs, or changes in the run."""
        numbers = [n for n, (_, to) in enumerate(self.edges) if to == service] if edge is None else [edge]
        found = set().union(*(self.secured[number] for number in numbers))
        return found.pop() if len(found) == 1 else None


# ---- how requests were answered ---------------------------------------------------------------------------


def _calls(record: Measurements, times: Floats) -> Iterator[Answers]:
    """As their callers' proxies saw it."""
    services = [service for _, service in record.edges]
    if isinstance(record, Histograms):
        for answers in sorted(record.totals.calls, key=_order):
            yield replace(answers, flags=answers.flags if answers.code else "DC")
        for edge, durations in _bucketed(record.links):
            yield Answers(edge, services[edge], "", None, "", None, durations)
    elif isinstance(record, Records):
        rows = record.calls
        over = ~np.isnan(rows.end)
        keys = [rows.edge[over], rows.version[over], np.maximum(rows.status[over], 0), rows.flag[over]]
        ended, lasted = rows.end[over], (rows.end - rows.start)[over]
        for (edge, version, code, flags), durations in _grouped(
            keys, lasted, before(times, ended), len(times)
        ):
            word = str(flags) if code else "DC"
            count = durations.counts.sum(axis=0)
            service = services[int(edge)]
            yield Answers(int(edge), service, str(version), int(code), word, count, durations)


def _visits(record: Measurements, topology: Topology, times: Floats) -> Iterator[Answers]:
    """As the proxies of the replicas saw it."""
    if isinstance(record, Histograms):
        for answers in sorted(record.totals.visits, key=_order):
            yield replace(answers, version=answers.version or "v1", flags="" if answers.code else "DC")
        for service, durations in _bucketed(record.services):
            yield Answers(None, record.service_names[service], "", None, "", None, durations)
    elif isinstance(record, Records):
        rows = record.attempts
        over = ~np.isnan(rows.answered) & ~np.isnan(rows.arrived) & ~_refused(record, topology)
        labels = record.replicas
        versions = sorted({(service, version) for service, version, _ in labels})
        place = np.array([versions.index((service, version)) for service, version, _ in labels], np.int64)
        keys = [rows.edge[over], place[rows.replica[over]], np.maximum(rows.status[over], 0)]
        ended, lasted = rows.answered[over], (rows.answered - rows.arrived)[over]
        for (edge, of, code), durations in _grouped(keys, lasted, before(times, ended), len(times)):
            name, version = versions[int(of)]
            count, flags = durations.counts.sum(axis=0), "" if code else "DC"
            yield Answers(int(edge), name, version or "v1", int(code), flags, count, durations)


def _order(answers: Answers) -> tuple[object, ...]:
    return answers.edge, answers.service, answers.version, answers.code, answers.flags


def _refused(record: Records, topology: Topology) -> Truths:
    """Attempts that reached no proxy, since the pod was gone: a replica that is down answers at once, 503."""
    rows = record.attempts
    found: Truths = (rows.answered == rows.arrived) & (rows.status == 503)
    if not found.any():
        return found
    gone = np.zeros(len(found), np.bool_)
    for event in topology.scenario.events:
        if event.down:
            affected = [replica.number for replica in topology.affected_by(event)]
            end = np.inf if event.lasts is None else event.at + event.lasts
            gone |= np.isin(rows.replica, affected) & (rows.arrived >= event.at) & (rows.arrived <= end)
    for replica, _, until in record.lives:
        gone |= (rows.replica == replica) & (rows.arrived >= until)
    return gone & found


def _grouped(
    keys: list[Ints], lasted: Floats, ended: Ints, times: int
) -> Iterator[tuple[tuple[Any, ...], Durations]]:
    """Rows with the same keys, by them, with how long they took, s; `ended` is the number of a time."""
    if not len(lasted):
        return
    columns, places = zip(*(np.unique(key, return_inverse=True) for key in keys), strict=True)
    shape = [len(column) for column in columns]
    names, member = np.unique(np.ravel_multi_index(places, shape), return_inverse=True)
    ends = np.cumsum(np.bincount(member))[:-1]
    for number, mine in zip(names, np.split(np.argsort(member, kind="stable"), ends), strict=True):
        key = tuple(column[at] for column, at in zip(columns, np.unravel_index(number, shape), strict=True))
        yield key, _durations(lasted[mine], np.ones(len(mine), np.int64), ended[mine], times)


def _bucketed(flows: Flows) -> Iterator[tuple[int, Durations]]:
    """How long what passed took, by member; the sum is exact, buckets are within 0.5 %."""
    for member, total in enumerate(flows.total):
        mine = flows.member == member
        count = flows.times[mine]
        if count.any():
            found = _durations(flows.latency[mine], count, np.zeros(len(count), np.int64), 1)
            yield member, replace(found, total_ms=np.array([total.sum() * 1e3]))


def _durations(lasted: Floats, count: Ints, ended: Ints, times: int) -> Durations:
    """How long rows `lasted`, s, that `count` so many times, up to each of so many `times`."""
    lasted_ms = lasted * 1e3
    bucket, size = np.searchsorted(BOUNDS, lasted_ms), len(BOUNDS) + 1
    counts = np.bincount(bucket * times + ended, count, size * times).reshape(size, times)
    return Durations(counts.cumsum(axis=1), np.bincount(ended, count * lasted_ms, times).cumsum())


# ---- clusters, certificates -------------------------------------------------------------------------------


def _clusters(record: Measurements, times: Floats) -> Iterator[MetricOverTime]:
    """What callers' proxies count of their upstreams; `app` is the caller, as on a merged page."""
    tries: dict[str, Floats]
    size = len(record.edges)
    if isinstance(record, Histograms):
        counts = record.links.counts
        tries = {
            name: counts[name].sum(axis=1, keepdims=True).astype(np.float64)
            for name in ("attempts", "retries", "hedges")
        }
        tries["ejections"] = np.array([[record.totals.ejections.get(edge, 0.0)] for edge in range(size)])
    elif isinstance(record, Records):
        rows, kind = record.attempts, record.attempts.kind
        each = {"attempts": kind >= 0, "retries": kind == 1, "hedges": kind == 2}
        tries = {name: counted(times, rows.sent[of], rows.edge[of], size) for name, of in each.items()}
        at, edge = _columns(record.ejections)
        tries["ejections"] = counted(times, at, edge, size)
    else:
        return
    for name, numbers in tries.items():
        metric = MetricOverTime(*istio.CLUSTER[name])
        for (caller, service), number in zip(record.edges, numbers, strict=True):
            metric.add({"app": caller, istio.CLUSTER_LABEL: service}, number)
        yield metric


def _security(record: Measurements, times: Floats) -> Iterator[MetricOverTime]:
    """What became of certificates, where there are any and they were written down."""
    if record.certificates is not None and isinstance(record, Records):
        metric, events = MetricOverTime(*istio.CERTIFICATES), ("signed", "refused", "expired")
        found = [(at, events.index(what)) for at, _, what in record.certificates if what in events]
        for event, number in zip(events, counted(times, *_columns(found), len(events)), strict=True):
            metric.add({"event": event}, number)
        yield metric


def _columns(rows: list[tuple[float, int]] | list[tuple[float, int, int]]) -> tuple[Floats, Ints]:
    """The times of events, and the number beside each."""
    return np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.int64)
