"""What has become of pushes, read from the journal: whoever takes over goes on from it, and results have it.

    version    a push has begun: with the times when, and of the first change that it brings
    follows    these proxies follow the control plane from here on
    answered   a proxy has taken a version, or refused a part of it
    gone       a proxy has gone for good

Each is a fact of the journal, by its first key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live import Message
from meshsim.mesh.clock import Clock
from meshsim.mesh.control_plane import ControlPlane, Push, Subscriber, Subscription
from meshsim.random import Constant


class Ledger:
    """The `pushes` until now, that of version 0 first, and the proxies that `follow`, by name."""

    def __init__(self, facts: Iterable[Message]) -> None:
        self._plane = ControlPlane(Clock(), lambda version: None, Constant(0.0))
        self._plane.downs = 1  # it only keeps accounts
        self.following: dict[str, Subscription] = {}
        for fact in facts:
            self._read(fact)

    @property
    def pushes(self) -> list[Push]:
        """What became of each."""
        return self._plane.pushes

    def _read(self, fact: Message) -> None:
        if "version" in fact:
            changed, begun, self._plane.version = fact["changed"], fact["begun"], fact["version"]
            for version in range(len(self.pushes), self._plane.version):  # their lines are damaged
                self.pushes.append(Push(version, changed, begun))
            self.pushes.append(Push(self._plane.version, changed, begun, len(self.following)))
        elif fact.get("answered") in self.following:
            who = self.following[fact["answered"]]
            self._plane.answered(who, fact["has"], fact["good"], fact["at"])
        elif "gone" in fact and fact["gone"] in self.following:
            self._plane.disconnect(self.following.pop(fact["gone"]))
        for name in fact.get("follows", ()):
            self.following[name] = self._plane.subscribe(Subscriber(), 0, connected=False)
            self._plane.connect(self.following[name], None, 0.0)

    def rows(self) -> Mapping[str, NDArray[Any]]:
        """As tables: see `meshsim.live.merge`."""
        pushes = self.pushes[1:]
        names = ("version", "changed", "begun", "proxies", "nacked")
        columns = {f"pushes.{name}": np.array([getattr(each, name) for each in pushes]) for name in names}
        arrivals = [(time, each.version) for each in pushes for time in each.arrivals]
        return {
            **columns,
            "arrivals.time": np.array([time for time, _ in arrivals], dtype=np.float64),
            "arrivals.push": np.array([version for _, version in arrivals], dtype=np.int64),
        }
