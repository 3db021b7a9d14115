"""Failure accrual: a host that keeps failing gets nothing for a while, then one request that shows how it is.

    open --(so many failures in a row)--> shut --(penalty over)--> vacant --(an attempt is bound)--> on trial
     ^                                     ^                          |                                |
     |                                     +------- a failure --------+--------------------------------+
     +------------------------------------------------ a success -----+--------------------------------+

Only an open or vacant host may be picked. One on trial is vacant again if nobody hears how its attempt ends.
Each penalty is twice as long as the one before, until a success.

Source: Linkerd's documentation, Circuit Breaking; linkerd2-proxy, ``consecutive_failures.rs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from meshsim.random import PENALTY, Key, u01
from meshsim.reference.run import Run
from meshsim.scenario.model import FailureAccrual


@dataclass(slots=True)
class Door:
    """How a caller treats a host."""

    state: Literal["open", "shut", "vacant", "on trial"] = "open"
    failures: int = 0  # in a row, while it is open
    penalties: int = 0  # in a row
    on_trial: Key = 0  # the attempt


class Accrual:
    """The doors to a cluster's hosts that are there, by number."""

    panic = False
    update: object | None = None

    def __init__(self, run: Run, settings: FailureAccrual, hosts: Sequence[int]) -> None:
        self.clock = run.clock
        self.did = run.did
        self.settings = settings
        self.doors = {host: Door() for host in hosts}

    @property
    def available(self) -> list[int]:
        """The hosts that may be picked."""
        return [host for host, door in self.doors.items() if door.state in ("open", "vacant")]

    def meet(self, hosts: Sequence[int]) -> None:
        """Others are there."""
        self.doors = {host: self.doors.get(host, Door()) for host in hosts}

    def record(self, host: int, status: int, key: Key) -> bool:
        """An attempt ended with this status; True if that shuts its host."""
        door = self.doors.get(host)
        if door is None:
            self.did["gone host not charged"] += 1
            return False
        if door.state == "shut":
            self.did["ignored while shut"] += 1
            return False
        if status < 500:
            self.did["reopened"] += door.state != "open"
            self.doors[host] = Door()
            return False
        door.failures += 1
        if door.state == "open" and door.failures < self.settings.max_failures:
            return False
        self.did["probe failed"] += door.state != "open"
        self._shut(door, u01(key, PENALTY))
        return True

    def _shut(self, door: Door, u: float) -> None:
        settings = self.settings
        penalty = min(settings.min_penalty * 2.0 ** min(door.penalties, 1000), settings.max_penalty)
        penalty = min(penalty * (1.0 + u * settings.jitter), settings.max_penalty)
        door.penalties += 1
        door.state = "shut"

        def over() -> None:
            door.state = "vacant"

        self.clock.after(penalty, over)

    def bind(self, host: int, key: Key) -> None:
        """An attempt is bound to a host that could be picked."""
        door = self.doors[host]
        if door.state == "vacant":
            self.did["probe"] += 1
            door.state, door.on_trial = "on trial", key

    def lose(self, host: int, key: Key) -> None:
        """How an attempt would have ended will never be known."""
        door = self.doors.get(host)
        if door is not None and door.state == "on trial" and door.on_trial == key:
            self.did["probe given up"] += 1
            door.state = "vacant"
