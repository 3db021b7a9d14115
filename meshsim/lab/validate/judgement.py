"""Which numbers agree, and what that says of all of them.

Each number has a tolerance: a share of the simulated one that is asked for, or, where it is wider, the
interval of what chance does to the difference: as it is spread over the run (`meshsim.measure.blocks`), and
at most as much as luck sets simulated runs apart (`meshsim.measure.luck`). Latencies behind meshsim's own
proxy have no second way out, since proxy and simulator make the same draws: they must be as close as asked.
If such a one is not, but chance could have done it, then the run is too short to judge.

The intervals hold jointly (Bonferroni): a mesh that agrees in everything fails one validation in twenty, and
not one number in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshsim.measure.blocks import gap
from meshsim.measure.evidence import Evidence
from meshsim.measure.luck import Luck
from meshsim.measure.readings import Readings
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

    @property
    def ok(self) -> bool:
        """Whether it is as close as it must be."""
        return abs(self.difference) <= self.allowed * (1.0 + 1e-9)

    @property
    def told(self) -> bool:
        """Whether the difference is more than chance."""
        return abs(self.difference) > self.chance

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
    luck: Luck,
    theory: Mapping[str, Told],
    intervals: Mapping[str, tuple[float, float]],
) -> list[Row]:
    """Holds a live run's numbers against the simulated ones.

    Args:
        simulated: of the run with the same draws.
        live: with the same metrics.
        strict: whether latencies must be as close as asked, whatever chance does.
        luck: of simulated runs that share with the first what the live one shares with it.
        theory: by metric.
        intervals: of simulated runs with other seeds, by metric.
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
            )
        )
    return found


def judge(
    found: Sequence[Row],
    runs: Mapping[str, Evidence],
    disturbed: Sequence[str] = (),
    proxies: Sequence[Row] = (),
) -> Verdict:
    """The verdict.

    A noisy machine keeps numbers apart and brings none together, so what agrees on it agrees.

    Args:
        found: every number.
        runs: what each live run saw of the machine, by what the run is called.
        disturbed: what else says that the machine was no guide, in words.
        proxies: numbers of this live run and, in place of the simulated one, of one behind the other proxy.
    """
    wrong = [row for row in found if not row.ok]
    apart = [row for row in proxies if not row.ok]
    if not wrong and not apart:
        return Verdict(PASS, [])
    latency = {row.metric: row.simulation for row in found}
    p50, p99 = (latency.get(f"latency.{key}", math.inf) for key in ("p50", "p99"))
    noise = [f"{name}: {each}" for name, seen in runs.items() for each in seen.complaints(p50, p99)]
    noise += disturbed
    said = [*map(sentence, wrong), *(sentence(row, "live", "behind the other proxy") for row in apart)]
    if noise:
        return Verdict(NOISY, [*noise, *(f"so it may be no error that {each}" for each in said)])
    if apart or any(row.told for row in wrong):
        return Verdict(FAIL, said)
    reasons = [f"{sentence(row)}; chance alone makes {shown(row, row.chance)}" for row in wrong]
    return Verdict(NOISY, [*reasons, "the run is too short to tell: make its duration longer"])


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
