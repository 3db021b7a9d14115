"""What a run leaves behind: one row a request, a call, an attempt; and where the workers' time went.

Both engines and the reference model fill these tables; everything that is reported is computed from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meshsim.scenario.model import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS = ("first", "retry", "hedge")
"""What an attempt is, by the number in :attr:`Attempts.kind`."""


BINS_OF_DRAIN = 10_000
"""More than a picture can show; a run of a millisecond may drain for a minute."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Equal bins of time, on whose edges the measured window begins and ends.

    Attributes:
        origin: left edge of bin 0, at most 0 s (bin 0 may begin before the run).
        width: of each bin, s.
        first: the bin that begins at the warm-up's end, where that is fixed; 0 for ``auto``.
        last: the bin that begins at `duration`.
    """

    origin: float
    width: float
    first: int
    last: int

    @classmethod
    def of(cls, scenario: Scenario, bins: int = 120) -> Grid:
        """The grid of a scenario: about `bins` bins, or fewer, of a round width where that fits."""
        warmup = 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
        measured = scenario.duration - warmup
        rough = measured / bins
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(
            factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * (1 - 1e-9)
        )
        count = max(1, round(measured / step))
        width = measured / count
        first = math.ceil(warmup / width - 1e-9)
        return cls(origin=warmup - first * width, width=width, first=first, last=first + count)

    def edges(self, count: int) -> Floats:
        """The `count` + 1 edges of the first `count` bins, s; the first is clipped to 0."""
        edges = self.origin + self.width * np.arange(count + 1, dtype=np.float64)
        return np.asarray(np.maximum(edges, 0.0), dtype=np.float64)

    @property
    def most(self) -> int:
        """How many bins there are at most: a drain that lasts beyond them falls into the last one."""
        return self.last + BINS_OF_DRAIN

    def bin_at(self, time: float) -> int:
        """The number of the bin that holds a time, s; an edge belongs to the bin that begins there."""
        return max(0, math.floor((time - self.origin) / self.width + 1e-9))


@dataclass(slots=True)
class Requests:
    """One row a client request, in order of arrival.

    Attributes:
        load: index of the load it came from.
        start, end: send and receipt, s; `end` is NaN for an unfinished one.
        status: HTTP status, 0 while unfinished.
        flag: Envoy's response flags, ``""`` where there are none.
        attempts: tries of the client's call that were sent; 0 while unfinished.
        version: of the replica whose answer it was, ``""`` where there is none or no replica answered.
    """

    load: Ints
    start: Floats
    end: Floats
    status: Ints
    flag: NDArray[np.str_]
    attempts: Ints
    version: NDArray[np.str_]


@dataclass(slots=True)
class Calls:
    """One row a call, the client's among them.

    Attributes:
        edge: index into :attr:`Records.edges`.
        request_start: start of the request it belongs to, s; decides whether it is measured.
        start, end: s; `end` is NaN while unfinished.
        status: 0 while unfinished, -1 for a cancelled call.
        flag: Envoy's response flags.
        extra: whether a retry or a hedge is among its ancestors.
    """

    edge: Ints
    request_start: Floats
    start: Floats
    end: Floats
    status: Ints
    flag: NDArray[np.str_]
    extra: NDArray[np.bool_]


@dataclass(slots=True)
class Attempts:
    """One row a sent attempt.

    Attributes:
        edge: index into :attr:`Records.edges`.
        replica: index into :attr:`Records.replicas`, the host it was sent to.
        kind: index into :data:`KINDS`.
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
    replica: Ints
    kind: Ints
    request_start: Floats
    sent: Floats
    arrived: Floats
    answered: Floats
    status: Ints
    ended: Floats
    extra: NDArray[np.bool_]


@dataclass(slots=True)
class Records:
    """A whole run.

    Attributes:
        engine: ``simpy``, ``reference``, …
        seed: of this run.
        end: time of the last event, s.
        complete: False if the run was interrupted or reached the drain's limit with work left.
        grid: the bins of `busy` and `queued`.
        edges: (caller, service) by index.
        replicas: (service, version, id such as ``cart/v1/0``) by index.
        busy: (replicas, bins): worker-seconds in service or held.
        queued: (replicas, bins): attempt-seconds in the waiting room.
        ejections: (time, edge index, replica index) of each ejection by outlier detection.
        spans: rows of sampled spans (see `meshsim.measure.spans`).
        interrupted: True if it was the user who ended it (Ctrl-C); the run is then measured up to `end`.
        events: that an engine fired, from which its cost per event is told; 0 for the reference model.
    """

    engine: str
    seed: int
    end: float
    complete: bool
    grid: Grid
    edges: list[tuple[str, str]]
    replicas: list[tuple[str, str, str]]
    requests: Requests
    calls: Calls
    attempts: Attempts
    busy: Floats
    queued: Floats
    ejections: list[tuple[float, int, int]] = field(default_factory=list)
    spans: list[dict[str, object]] = field(default_factory=list)
    interrupted: bool = False
    events: int = 0
