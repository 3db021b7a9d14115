"""A run that kept rows, one a request, call or attempt; engines and the reference model fill them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshsim.measure.flow import BinnedFlow, Ended, occupancy
from meshsim.measure.grid import Floats, Ints, Truths, Window, number
from meshsim.measure.latency import Each
from meshsim.measure.measurements import Measurements
from meshsim.measure.sample import DENIED, Outcomes, Sample, Tries

Words = NDArray[np.str_]

KINDS = ("first", "retry", "hedge")
"""What an attempt is, by the number in :attr:`Attempts.kind`."""


@dataclass(slots=True)
class Requests:
    """One row a client request, in order of arrival.

    A column more is a field here, and in `meshsim.mesh.rows.RowRecorder` under ``request_`` and its name.

    Attributes:
        load: index of the load it came from.
        start, end: send and receipt, s; `end` is NaN while unfinished, `status` and `attempts` are 0.
    """

    load: Ints
    start: Floats
    end: Floats
    status: Ints = field(metadata={"meaning": "HTTP status"})
    flag: Words = field(metadata={"meaning": "Envoy's response flags, joined by commas; empty without any"})
    attempts: Ints = field(metadata={"meaning": "tries of the client's call that were sent"})
    version: Words = field(metadata={"meaning": "of the replica whose answer it was; empty if a proxy's"})
    endpoint: Words = field(metadata={"meaning": "what it asked for; empty for the service itself"})


@dataclass(slots=True)
class Calls:
    """One row a call, the client's among them.

    Attributes:
        edge: index into :attr:`Records.edges`.
        endpoint: number of the endpoint at the service; 0 is the service itself.
        request_start: start of the request it belongs to, s; decides whether it is measured.
        start, end: s; `end` is NaN while unfinished.
        status: 0 while unfinished, -1 for a cancelled call.
        version: of the replica whose answer it was; empty if a proxy's.
        extra: whether a retry or a hedge is among its ancestors.
    """

    edge: Ints
    endpoint: Ints
    request_start: Floats
    start: Floats
    end: Floats
    status: Ints
    flag: Words
    version: Words
    extra: Truths


@dataclass(slots=True)
class Attempts:
    """One row a sent attempt.

    Attributes:
        endpoint: as in :class:`Calls`.
        edge, replica, kind: indices into `edges` and `replicas` of `Records`, and :data:`KINDS`.
        request_start: as in :class:`Calls`.
        sent: when the caller's proxy sent it, s.
        arrived: when it reached the replica's side of the link, s; NaN if it never did.
        answered: when that side sent its answer off (after the sidecar's pass), or dropped the work; NaN if
            neither happened.
        status: what that side answered; 0 where there is no answer, -1 for work dropped or thrown away.
        ended: when it was over for the caller, s; NaN if it never was.
        extra: whether it is itself a retry or a hedge, or has one among its ancestors; what is not extra
            is the load that there would be without retries and hedges.
    """

    edge: Ints
    endpoint: Ints
    replica: Ints
    kind: Ints
    request_start: Floats
    sent: Floats
    arrived: Floats
    answered: Floats
    status: Ints
    ended: Floats
    extra: Truths


@dataclass(slots=True)
class Records(Measurements):
    """A run with its rows."""

    requests: Requests
    calls: Calls
    attempts: Attempts

    def sample(self, window: Window) -> Sample:
        requests, ok_latency = _requests(self.requests, window)
        return Sample(
            time=window.length,
            edges=self.edges,
            replicas=self.replicas,
            requests=requests,
            ok_latency=ok_latency,
            calls=self._calls(window),
            tries=_tries(self.attempts, window, len(self.edges)),
            visits=self._visits(window),
            busy=window.of(self.busy),
            queued=window.of(self.queued),
            present=self.present(np.array([window.start, window.end]))[:, 0],
            ejections=np.bincount(
                [replica for time, _, replica in self.ejections if time >= window.start],
                minlength=len(self.replicas),
            ),
            certificates=self._certificates(window),
            connections=self._connections(window),
            routes=self._routes(window),
            arrivals=self._arrivals(window),
        )

    def _certificates(self, window: Window) -> dict[str, int] | None:
        if self.certificates is None:
            return None
        return dict(Counter(what for time, _, what in self.certificates if time >= window.start))

    def _connections(self, window: Window) -> dict[int, dict[str, int]]:
        found: dict[int, dict[str, int]] = {}
        for time, edge, what in self.connections:
            counts = found.setdefault(edge, {})
            counts[what] = counts.get(what, 0) + (time >= window.start)
        return found

    def _calls(self, window: Window) -> list[Outcomes]:
        rows, take = self.calls, window.holds(self.calls.request_start)
        latency, reasons = (rows.end - rows.start)[take], _reasons(rows, take)
        return _by_member(rows.edge[take], latency, rows.status[take], reasons, len(self.edges))

    def _routes(self, window: Window) -> dict[tuple[int, str], tuple[Outcomes, Tries]]:
        found = {}
        calls, tries = window.holds(self.calls.request_start), window.holds(self.attempts.request_start)
        for edge, (_, service) in enumerate(self.edges):
            for place, endpoint in enumerate(self.endpoints.get(service, ())):
                rows, sent = self.calls, self.attempts
                here = calls & (rows.edge == edge) & (rows.endpoint == place)
                outcomes = _outcomes((rows.end - rows.start)[here], rows.status[here], _reasons(rows, here))
                mine = tries & (sent.edge == edge) & (sent.endpoint == place)
                kind = sent.kind[mine]
                counts = Tries(len(kind), number(kind == 1), number(kind == 2), number(~sent.extra[mine]))
                found[edge, endpoint] = (outcomes, counts)
        return found

    def _arrivals(self, window: Window) -> dict[tuple[str, str], Outcomes]:
        found = {}
        rows = self.attempts
        take = window.holds(rows.request_start) & ~np.isnan(rows.arrived)
        for service, endpoints in self.endpoints.items():
            there = take & np.isin(rows.replica, self.members(service))
            for place, endpoint in enumerate(endpoints):
                here = there & (rows.endpoint == place)
                latency, status = (rows.answered - rows.arrived)[here], rows.status[here]
                found[service, endpoint] = _outcomes(latency, status, _denials(status))
        return found

    def _visits(self, window: Window) -> list[Outcomes]:
        rows = self.attempts
        take = window.holds(rows.request_start) & ~np.isnan(rows.arrived)
        latency, status = (rows.answered - rows.arrived)[take], rows.status[take]
        return _by_member(rows.replica[take], latency, status, _denials(status), len(self.replicas))

    def flows(self, edges: Floats) -> Iterator[BinnedFlow]:
        yield self._client_flow(edges)
        yield self._services_flow(edges)
        calls, tries = self.calls, self.attempts
        stays = _Stays(calls.edge, calls.start, calls.end, calls.status)
        sent = _Sent(tries.edge, tries.sent, tries.kind, tries.extra)
        yield _binned(len(self.edges), edges, stays, sent)

    def _client_flow(self, edges: Floats) -> BinnedFlow:
        rows, tries = self.requests, self.attempts
        requests = _Stays(np.zeros(len(rows.start), np.int64), rows.start, rows.end, rows.status)
        sent = _Sent(np.zeros(len(tries.sent), np.int64), tries.sent, tries.kind, tries.extra)
        return _binned(1, edges, requests, sent)

    def _services_flow(self, edges: Floats) -> BinnedFlow:
        rows, names = self.attempts, self.service_names
        service_of = np.array([names.index(service) for service, _, _ in self.replicas], np.int64)
        here = ~np.isnan(rows.arrived)
        service, arrived = service_of[rows.replica[here]], rows.arrived[here]
        visits = _Stays(service, arrived, rows.answered[here], rows.status[here])
        return _binned(len(names), edges, visits, _Sent(service, arrived, rows.kind[here], rows.extra[here]))

    def in_flight(self, window: Window) -> Floats:
        return occupancy(self.requests.start, self.requests.end, np.linspace(window.start, window.end, 5))

    def requested(self, window: Window) -> int:
        return number(window.holds(self.requests.start))

    def visited(self, service: str, window: Window) -> tuple[int, int]:
        here = np.isin(self.attempts.replica, self.members(service))
        arrived, answered = self.attempts.arrived[here], self.attempts.answered[here]
        return number(window.holds(arrived)), number(window.holds(answered))


def _requests(rows: Requests, window: Window) -> tuple[Outcomes, Each]:
    """The client's requests, and the latencies of those that are ok."""
    take = window.holds(rows.start)
    latency, status = (rows.end - rows.start)[take], rows.status[take]
    reasons = failure_reasons(rows, take & (rows.status >= 400))
    return _outcomes(latency, status, reasons), Each(latency[(status > 0) & (status < 400)])


def failure_reasons(rows: Requests | Calls, failed: Truths) -> Words:
    """Of some failed requests the flag, else the status."""
    return np.where(rows.flag[failed] == "", rows.status[failed].astype(str), rows.flag[failed])


def _reasons(rows: Calls, take: Truths) -> Words:
    """What is told of calls: flags, else of those that failed the status."""
    found, bad = rows.flag[take], rows.status[take] >= 400
    if bad.any():
        found = found.astype(object)
        found[bad] = failure_reasons(rows, take & (rows.status >= 400))
    return found


def _tries(rows: Attempts, window: Window, edges: int) -> list[Tries]:
    take = window.holds(rows.request_start)
    edge, kind, extra = rows.edge[take], rows.kind[take], rows.extra[take]
    each = (edge, edge[kind == 1], edge[kind == 2], edge[~extra])
    counts = [np.bincount(some, minlength=edges).tolist() for some in each]
    return [Tries(*numbers) for numbers in zip(*counts, strict=True)]


def _denials(status: Ints) -> Words:
    """What is told of visits: which were denied."""
    denied = status == int(DENIED)
    return np.where(denied, DENIED, "") if denied.any() else np.full(len(status), "")


def _by_member(member: Ints, latency: Floats, status: Ints, flag: Words, count: int) -> list[Outcomes]:
    """How the rows of each of so many members ended."""
    ends = np.cumsum(np.bincount(member, minlength=count))[:-1]
    rows = np.split(np.argsort(member, kind="stable"), ends)
    return [_outcomes(latency[mine], status[mine], flag[mine]) for mine in rows]


def _outcomes(latency: Floats, status: Ints, reasons: Words) -> Outcomes:
    found, counts = np.unique(reasons, return_counts=True)
    return Outcomes(
        arrived=len(status),
        ok=number((status > 0) & (status < 400)),
        failed=number(status >= 400),
        cancelled=number(status < 0),
        latency=Each(latency[status > 0]),
        reasons={word: times for word, times in zip(found.tolist(), counts.tolist(), strict=True) if word},
    )


class _Stays(NamedTuple):
    """(n,) when each came and left, and to which member."""

    member: Ints
    start: Floats
    end: Floats
    status: Ints


class _Sent(NamedTuple):
    """(n,) attempts: when each was sent, or arrived, and to which member."""

    member: Ints
    time: Floats
    kind: Ints
    extra: Truths


def _binned(members: int, edges: Floats, stays: _Stays, sent: _Sent) -> BinnedFlow:
    bins = len(edges) - 1

    def cells(member: Ints, time: Floats) -> Ints:
        place = np.searchsorted(edges, time, side="right") - 1
        return np.asarray(member * bins + np.clip(place, 0, bins - 1), dtype=np.int64)

    def count(cells: Ints) -> Ints:
        return np.bincount(cells, minlength=members * bins).reshape(members, bins)

    tried, ended = cells(sent.member, sent.time), cells(stays.member, np.nan_to_num(stays.end))
    answered, ok = stays.status > 0, (stays.status > 0) & (stays.status < 400)
    here = [stays.member == member for member in range(members)]
    return BinnedFlow(
        {
            "offered": count(cells(stays.member, stays.start)),
            "completed": count(ended[answered]),
            "ok": count(ended[ok]),
            "failed": count(ended[answered & ~ok]),
            "attempts": count(tried),
            "retries": count(tried[sent.kind == 1]),
            "hedges": count(tried[sent.kind == 2]),
            "originals": count(tried[~sent.extra]),
        },
        Ended(ended[answered], (stays.end - stays.start)[answered]),
        np.array([occupancy(stays.start[mine], stays.end[mine], edges) for mine in here]),
    )
