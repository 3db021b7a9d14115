"""Counts what happens and keeps no row of it: memory does not grow with the number of requests.

Two things are counted, each as `meshsim.measure` reports it. *What is measured*: requests sent after the
warm-up, with all their calls and attempts, whenever these end. *What passes*, by the clock, in bins of time:
what came, what ended and how, how many there were at once. Latencies go into histograms. Time never goes
back, so one histogram of the current bin is enough for each member; when the bin is over, its counts are put
away, packed.
"""

from __future__ import annotations

from array import array
from math import inf
from typing import final

from meshsim.mesh.columns import floats, integers, longer_floats, longer_integers
from meshsim.mesh.gauge import Gauge
from meshsim.mesh.histogram import Histogram, bucket
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.totals import Totals

BINS = 128
"""Bins, and packed counts, of a new flow; a full one doubles."""
WHATS = 16
"""More than there is to count of connections."""
DENIED = 403
"""Of visits, the one status that is counted by itself: access rules denied them."""
PACKED = 8192
"""A packed number is how often · PACKED + bucket."""


@final
class Outcomes:
    """How what was measured at one member ended: the client's requests, an edge's calls, a replica's visits.

    Attributes:
        arrived: how many there were; those that are in none of the next three never ended.
        ok, failed, cancelled: with a status below 400; with another; dropped or cancelled.
        latency: of those that ended with a status.
        reasons: how often each sequence of flags came, as `policies.outcome` packs them; for failures
            without a flag the status, negative; of visits that alone which is `DENIED`.
    """

    latency: Histogram
    reasons: dict[int, int]

    def __init__(self) -> None:
        self.arrived = 0
        self.ok = 0
        self.failed = 0
        self.cancelled = 0
        self.latency = Histogram()
        self.reasons = {}

    def end(self, status: int, number: int, lasted: float) -> None:
        """One ends; its latency is in bucket `number`."""
        if status < 0:
            self.cancelled += 1
            return
        if status < 400:
            self.ok += 1
        else:
            self.failed += 1
        self.latency.add(number, lasted)

    def note(self, word: int) -> None:
        """Counts a word."""
        self.reasons[word] = self.reasons.get(word, 0) + 1


@final
class Tries:
    """The measured attempts of one edge.

    Attributes:
        total: of them `retries` and `hedges`.
        originals: those with no retry or hedge in their ancestry.
    """

    def __init__(self) -> None:
        self.total = 0
        self.retries = 0
        self.hedges = 0
        self.originals = 0

    def add(self, kind: int, extra: bool) -> None:
        """One more."""
        self.total += 1
        if kind == 1:
            self.retries += 1
        elif kind == 2:
            self.hedges += 1
        if not extra:
            self.originals += 1


