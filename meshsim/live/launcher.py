"""What those parts need of a live mesh that its launcher is made of: itself, and scenario time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import Any, Protocol

from meshsim.errors import MeshsimError
from meshsim.live import Address, Message
from meshsim.live.control.process import ControlProcess
from meshsim.live.intercept.plan import PodPlan
from meshsim.live.processes import Keeper, Member, Process
from meshsim.live.proxies import Listeners, Proxies
from meshsim.mesh.clock import Clock, Event
from meshsim.scenario import model
from meshsim.scenario.topology import Replica, Topology

CONTROL_PLANE = "control_plane"
THE_MESH = "the mesh"
"""The id of the control plane."""
HUNG = "it did not end when asked to"
REPORTS = {"listening": "its port", "ready": "being ready", "rows": "what it has measured"}
NAMES = {"proxy": "proxy", "service": "service", "load": "load generator", CONTROL_PLANE: "control plane"}


def late(word: str, missing: Iterable[Process], limit: float) -> MeshsimError:
    """The message that some processes have not reported something within `limit`, s."""
    first, *others = sorted(process.name for process in missing)
    names = first + (f" and {len(others):,} others" if others else "")
    return MeshsimError(
        f"no report of {REPORTS[word]} from {names} after {limit:.0f} s;"
        " is the machine too busy for so many processes?"
    )


class TickClock(Clock):
    """Scenario time in the launcher's ticks: it has no loop."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Event, int]] = []
        self._numbers = itertools.count()

    def at(self, time: float, event: Event, step: int) -> None:
        heappush(self._due, (time, next(self._numbers), event, step))

    def advance(self, now: float) -> None:
        """Fires what is due."""
        while self._due and self._due[0][0] <= now:
            time, _, event, step = heappop(self._due)
            event.fire(step, time)


class Launcher(Protocol):
    """A mesh, as its cluster needs it."""

    topology: Topology
    scenario: model.Scenario
    listeners: dict[str, Listeners]
    apps: dict[str, Address]
    base: float
    control: ControlProcess
    keeper: Keeper
    pods: PodPlan
    troubles: dict[str, dict[str, int]]

    @property
    def now(self) -> float:
        """Scenario time, s."""

    @property
    def proxies(self) -> Proxies:
        """Of the mesh."""

    def fork(self, role: str, id_: str, more: Mapping[str, Any] | None = None) -> Member:
        """Starts a process of our own."""

    def run_program(self, place: Replica) -> Process:
        """Starts a program of the user's own."""

    def members_of(self, id_: str) -> list[Member]:
        """The processes of a replica that are ours."""

    def quiet(self, id_: str, since: float) -> bool:
        """Whether the processes of a replica hold nothing, as they say after `since`, monotonic."""

    def addresses(self, role: str, id_: str) -> Message:
        """What a process has to know."""

    def reached_at(self) -> dict[str, Address]:
        """Where callers reach each replica."""
