"""What the engines share: a mesh built on a clock, run in strides, and what it leaves."""

from __future__ import annotations

import gc
import math
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from meshsim.engine.build import build
from meshsim.engine.results import records
from meshsim.errors import MeshsimError
from meshsim.measure.measurements import Measurements
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.mesh import Mesh
from meshsim.mesh.teardown import take_apart
from meshsim.scenario.machines import BalancerFactory, Custom, RetryRuleFactory
from meshsim.scenario.model import Scenario
from meshsim.units import LONGEST, RESOLUTION

STEPS = 200
"""How often a run looks up to say how far it is, while requests arrive."""
STEPS_AT_MOST = 10_000
"""In all: the drain may be far longer."""


class Body(ABC):
    """A scenario's mesh on some clock.

    Attributes:
        mesh: the mesh.
        complete: whether nothing is left to do.
        interrupted: whether the user ended it.
        left: what was on the clock when time was up.
    """

    engine: ClassVar[str]

    def __init__(
        self,
        scenario: Scenario,
        seed: int | None,
        clock: Clock,
        balancers: Mapping[str, BalancerFactory] | None,
        retry_rules: Mapping[str, RetryRuleFactory] | None,
    ) -> None:
        for name in (*(balancers or {}), *(retry_rules or {})):
            if name not in scenario.services:
                raise MeshsimError(
                    f"no service {name!r} in this scenario; it has {', '.join(scenario.services)}"
                )
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.limit = scenario.duration + scenario.drain_limit
        check_resolution(self.limit)
        custom = Custom(balancers or {}, retry_rules or {})
        self.mesh: Mesh
        self.mesh, self.control = build(scenario, self.seed, clock, custom)
        self.complete = False
        self.interrupted = False
        self.left: list[Event | None] = []

    @property
    @abstractmethod
    def now(self) -> float:
        """The time that has been reached, s."""

    @property
    @abstractmethod
    def events(self) -> int:
        """How many events have been fired."""

    @abstractmethod
    def advance(self, until: float) -> bool:
        """Simulates up to a time, s, or a part of the way; whether the mesh has stopped the clock."""

    def run(self, progress: Callable[[float], None] | None = None) -> Measurements:
        """Runs until nothing is left to do, or the drain's limit, or Ctrl-C.

        Args:
            progress: called with the simulated time now and then, s.

        Returns:
            What happened; `complete` is False if the run was cut short.
        """
        stride = max(self.scenario.duration / STEPS, self.limit / STEPS_AT_MOST)
        with collecting_seldom():
            try:
                while not self.complete and self.now < self.limit:
                    until = min(self.limit, self.now + stride)
                    self.complete = self.advance(until) or (self.now >= until and self.mesh.settled)
                    if progress is not None:
                        progress(self.now)
            except KeyboardInterrupt:
                self.interrupted = True
        found = self.records()
        if self.now >= self.limit:  # nothing goes on: a process of the user's, which may know us, is let go
            self.left += self.unschedule()
        return found

    def discard(self) -> None:
        """Frees what is under way; nothing can go on afterwards."""
        self.left += self.unschedule()
        take_apart(self.mesh, self.left)
        self.left = []

    def __del__(self) -> None:
        if hasattr(self, "left") and not sys.is_finalizing():  # it has none where a scenario was refused
            self.discard()

    @abstractmethod
    def unschedule(self) -> list[Event | None]:
        """Takes everything off the clock, for good; what it was."""

    def records(self) -> Measurements:
        """What has happened so far."""
        return records(
            self.scenario, self.mesh, self.control, self.engine, self.seed, self.now, self.complete,
            self.interrupted, self.events,
        )  # fmt: skip


class _Collector:
    """Who slows the cycle collector down, and what its thresholds were before anybody did."""

    lock = threading.Lock()
    users = 0
    before = (0, 0, 0)


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Has Python look for unreachable circles of objects a thousand times less often.

    The mesh makes none (a test holds it to that), so all that the collector does is walk through every object
    that is waiting, again and again: with 100,000 requests in flight, two thirds of the time. Policies of the
    user's own may make some, so it is not switched off. Runs may be nested, and in threads.
    """
    with _Collector.lock:
        if _Collector.users == 0:
            _Collector.before = gc.get_threshold()
            gc.set_threshold(min(1000 * _Collector.before[0], 1 << 30), *_Collector.before[1:])
        _Collector.users += 1
    try:
        yield
    finally:
        with _Collector.lock:
            _Collector.users -= 1
            if _Collector.users == 0:
                gc.set_threshold(*_Collector.before)


def check_resolution(limit: float) -> None:
    """Refuses a run so long that short times would vanish in its last instants.

    A float has 53 bits: at 10^8 s two neighbouring numbers are 15 ns apart, and a time of 5 ns added to one
    is lost.
    """
    apart = math.ulp(limit)
    if apart > RESOLUTION:
        raise MeshsimError(
            f"duration and drain are {limit:.6g} s together, where the clock only distinguishes times of "
            f"{apart * 1e9:.3g} ns; simulate at most {LONGEST / 86400:.0f} days"
        )
