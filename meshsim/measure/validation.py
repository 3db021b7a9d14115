"""What a validation finds, as `validation.json` has it: a class for each of its objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshsim.measure.disturbance import Evidence
from meshsim.measure.request_pairs import AgreementNumbers
from meshsim.measure.result import LEFT_OUT, Result

SLACK = 1.0 + 1e-9


@dataclass(frozen=True)
class Metric(Result):
    """One number: by theory, simulated, simulated with other seeds, live.

    Attributes:
        metric: path of its keys.
        theory_kind: ``exact`` or ``approx``; None where there is no theory.
        simulation: of the run with the same draws as the live one.
        interval: where 95 % of simulated runs with other seeds lie; None where that is not known.
        error, tolerance: `difference` (live minus simulation) and `allowed` as shares of the simulation; None
            where that is 0.
        chance: how large chance alone makes the difference.
        busy: from what to what a machine as late as this one was brings the simulated number; None where
            it was quiet.
    """

    metric: str
    theory: float | None
    theory_kind: str | None
    simulation: float
    interval: tuple[float, float] | None
    live: float
    error: float | None
    tolerance: float | None
    ok: bool
    difference: float
    allowed: float
    chance: float
    busy: tuple[float, float] | None

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance."""
        return abs(self.difference) > self.chance

    @property
    def excused(self) -> bool:
        """Whether a machine as late as this one was can have made the difference.

        A count that lateness changes comes of other draws than the simulated one: it varies as with other
        seeds. Latencies come of the same ones, only later.
        """
        if self.busy is None:
            return False
        (low, high), slack = self.busy, self.allowed * SLACK
        if low < high and self.interval and not self.metric.startswith("latency."):
            slack = max(slack, (self.interval[1] - self.interval[0]) / 2.0)
        return low - slack <= self.live <= high + slack


@dataclass(frozen=True)
class ProxyContrast(Result):
    """A number live behind meshsim's proxy (`other`) and behind Envoy (`own`)."""

    metric: str
    other: float
    own: float
    difference: float
    allowed: float
    ok: bool


@dataclass(frozen=True)
class Overhead(Result):
    """What an edge's calls cost on this machine: how many were seen, mean and percentiles, s."""

    calls: int
    mean: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Predicted(Result):
    """What theory says of a number, and how: ``exact``, ``approx`` or ``bound``."""

    metric: str
    value: float
    kind: str


@dataclass(frozen=True)
class ValidationNumbers(Result):
    """How theory, simulation and the live mesh agree.

    Attributes:
        verdict: ``pass``, ``fail`` or ``noisy``; `reasons` say why it is not a pass.
        overhead: by edge.
        machine: what each live run measured of it, by the run's label.
        proxies: mechanisms behind both proxies, where both ran.
    """

    verdict: str
    proxy: str
    metrics: Sequence[Metric]
    paired: AgreementNumbers
    reasons: Sequence[str]
    scenario: str
    seed: int
    version: str
    measured: float
    confidence: float
    overhead: Mapping[str, Overhead]
    machine: Mapping[str, Evidence]
    theory: Sequence[Predicted]
    proxies: Sequence[ProxyContrast] | None = field(metadata=LEFT_OUT)
    notes: Sequence[str]

    @property
    def off(self) -> list[str]:
        """The metrics that are not as close as they must be."""
        return [each.metric for each in self.metrics if not each.ok]
