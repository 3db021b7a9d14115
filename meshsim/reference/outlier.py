"""Outlier detection: a host that keeps failing is left out for a while.

    healthy --(so many failures, or gateway failures, in a row, and the cap allows it)--> ejected
    healthy --(a success rate far below the others', at a tick, and the cap allows it)--> ejected
    ejected --(its time has passed, at the next tick)--> healthy

Each ejection lasts longer than the one before, as long as the host does not stay healthy for some ticks. Too
many ejections would put all load on the few that are left, hence the cap and the *panic*: below a share of
healthy hosts, all are used again.

The balancer is updated at once when a host is ejected or let back, unless another update was less than
`merge_window` before: then this one takes effect a `merge_window` later, with all changes until then.

Source: Envoy, ``outlier_detection_impl.cc``, and ``scheduleUpdate`` in ``cluster_manager_impl.cc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import fmean, pstdev

from meshsim.reference.run import Run
from meshsim.scenario.model import OutlierDetection

TOLERANCE = 1e-9
OVERPROVISIONING = 1.4
NEVER = -10
MILLISECOND = 0.001
GATEWAY_FAILURES = range(502, 505)


@dataclass(slots=True)
class Health:
    """What a caller believes of a host."""

    failures: int = 0  # in a row
    gateway_failures: int = 0  # in a row: 502, 503, 504
    ejected: bool = False
    until: float = 0.0  # end of its ejection, s
    multiplier: int = 0  # of the base time; the number of ejections, less the healthy ticks
    returned: int = NEVER  # number of the tick that let it back
    answers: list[bool] = field(default_factory=list)  # of this interval: whether each was a success


class Outliers:
    """The health of a cluster's hosts that are there, by number."""

    def __init__(self, run: Run, settings: OutlierDetection | None, hosts: Sequence[int]) -> None:
        self.clock = run.clock
        self.did = run.did
        self.settings = settings
        self.health = {host: Health() for host in hosts}
        self.ticks = 0
        self.available = list(hosts)  # those that the balancer may pick, as far as it knows
        self.panic = False  # these are all hosts, because too few are healthy
        self.updated = -inf  # when they last changed, s
        self.update: object | None = None  # the one that waits for the merge window

    def configure(self, settings: OutlierDetection | None) -> None:
        """New settings; ejections stay, but without settings all hosts are back. The balancer is updated."""
        self.settings = settings
        if settings is None:
            self.health = {host: Health() for host in self.health}
        for health in self.health.values():
            health.answers.clear()
        self._update()
        self.updated = -inf

    def meet(self, hosts: Sequence[int]) -> None:
        """Others are there; the balancer is updated."""
        self.health = {host: self.health.get(host, Health()) for host in hosts}
        self._update()

    def record(self, host: int, status: int) -> bool:
        """Charge an outcome to a host; True if that ejects it."""
        self.did["gone host not charged"] += host not in self.health
        if self.settings is None or host not in self.health:
            return False
        health = self.health[host]
        if self.settings.success_rate is not None:
            health.answers.append(status < 500)
        before = health.ejected
        health.failures = health.failures + 1 if status >= 500 else 0
        health.gateway_failures = health.gateway_failures + 1 if status in GATEWAY_FAILURES else 0
        if health.gateway_failures == self.settings.consecutive_gateway_failure and not health.ejected:
            health.gateway_failures = 0
            self.did["gateway ejection"] += self.eject(health)
        if health.failures == self.settings.consecutive_5xx and not health.ejected:
            health.failures = 0
            self.eject(health)
        return health.ejected and not before

    def eject(self, health: Health) -> bool:
        """Leave a host out, if the cap allows it; whether it does."""
        assert self.settings is not None
        out = self._ejected()
        if out + 1 > self.settings.max_ejection_percent * len(self.health) + TOLERANCE:
            if out > 0 or not self.settings.always_eject_one:
                return False
            self.did["always one"] += 1
        base = self.settings.base_ejection_time
        health.ejected = True
        health.multiplier += 1
        longest = max(base, self.settings.max_ejection_time)
        health.until = self.clock.now + min(base * health.multiplier, longest)
        self._changed()
        return True

    def let_back(self) -> int:
        """A tick: those whose time has passed are healthy; says how many."""
        self.ticks += 1
        for health in self.health.values():
            if health.ejected and health.until <= self.clock.now:
                health.ejected = False
                health.failures = health.gateway_failures = 0
                health.returned = self.ticks
                self._changed()
        return sum(health.returned == self.ticks for health in self.health.values())

    def unsuccessful(self) -> list[int]:
        """At a tick: the healthy hosts that were too seldom successful, in the interval that ends here."""
        rates = {}
        least = None if self.settings is None else self.settings.success_rate
        for host, health in self.health.items():
            if least is not None and not health.ejected and len(health.answers) >= least.requests:
                rates[host] = fmean(health.answers)
            health.answers.clear()
        if least is None or len(rates) < least.hosts:
            return []
        low = fmean(rates.values()) - least.factor * pstdev(rates.values()) - TOLERANCE
        return [host for host, rate in rates.items() if rate < low]

    def forgive(self) -> None:
        """At the end of a tick: the next ejection of a host that stays healthy is not as long."""
        for health in self.health.values():
            if not health.ejected and health.returned < self.ticks - 1 and health.multiplier > 0:
                health.multiplier -= 1

    def _changed(self) -> None:
        """One more host is out, or back. Envoy counts the time since the last one in whole milliseconds."""
        assert self.settings is not None
        window = self.settings.merge_window
        if window == 0.0 or self.clock.now - self.updated >= window + MILLISECOND:
            self._update()
        elif self.update is None:
            update = self.update = object()
            self.clock.after(window, lambda: self._update() if self.update is update else None)

    def _update(self) -> None:
        """The balancer's view is brought up to date."""
        self.updated = self.clock.now
        self.update = None
        self.panic = self._panics()
        everyone = self.health.items()
        self.available = [host for host, health in everyone if self.panic or not health.ejected]

    def _panics(self) -> bool:
        """Whether so few hosts are healthy that all are used."""
        if self.settings is None or not self.health:
            return False
        hosts = len(self.health)
        healthy = hosts - self._ejected()
        return healthy / hosts < self.settings.min_health_percent and OVERPROVISIONING * healthy / hosts < 1.0

    def _ejected(self) -> int:
        return sum(health.ejected for health in self.health.values())
