"""The metrics of a run, as its proxies' pages would have them at its end: Istio's and Envoy's series.

    rows ─────────► answers, each with its durations ─┐
    histograms ───► answers; durations of all codes ──┴► metrics ──► metrics.prom

They count the whole run, warm-up included, as proxies do. What a run does not know is left out: sizes of
bodies, gauges, and of histograms what docs/guides/observability.md says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from meshsim.measure import istio
from meshsim.measure.answers import Answers, Durations
from meshsim.measure.exposition import Metric, page
from meshsim.measure.grid import Floats, Ints, Truths
from meshsim.measure.histograms import Flows, Histograms
from meshsim.measure.measurements import Measurements
from meshsim.measure.pilot import control_plane_metrics
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

UNCONNECTED = frozenset(["UH", "UF", "UO", "NC", "NR", "FI", "RL"])
"""Flags of answers for which no connection was used: nobody has shown a certificate."""
PROXYS_OWN = UNCONNECTED | {"UC", "UT", "UPE", "DC", "DPE", "SI"}
"""Flags of answers that are no upstream's: no version of it has answered."""
BOUNDS = np.array(istio.BOUNDS_MS)


def metrics_page(record: Measurements, scenario: Scenario) -> bytes:
    """The page of a run; see `metrics`."""
    return page(metrics(record, scenario))