@final
class Flow:
    """What passes one member, the client, a service or an edge: a number for each bin of time.

    Attributes:
        offered: arrived.
        ok, failed, cancelled: ended, as in `Outcomes`.
        attempts, retries, hedges, originals: as in `Tries`.
        total: latencies that ended, s.
        present: how many there were.
        live: latencies that ended in the current bin.
        packed: those of the bins before, `rows` numbers; those of bin i end before place `ends[i]`, which is
            0 where nothing was put away.
    """

    offered: array[int]
    ok: array[int]
    failed: array[int]
    cancelled: array[int]
    attempts: array[int]
    retries: array[int]
    hedges: array[int]
    originals: array[int]
    total: array[float]
    ends: array[int]
    present: Gauge
    live: Histogram
    packed: array[int]

    def __init__(self, origin: float, width: float, most: int) -> None:
        self.offered = integers(BINS)
        self.ok = integers(BINS)
        self.failed = integers(BINS)
        self.cancelled = integers(BINS)
        self.attempts = integers(BINS)
        self.retries = integers(BINS)
        self.hedges = integers(BINS)
        self.originals = integers(BINS)
        self.total = floats(BINS)
        self.ends = integers(BINS)
        self.present = Gauge(origin, width, most)
        self.live = Histogram()
        self.packed = integers(BINS)
        self.rows = 0

    def begin(self, bin: int, now: float) -> None:
        """One comes."""
        self.offered[bin] += 1
        self.present.add(1, now)

    def end(self, status: int, number: int, lasted: float, bin: int, now: float) -> None:
        """One ends; its latency is in bucket `number`."""
        self.present.add(-1, now)
        if status < 0:
            self.cancelled[bin] += 1
            return
        if status < 400:
            self.ok[bin] += 1
        else:
            self.failed[bin] += 1
        self.live.add(number, lasted)

    def try_(self, kind: int, extra: bool, bin: int) -> None:
        """An attempt."""
        self.attempts[bin] += 1
        if kind == 1:
            self.retries[bin] += 1
        elif kind == 2:
            self.hedges[bin] += 1
        if not extra:
            self.originals[bin] += 1

    def put_away(self, bin: int) -> None:
        """Packs the latencies of the current bin."""
        live = self.live
        if live.count == 0:
            return
        self.total[bin] += live.total
        first = bucket(live.least)
        last = bucket(live.most)
        if self.rows + last - first + 1 > len(self.packed):
            self.packed = longer_integers(self.packed, 2 * len(self.packed) + last - first + 1)
        for number in range(first, last + 1):
            times = live.counts[number - live.low]
            if times > 0:
                self.packed[self.rows] = times * PACKED + number
                self.rows += 1
        self.ends[bin] = self.rows
        live.clear()

    def lengthen(self, bins: int) -> None:
        """Makes room for more bins."""
        self.offered = longer_integers(self.offered, bins)
        self.ok = longer_integers(self.ok, bins)
        self.failed = longer_integers(self.failed, bins)
        self.cancelled = longer_integers(self.cancelled, bins)
        self.attempts = longer_integers(self.attempts, bins)
        self.retries = longer_integers(self.retries, bins)
        self.hedges = longer_integers(self.hedges, bins)
        self.originals = longer_integers(self.originals, bins)
        self.total = longer_floats(self.total, bins)
        self.ends = longer_integers(self.ends, bins)


