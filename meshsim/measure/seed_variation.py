"""How far apart runs lie that differ in their seeds only, seen in simulated ones.

The jackknife of `meshsim.measure.blocks` sees how a difference is spread over a run. What happens in one
block only (an outage, a proxy that breaks) counts there as chance, however large it is. So chance has a
bound: it brings a live run no further from a simulated one than those with other seeds are from each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshsim.measure.grid import Window
from meshsim.measure.intervals import t_quantile
from meshsim.measure.readings import readings
from meshsim.measure.records import Records

FEWEST = 5
"""Runs that it takes to see how far apart they lie: two may be equal by chance."""


def by_run(runs: Sequence[Records], window: Window) -> dict[str, list[float]]:
    """Every number of runs, by metric; what never happened in a run, happened 0 times in it.

    Args:
        runs: of one scenario.
        window: that is measured, in each.
    """
    values: dict[str, list[float]] = {}
    each = [readings(run, window) for run in runs]
    for metric in dict.fromkeys(metric for found in each for metric in found):
        own = [found[metric].whole if metric in found else 0.0 for found in each]
        values[metric] = [value for value in own if value is not None]
    return values


@dataclass(frozen=True, slots=True)
class SeedVariation:
    """How much the numbers of runs with different seeds vary.

    Attributes:
        values: of each metric, one a run; a metric that is missing was 0 in all.
        runs: how many there are.
    """

    values: Mapping[str, Sequence[float]]
    runs: int

    def bound(self, metric: str, step: float, confidence: float) -> float:
        """How far apart two runs lie at most; infinity if there are too few runs to say.

        Two normal variates with the runs' deviation, and events too rare to have shown in the runs besides:
        that k events which may come in any of n + 1 runs all come in the last has a chance of (n + 1)^-k.

        Args:
            metric: path of its keys.
            step: what one event more adds to it.
            confidence: 0-1, both excluded.
        """
        if self.runs < FEWEST:
            return math.inf
        known = self.values.get(metric, (0.0,) * self.runs)
        mean = math.fsum(known) / self.runs
        deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in known) / (self.runs - 1))
        usual = t_quantile(0.5 + confidence / 2.0, self.runs - 1) * math.sqrt(2.0) * deviation
        rare = math.log(1.0 - confidence) / -math.log(self.runs + 1.0)
        return usual + rare * step
