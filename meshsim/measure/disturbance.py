"""Whether the machine of a live run was quiet enough for its numbers to mean anything.

A busy machine makes the load generator send late and the services' timers fire late, and both end up in the
latencies. Both can be seen: each knows when it should have acted.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.measure.result import Result
from meshsim.units import duration_text, ratio_text

BUSY = 0.9
"""Share of the processors' time from which on work waits for them."""
LATE = 0.05
"""A lag of this share of a latency is as much as the latency may be off."""


@dataclass(frozen=True, slots=True)
class Lag(Result):
    """How late something acted, s."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class MachineUse(Result):
    """Shares of all processors' time, 0-1: used by anyone; given to others by a hypervisor."""

    busy: float
    stolen: float


@dataclass(frozen=True, slots=True)
class LiveConditions(Result):
    """How well the machine of a live run kept up.

    `lag` is of the load generator behind its arrivals, `timer_lag` of the services' timers; `cores` were used
    on average; `troubles` is what went wrong, and how often, by process; scenario time 0 was at `began`, s
    since 1970.
    """

    lag: Lag | None
    timer_lag: Lag | None
    cores: dict[str, float]
    machine: MachineUse | None
    troubles: dict[str, dict[str, int]]
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence(Result):
    """What a live run measured of its machine (see `LiveConditions`, `MachineUse`); None where it could not.

    `troubles` went wrong in its processes, `errors` are meshsim's own; both in words.
    """

    load_lag: Lag | None = None
    service_lag: Lag | None = None
    cpu_busy: float | None = None
    cpu_steal: float | None = None
    troubles: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def complaints(self, p50: float, p99: float) -> list[str]:
        """Why the run may be slower than on a quiet machine, by its simulated p50 and p99, s; else empty."""
        found = []
        whose = (("the load generator sent", self.load_lag), ("the services acted", self.service_lag))
        for who, lag in whose:
            for key, late, of in (("p50", lag.p50, p50), ("p99", lag.p99, p99)) if lag else ():
                if late > LATE * of:
                    beside = f"latency {key} {duration_text(of)}"
                    found.append(f"{who} late: lag {key} {duration_text(late)}, {beside}")
        if self.cpu_busy is not None and self.cpu_busy > BUSY:
            found.append(f"CPU utilisation was {ratio_text(self.cpu_busy)}")
        if self.cpu_steal is not None and self.cpu_steal > LATE:
            found.append(f"CPU steal was {ratio_text(self.cpu_steal)}: the hypervisor ran others")
        return found