@final
class StreamRecorder(Recorder):
    """Keeps histograms and time series.

    Ejections are counted by edge and replica; `ejections` stays empty.

    Attributes:
        origin, width, most: of the bins of time; the last one holds all the rest.
        start: requests that begin at it or later are measured, s.
        bin: where time is.
        until: when the next bin begins, s.
        room: bins that the flows have room for.
        edge_of: number of each route's edge.
        service_of: number of each place's service.
        replicas: how many there are.
        client, services, edges: what passes them.
        requests, calls, visits: what was measured, of the client, by route, by place.
        ok_latency: of the client's requests that succeeded.
        tries: measured attempts, by route.
        ejected_from: how often in the measured time and the drain, by edge · replicas + replica.
        connections: likewise, what became of tracked connections, by edge · WHATS + what.
        certificates: likewise, what became of certificates.
        totals: what was counted from the start of the run.
    """

    totals: Totals
    replicas: int
    until: float
    room: int
    edge_of: array[int]
    service_of: array[int]
    client: Flow
    services: list[Flow]
    edges: list[Flow]
    requests: Outcomes
    ok_latency: Histogram
    calls: list[Outcomes]
    visits: list[Outcomes]
    tries: list[Tries]
    ejected_from: dict[int, int]
    connections: dict[int, int]
    certificates: dict[int, int]

    def __init__(
        self, origin: float, width: float, most: int, start: float, edge_of: list[int], service_of: list[int],
        version_of: list[int],
    ) -> None:  # fmt: skip
        super().__init__()
        self.origin = origin
        self.width = width
        self.most = most
        self.start = start
        self.bin = 0
        self.until = origin + width if most > 1 else inf
        self.room = BINS
        self.edge_of = array("q", edge_of)
        self.service_of = array("q", service_of)
        self.replicas = len(version_of)
        services = 1 + max(service_of)
        edges = 1 + max(edge_of)
        self.client = Flow(origin, width, most)
        self.services = [Flow(origin, width, most) for _ in range(services)]
        self.edges = [Flow(origin, width, most) for _ in range(edges)]
        self.requests = Outcomes()
        self.ok_latency = Histogram()
        self.calls = [Outcomes() for _ in range(len(edge_of))]
        self.visits = [Outcomes() for _ in range(len(service_of))]
        self.tries = [Tries() for _ in range(len(edge_of))]
        self.ejected_from = {}
        self.connections = {}
        self.certificates = {}
        self.totals = Totals(len(edge_of), len(service_of), version_of)

    # ---- requests and calls -----------------------------------------------------------------------

    def request(self, load: int, now: float) -> int:
        if now >= self.until:
            self.advance(now)
        self.client.begin(self.bin, now)
        if now >= self.start:
            self.requests.arrived += 1
        return 0

    def request_ended(
        self, row: int, load: int, start: float, status: int, flags: int, attempts: int, host: int, now: float
    ) -> None:
        if now >= self.until:
            self.advance(now)
        lasted = now - start
        number = bucket(lasted)
        self.client.end(status, number, lasted, self.bin, now)
        if start >= self.start:
            self.requests.end(status, number, lasted)
            if status >= 400:
                self.requests.note(flags if flags > 0 else -status)
            else:
                self.ok_latency.add(number, lasted)

    def call(self, route: int, request_start: float, extra: bool, now: float) -> int:
        if now >= self.until:
            self.advance(now)
        self.edges[self.edge_of[route]].begin(self.bin, now)
        if request_start >= self.start:
            self.calls[route].arrived += 1
        return 0

    def call_ended(
        self, row: int, route: int, request_start: float, start: float, status: int, flags: int, host: int,
        now: float,
    ) -> None:  # fmt: skip
        if now >= self.until:
            self.advance(now)
        lasted = now - start
        number = bucket(lasted)
        self.edges[self.edge_of[route]].end(status, number, lasted, self.bin, now)
        self.totals.call(route, status, flags, host)
        if request_start >= self.start:
            self.calls[route].end(status, number, lasted)
            if flags > 0:
                self.calls[route].note(flags)
            elif status >= 400:
                self.calls[route].note(-status)

    # ---- attempts ---------------------------------------------------------------------------------

    def attempt(
        self, route: int, replica: int, kind: int, extra: bool, request_start: float, now: float
    ) -> int:
        if now >= self.until:
            self.advance(now)
        self.client.try_(kind, extra, self.bin)
        self.edges[self.edge_of[route]].try_(kind, extra, self.bin)
        if request_start >= self.start:
            self.tries[route].add(kind, extra)
        return 0

    def attempt_at_replica(
        self, row: int, place: int, kind: int, extra: bool, request_start: float, now: float
    ) -> None:
        if now >= self.until:
            self.advance(now)
        flow = self.services[self.service_of[place]]
        flow.begin(self.bin, now)
        flow.try_(kind, extra, self.bin)
        if request_start >= self.start:
            self.visits[place].arrived += 1

    def attempt_answer(
        self, row: int, place: int, request_start: float, arrived: float, status: int, now: float
    ) -> None:
        if now >= self.until:
            self.advance(now)
        lasted = now - arrived
        number = bucket(lasted)
        self.services[self.service_of[place]].end(status, number, lasted, self.bin, now)
        self.totals.visit(place, status)
        if request_start >= self.start:
            self.visits[place].end(status, number, lasted)
            if status == DENIED:
                self.visits[place].note(-DENIED)

    def ejected(self, now: float, edge: int, replica: int) -> None:
        self.totals.ejected(edge)
        if now < self.start:
            return
        number = edge * self.replicas + replica
        self.ejected_from[number] = self.ejected_from.get(number, 0) + 1

    def connection(self, edge: int, what: int, now: float) -> None:
        number = edge * WHATS + what
        self.connections[number] = self.connections.get(number, 0) + (now >= self.start)

    def certificate(self, proxy: int, what: int, now: float) -> None:
        self.certificates[what] = self.certificates.get(what, 0) + (now >= self.start)

    # ---- time -------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Time has reached another bin."""
        self.put_away()
        while self.bin + 1 < self.most and now >= self.origin + (self.bin + 1) * self.width:
            self.bin += 1
        self.until = self.origin + (self.bin + 1) * self.width if self.bin + 1 < self.most else inf
        if self.bin >= self.room:
            self.room = 2 * self.bin
            self.client.lengthen(self.room)
            for flow in self.services:
                flow.lengthen(self.room)
            for flow in self.edges:
                flow.lengthen(self.room)

    def put_away(self) -> None:
        """Packs the latencies of the current bin; it may go on."""
        self.client.put_away(self.bin)
        for flow in self.services:
            flow.put_away(self.bin)
        for flow in self.edges:
            flow.put_away(self.bin)
