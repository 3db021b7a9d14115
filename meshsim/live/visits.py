"""The visits to one replica, as columns: recorded by the replica, or by its proxy where it is a program."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.random import Key


class Visits:
    """Rows of key of the attempt, arrival and answer (s), and status."""

    def __init__(self) -> None:
        self._key = array("Q")
        self._arrived = array("d")
        self._answered = array("d")
        self._status = array("q")

    def add(self, key: Key, arrived: float, answered: float, status: int) -> None:
        """Adds a row."""
        self._key.append(key)
        self._arrived.append(arrived)
        self._answered.append(answered)
        self._status.append(status)

    def rows(self) -> dict[str, NDArray[Any]]:
        """As `meshsim.live.merge` takes them."""
        names = ("key", "arrived", "answered", "status")
        return {f"visits.{name}": np.array(getattr(self, f"_{name}")) for name in names}
