"""Which numbers agree, and what that says of all of them.

Each number has a tolerance: a share of the simulated one that is asked for, or, where it is wider, the
interval of what chance does to the difference: as it is spread over the run (`meshsim.measure.blocks`), and
at most as much as simulated runs with other seeds lie apart (`meshsim.measure.seed_variation`). Latencies
behind meshsim's own proxy have no second way out, since proxy and simulator make the same draws: they must be
as close as asked. If such a one is not, but chance could have done it, then the run is too short to judge.

A busy machine excuses what it can have done, and no more (`meshsim.lab.validate.lateness`).

The intervals hold jointly (Bonferroni): a mesh that agrees in everything fails one validation in twenty, and
not one number in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshsim.measure.blocks import gap
from meshsim.measure.readings import Readings
from meshsim.measure.seed_variation import SeedVariation
from meshsim.theory import Solution
from meshsim.units import duration_text, ratio_text

PASS, FAIL, NOISY = "pass", "fail", "noisy"
CONFIDENCE = 0.95
TAIL, USUAL, COUNTED = 0.05, 0.03, 0.01
ASKED = {
    "latency.mean": USUAL,
    "latency.p50": USUAL,
    "latency.p90": USUAL,
    "latency.p95": TAIL,
    "latency.p99": TAIL,
}
"""How close a latency must be, as a share of the simulated one; all else `COUNTED`, or its interval."""
NEVER = "requests.unfinished"
"""What chance is no excuse for: a mesh answers."""


@dataclass(frozen=True, slots=True)
class Row:
    """One number, told four times.

    Attributes:
        metric: path of its keys.
        theory: None where there is none.
        theory_kind: ``exact`` or ``approx``; empty where there is none.
        simulation: of the run with the same draws as the live one.
        interval: where 95 % of simulated runs with other seeds lie; None where that is not known.
        live: measured.
        difference: live minus simulation.
        allowed: how large that may be.
        chance: how large chance alone makes it.
        busy: from what to what a machine as late as this one was brings the simulated number; None where
            it was quiet.
        error, tolerance: difference and allowed as shares of the simulation; None where that is 0.
    """

    metric: str
    theory: float | None
    theory_kind: str
    simulation: float
    interval: tuple[float, float] | None
    live: float
    difference: float
    allowed: float
    chance: float
    busy: tuple[float, float] | None = None

    @property
    def ok(self) -> bool:
        """Whether it is as close as it must be."""
        return abs(self.difference) <= self.allowed * (1.0 + 1e-9)

    @property
    def told(self) -> bool:
        """Whether the difference is more than chance."""
        return abs(self.difference) > self.chance

    @property
    def excused(self) -> bool:
        """Whether a machine as late as this one was can have made the difference.

        A count that lateness changes comes of other draws than the simulated one: it has the luck of other
        seeds. Latencies come of the same ones, only later.
        """
        if self.busy is None:
            return False
        (low, high), slack = self.busy, self.allowed * (1.0 + 1e-9)
        if low < high and self.interval and not self.metric.startswith("latency."):
            slack = max(slack, (self.interval[1] - self.interval[0]) / 2.0)
        return low - slack <= self.live <= high + slack

    @property
    def error(self) -> float | None:
        """The difference as a share."""
        return self.difference / self.simulation if self.simulation else None

    @property
    def tolerance(self) -> float | None:
        """What is allowed as a share."""
        return self.allowed / self.simulation if self.simulation else None

    def as_dict(self) -> dict[str, Any]:
        """As `validation.json` has it."""
        return {
            "metric": self.metric,
            "theory": self.theory,
            "theory_kind": self.theory_kind or None,
            "simulation": self.simulation,
            "interval": list(self.interval) if self.interval else None,
            "live": self.live,
            "error": self.error,
            "tolerance": self.tolerance,
            "ok": self.ok,
            "difference": self.difference,
            "allowed": self.allowed,
            "chance": self.chance,
            "busy": list(self.busy) if self.busy else None,
        }

    def as_contrast(self) -> dict[str, Any]:
        """As `proxies` in `validation.json` has it: the other proxy's number stands for the simulated one."""
        kept = {key: self.as_dict()[key] for key in ("difference", "allowed", "ok")}
        return {"metric": self.metric, "other": self.simulation, "own": self.live, **kept}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a validation: ``pass``, ``fail`` or ``noisy``, and why."""

    word: str
    reasons: list[str]


class Told(NamedTuple):
    """What theory says of a number, and whether exactly."""

    value: float
    kind: str


def rows(
    simulated: Readings,
    live: Readings,
    *,
    strict: bool,
    luck: SeedVariation,
    theory: Mapping[str, Told],
    intervals: Mapping[str, tuple[float, float]],
    busy: Mapping[str, tuple[float, float]],
) -> list[Row]:
    """Holds a live run's numbers against the simulated ones.

    Args:
        simulated: of the run with the same draws.
        live: with the same metrics.
        strict: whether latencies must be as close as asked, whatever chance does.
        luck: of simulated runs that share with the first what the live one shares with it.
        theory: by metric.
        intervals: of simulated runs with other seeds, by metric.
        busy: as `Row` has it, by metric; empty where the machine was quiet.
    """
    known = {metric: (statistic.whole, live[metric].whole) for metric, statistic in simulated.items()}
    shared = [metric for metric, (one, other) in known.items() if one is not None and other is not None]
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(len(shared), 1)
    found = []
    for metric in shared:
        own, its = known[metric]
        between = gap(simulated[metric], live[metric], confidence)
        assert own is not None
        assert its is not None
        assert between is not None
        asked = ASKED.get(metric, COUNTED) * abs(own)
        chance = between.half_width if math.isfinite(between.half_width) else abs(own)
        step = max(simulated[metric].step, live[metric].step)
        chance = 0.0 if metric == NEVER else min(chance, luck.bound(metric, step, confidence))
        found.append(
            Row(
                metric=metric,
                theory=theory[metric].value if metric in theory else None,
                theory_kind=theory[metric].kind if metric in theory else "",
                simulation=own,
                interval=intervals.get(metric),
                live=its,
                difference=between.difference,
                allowed=asked if strict and metric in ASKED else max(asked, chance),
                chance=chance,
                busy=busy.get(metric),
            )
        )
    return found


def judge(
    found: Sequence[Row],
    noise: Sequence[str] = (),
    *,
    proxies: Sequence[Row] = (),
    troubles: Sequence[str] = (),
    errors: Sequence[str] = (),
) -> Verdict:
    """The verdict.

    A noisy machine keeps numbers apart and brings none together, so what agrees on it agrees.

    Args:
        found: every number.
        noise: what says that the machine was busy, in words.
        proxies: numbers of this live run and, in place of the simulated one, of one behind the other proxy.
        troubles: what the machine could not do for the live run, in words.
        errors: of meshsim's own in the live run, in words.
    """
    told = [(row, sentence(row)) for row in found if not row.ok]
    told += [(row, sentence(row, "live", "behind the other proxy")) for row in proxies if not row.ok]
    if not told:
        return Verdict(PASS, [])
    if errors:
        return Verdict(FAIL, [*errors, *(words for _, words in told)])
    wrong = [f"{words}{_at_most(row)}" for row, words in told if row.told and not row.excused]
    if wrong and not troubles:
        return Verdict(FAIL, wrong)
    if noise or troubles:
        excuses = [f"so it may be no error that {words}" for _, words in told]
        return Verdict(NOISY, [*troubles, *noise, *excuses])
    reasons = [f"{words}; chance alone makes {shown(row, row.chance)}" for row, words in told]
    return Verdict(NOISY, [*reasons, "the run is too short to tell: make its duration longer"])


def _at_most(row: Row) -> str:
    """That a busy machine is no excuse, where it was busy."""
    if row.busy is None:
        return ""
    low, high = (shown(row, value) for value in row.busy)
    return f"; a machine as late as this one was makes it {low} to {high}"


def sentence(row: Row, one: str = "live", other: str = "simulated") -> str:
    """What is wrong with a number."""
    return (
        f"{row.metric} is {shown(row, row.live)} {one} and {shown(row, row.simulation)} {other}:"
        f" {shown(row, abs(row.difference))} apart, {shown(row, row.allowed)} are allowed"
    )


def shown(row: Row, value: float) -> str:
    """A number of a metric for people."""
    if row.metric.startswith("latency."):
        return duration_text(value)
    return ratio_text(value) if row.metric.endswith(("ratio", "share")) else f"{value:.4g}"


# ---- theory -----------------------------------------------------------------------------------------


def predicted(solution: Solution, completed: float) -> dict[str, Told]:
    """What theory says, under the names of the metrics.

    Args:
        solution: of the scenario.
        completed: requests, of which failures are shares.
    """
    found = {}
    for each in solution.predictions:
        metric, value = each.metric.removeprefix("derived."), each.value
        if each.kind == "bound":
            continue
        if metric.startswith("failures.") and metric.endswith("_ratio"):
            metric, value = metric.removesuffix("_ratio"), value * completed
        elif metric == "requests.rate":
            metric = "requests.throughput"
        found[metric] = Told(value, each.kind)
    return found
