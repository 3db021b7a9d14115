"""Where requests come from: a rate (open), or users who think and wait (closed).

An open load comes as it does, however slow the answers are. Users slow down with them, which makes less
load when the system is slow and hides how it fails: the classic mistake of benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, takewhile
from math import inf, log1p, sqrt
from typing import NamedTuple

import simpy

from meshsim.errors import MeshsimError
from meshsim.random import GAP, STATE, THINK, Key, derive, u01
from meshsim.reference.clock import Steps
from meshsim.reference.run import Run
from meshsim.scenario.model import Load, Mmpp, ProfilePoint
from meshsim.units import RESOLUTION

Arrive = Callable[[int, Load, Key], simpy.Process]
"""Begins a request, by the load's number, the load and the request's key; it ends with the answer."""

STANDSTILL = 10_000
"""So many requests of one user at one instant are a scenario in which time does not pass."""


class Piece(NamedTuple):
    """A stretch of time, s, in which the rate changes in a straight line."""

    start: float
    end: float
    rate: float  # at the start, per second
    slope: float = 0.0  # of the rate, per second²

    @property
    def area(self) -> float:
        """Arrivals expected in it."""
        width = self.end - self.start
        return 0.0 if self.rate == self.slope == 0.0 else width * (self.rate + 0.5 * self.slope * width)

    def reaches(self, area: float) -> float:
        """When so many of them are due: r·x + s·x²/2 = area, solved without cancellation."""
        root = sqrt(max(0.0, self.rate * self.rate + 2.0 * self.slope * area))
        return self.start + (2.0 * area / (self.rate + root) if area > 0.0 else 0.0)


def profile_pieces(profile: tuple[ProfilePoint, ...]) -> Iterator[Piece]:
    """From each point on its rate, after a ramp; a ramp is cut where the next point begins."""
    rate = 0.0
    ends = [point.at for point in profile[1:]] + [inf]
    for point, end in zip(profile, ends, strict=True):
        ramped = min(point.at + point.ramp, end)
        if ramped > point.at:
            slope = (point.rate - rate) / point.ramp
            yield Piece(point.at, ramped, rate, slope)
            rate += slope * (ramped - point.at)
        if ramped < end:
            rate = point.rate
            yield Piece(ramped, end, rate)


def mmpp_pieces(mmpp: Mmpp, key: Key) -> Iterator[Piece]:
    """Each state's rate for as long as the state lasts."""
    start = 0.0
    for stay in count():
        state = stay % len(mmpp.rates)
        end = start - mmpp.mean_times[state] * log1p(-u01(derive(key, stay), STATE))
        yield Piece(start, end, mmpp.rates[state])
        start = end


def arrivals(load: Load, key: Key, until: float) -> Iterator[float]:
    """The times of an open load's arrivals, s; some that are not before `until` may be among them."""
    if load.arrivals.kind == "trace":
        assert load.arrivals.trace is not None
        yield from load.arrivals.trace.times
        return
    if load.arrivals.mmpp is not None:
        pieces = mmpp_pieces(load.arrivals.mmpp, key)
    elif load.profile:
        pieces = profile_pieces(load.profile)
    else:
        pieces = iter([Piece(0.0, inf, load.rate or 0.0)])
    early = takewhile(lambda piece: piece.start < until, pieces)
    yield from _due(early, _gaps(load.arrivals.kind, key))


def _gaps(kind: str, key: Key) -> Iterator[float]:
    assert kind in ("poisson", "mmpp", "constant"), kind
    for n in count():
        yield 1.0 if kind == "constant" else -log1p(-u01(derive(key, n), GAP))


def _due(pieces: Iterator[Piece], gaps: Iterator[float]) -> Iterator[float]:
    """When the cumulative rate reaches the sum of the gaps so far."""
    due = area = 0.0
    piece = next(pieces, None)
    for gap in gaps:
        due += gap
        while piece is not None and area + piece.area < due:
            area += piece.area
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece.reaches(due - area)


def open_load(run: Run, arrive: Arrive, index: int, load: Load) -> Steps[None]:
    """The process of an open load: the next arrival is due before this one's request goes its way."""
    key = derive(run.seed, index)
    end = run.scenario.duration - RESOLUTION
    due = (
        run.clock.at(time)
        for time in takewhile(lambda time: time < end, arrivals(load, key, run.scenario.duration))
    )
    turn = next(due, None)
    for n in count():
        if turn is None:
            return
        yield turn
        turn = next(due, None)
        arrive(index, load, derive(key, n))


def user(run: Run, arrive: Arrive, index: int, load: Load, number: int) -> Steps[None]:
    """The process of one user of a closed load."""
    key = derive(derive(run.seed, index), number)
    think = load.think.build()
    last, repeated = -1.0, 0
    for n in count():
        pause = think.draw(derive(key, n), THINK)
        if run.clock.now + pause >= run.scenario.duration - RESOLUTION:
            return  # at once: the run may be over before the pause is
        yield run.clock.timeout(pause)
        repeated = repeated + 1 if run.clock.now == last else 0
        last = run.clock.now
        if repeated >= STANDSTILL:
            raise MeshsimError(f"load[{index}]: time would never pass; give its users a `think` time")
        yield arrive(index, load, derive(key, n))


def begin(run: Run, arrive: Arrive) -> None:
    """Start all loads."""
    for index, load in enumerate(run.scenario.load):
        if load.users is None:
            run.clock.work(open_load(run, arrive, index, load))
        else:
            for number in range(load.users):
                run.clock.work(user(run, arrive, index, load, number))
