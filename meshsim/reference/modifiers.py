"""Numbers of the scenario that its events change for a while: factors multiply, shares are replaced."""

from __future__ import annotations

from math import prod


class Factor:
    """1, times the factors of the events in force."""

    def __init__(self) -> None:
        self.value = 1.0
        self._in_force: dict[int, float] = {}

    def begin(self, event: int, factor: float) -> None:
        """Event number `event` multiplies by `factor` from now on."""
        self._in_force[event] = factor
        self.value = prod(self._in_force.values())

    def end(self, event: int) -> None:
        """It does so no more."""
        self._in_force.pop(event, None)
        self.value = prod(self._in_force.values())


class Share:
    """A configured share, replaced by that of the latest event in force."""

    def __init__(self, configured: float) -> None:
        self.value = configured
        self._configured = configured
        self._in_force: dict[int, float] = {}

    def begin(self, event: int, share: float) -> None:
        """Event number `event` replaces the value from now on."""
        self._in_force[event] = share
        self.value = share

    def end(self, event: int) -> None:
        """It does so no more; the latest to begin of the others, or the configured value, is back."""
        self._in_force.pop(event, None)
        self.value = next(reversed(self._in_force.values()), self._configured)