def metrics(record: Measurements, scenario: Scenario) -> list[Metric]:
    """The metrics of all proxies of a run at its end, in an order that does not depend on chance."""
    topology = Topology(scenario)
    told = _Told(scenario, topology)
    requests, durations = Metric(*istio.REQUESTS), Metric(*istio.DURATION)
    for reporter, each in (
        (istio.SOURCE, _calls(record)),
        (istio.DESTINATION, _visits(record, topology)),
    ):
        for answers in each:
            labels, lasted = told.labels(reporter, answers), answers.durations
            if labels is None:
                continue
            if answers.count:
                requests.add(labels, answers.count)
            if lasted is not None:
                durations.add_histogram(labels, istio.BOUNDS_MS, lasted.counts.tolist(), lasted.total_ms)
    return [
        requests, durations, *_clusters(record), *_security(record), *control_plane_metrics(record.pushes),
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

    def labels(self, reporter: str, answers: Answers) -> dict[str, str] | None:
        """The labels of the series of some answers; None where nobody is there to report them."""
        service, flags = answers.service, set(answers.flags.split(","))
        caller = istio.UNKNOWN if answers.edge is None else self.edges[answers.edge][0]
        if reporter == istio.DESTINATION:
            if not self.sidecar[service]:
                return None
            version = answers.version or self.version(service)
        else:
            version = istio.UNKNOWN if flags & PROXYS_OWN else self.version(service)
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


def _calls(record: Measurements) -> Iterator[Answers]:
    """As their callers' proxies saw it."""
    services = [service for _, service in record.edges]
    if isinstance(record, Histograms):
        yield from sorted(record.totals.calls, key=_order)
        for edge, durations in _bucketed(record.links):
            yield Answers(edge, services[edge], "", None, "", 0, durations)
    elif isinstance(record, Records):
        rows = record.calls
        over = ~np.isnan(rows.end)
        keys = [rows.edge[over], np.maximum(rows.status[over], 0), rows.flag[over]]
        for (edge, code, flags), durations in _grouped(keys, (rows.end - rows.start)[over]):
            word = str(flags) if code else "DC"
            count = int(durations.counts.sum())
            yield Answers(int(edge), services[int(edge)], "", int(code), word, count, durations)


def _visits(record: Measurements, topology: Topology) -> Iterator[Answers]:
    """As the proxies of the replicas saw it."""
    if isinstance(record, Histograms):
        for answers in sorted(record.totals.visits, key=_order):
            yield replace(answers, version=answers.version or "v1", flags="" if answers.code else "DC")
        for service, durations in _bucketed(record.services):
            yield Answers(None, record.service_names[service], "", None, "", 0, durations)
    elif isinstance(record, Records):
        rows = record.attempts
        over = ~np.isnan(rows.answered) & ~np.isnan(rows.arrived) & ~_refused(record, topology)
        labels = record.replicas
        versions = sorted({(service, version) for service, version, _ in labels})
        place = np.array([versions.index((service, version)) for service, version, _ in labels], np.int64)
        keys = [rows.edge[over], place[rows.replica[over]], np.maximum(rows.status[over], 0)]
        for (edge, of, code), durations in _grouped(keys, (rows.answered - rows.arrived)[over]):
            name, version = versions[int(of)]
            count, flags = int(durations.counts.sum()), "" if code else "DC"
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


def _grouped(keys: list[Ints], lasted: Floats) -> Iterator[tuple[tuple[Any, ...], Durations]]:
    """Rows with the same keys, by them, with how long they took, s."""
    if not len(lasted):
        return
    columns, places = zip(*(np.unique(key, return_inverse=True) for key in keys), strict=True)
    shape = [len(column) for column in columns]
    group = np.ravel_multi_index(places, shape)
    names, member = np.unique(group, return_inverse=True)
    found = _durations(member, lasted, np.ones(len(lasted), np.int64), len(names))
    for number, durations in zip(names, found, strict=True):
        key = tuple(column[at] for column, at in zip(columns, np.unravel_index(number, shape), strict=True))
        yield key, durations


def _bucketed(flows: Flows) -> Iterator[tuple[int, Durations]]:
    """How long what passed took, by member; the sum is exact, buckets are within 0.5 %."""
    members = len(flows.total)
    found = _durations(flows.member, flows.latency, flows.times, members)
    for member, durations in enumerate(found):
        if durations.counts.any():
            yield member, replace(durations, total_ms=float(flows.total[member].sum() * 1e3))


def _durations(member: Ints, lasted: Floats, times: Ints, members: int) -> list[Durations]:
    """Of each of so many members, how long each of its rows, which count so many `times`, `lasted`, s."""
    lasted_ms = lasted * 1e3
    bucket, size = np.searchsorted(BOUNDS, lasted_ms), len(BOUNDS) + 1
    counts = np.bincount(member * size + bucket, times, members * size).reshape(members, size)
    totals = np.bincount(member, times * lasted_ms, members)
    return [Durations(row.astype(np.int64), float(total)) for row, total in zip(counts, totals, strict=True)]


# ---- clusters, certificates -------------------------------------------------------------------------------


def _clusters(record: Measurements) -> Iterator[Metric]:
    """What callers' proxies count of their upstreams; `app` is the caller, as on a merged page."""
    found = istio.cluster_metrics()
    tries: dict[str, list[int]]
    if isinstance(record, Histograms):
        counts = record.links.counts
        tries = {name: counts[name].sum(axis=1).tolist() for name in ("attempts", "retries", "hedges")}
        tries["ejections"] = [record.totals.ejections.get(edge, 0) for edge in range(len(record.edges))]
    elif isinstance(record, Records):
        edge, kind, size = record.attempts.edge, record.attempts.kind, len(record.edges)
        each = {"attempts": edge, "retries": edge[kind == 1], "hedges": edge[kind == 2]}
        tries = {name: np.bincount(rows, minlength=size).tolist() for name, rows in each.items()}
        ejected = Counter(edge for _, edge, _ in record.ejections)
        tries["ejections"] = [ejected[edge] for edge in range(size)]
    else:
        return
    for name, counted in tries.items():
        for (caller, service), count in zip(record.edges, counted, strict=True):
            found[name].add({"app": caller, istio.CLUSTER_LABEL: service}, count)
    yield from found.values()


def _security(record: Measurements) -> Iterator[Metric]:
    """What became of certificates, where there are any and they were written down."""
    if record.certificates is not None and isinstance(record, Records):
        metric, times = Metric(*istio.CERTIFICATES), Counter(what for _, _, what in record.certificates)
        for event in ("signed", "refused", "expired"):
            metric.add({"event": event}, times[event])
        yield metric
