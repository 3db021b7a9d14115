"""How busy the whole machine was, by which a live run is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
IDLE, IO_WAIT, STEAL, GUEST = 3, 4, 7, 8
"""Columns of a line of /proc/stat (proc(5)); what is a guest's is counted in user time already."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Time of all cores since the start, in ticks; `stolen` is what other virtual machines had."""

    total: int
    idle: int
    stolen: int

    @classmethod
    def now(cls) -> Usage | None:
        """Up to now; None where the system does not say (not Linux)."""
        try:
            words = STAT.read_text(encoding="ascii").partition("\n")[0].split()
        except OSError:
            return None
        ticks = [int(word) for word in words[1 : GUEST + 1]]
        return cls(sum(ticks), ticks[IDLE] + ticks[IO_WAIT], ticks[STEAL])

    def since(self, before: Usage) -> tuple[float, float]:
        """Shares of the time since: that was used, by whomever, and that other virtual machines had."""
        passed = max(self.total - before.total, 1)
        return 1.0 - (self.idle - before.idle) / passed, (self.stolen - before.stolen) / passed
