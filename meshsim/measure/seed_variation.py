"""How far runs lie apart that differ in nothing but their seed.

The jackknife (`meshsim.measure.jackknife`) takes what happens in one block only (an outage, a proxy that
breaks) for one chance event, however large. So it has a bound: chance brings a live run no further from a
simulated one than simulated ones are from each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshsim.measure.grid import Window
from meshsim.measure.intervals import interval, t_quantile
from meshsim.measure.readings import readings
from meshsim.measure.records import Records

FEWEST = 5
"""Runs that it takes to see how far apart they lie: two may be equal by chance."""
Ranges = Mapping[str, tuple[float, float]]
"""From what to what, by metric."""


@dataclass(frozen=True, slots=True)
class SeedVariation:
    """The values of each metric in several `runs`; a metric that is missing was 0 in all."""

    values: Mapping[str, Sequence[float]]
    runs: int

    @classmethod
    def of(cls, runs: Sequence[Records], window: Window) -> SeedVariation:
        """Every number of runs in the measured window; what never happened in a run, happened 0 times."""
        values: dict[str, list[float]] = {}
        each = [readings(run, window) for run in runs]
        for metric in dict.fromkeys(metric for found in each for metric in found):
            own = [found[metric].value() if metric in found else 0.0 for found in each]
            values[metric] = [value for value in own if value is not None]
        return cls(values, len(runs))

    def ranges(self) -> Ranges:
        """From the least to the most of each metric."""
        return {metric: (min(values), max(values)) for metric, values in self.values.items()}

    def intervals(self, confidence: float) -> Ranges:
        """Where further runs lie, as far as normal laws go: t quantile · s · sqrt(1 + 1/n).

        No number is less than 0, and no ratio more than 1.

        Source: Law, Simulation Modeling and Analysis, 5th ed. (2015), 4.5: the mean of n runs and one further
            one are independent, so the variance of their difference is (1 + 1/n) times that of a run.
        """
        result = {}
        for metric, known in self.values.items():
            if len(known) == self.runs:
                found = interval(known, confidence)
                half = found.half_width * math.sqrt(len(known) + 1.0)
                most = 1.0 if metric.endswith(("ratio", "share")) else math.inf
                result[metric] = (max(found.mean - half, 0.0), min(found.mean + half, most))
        return result

    def bound(self, metric: str, step: float, confidence: float) -> float:
        """How far apart two runs lie at most; infinity if there are too few runs to say.

        Two normal variates with the runs' deviation, and events too rare to have shown in the runs besides:
        that k events which may come in any of n + 1 runs all come in the last has a chance of (n + 1)^-k.
        `step` is what one event more adds to the metric.
        """
        if self.runs < FEWEST:
            return math.inf
        known = self.values.get(metric, (0.0,) * self.runs)
        mean = math.fsum(known) / self.runs
        deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in known) / (self.runs - 1))
        usual = t_quantile(0.5 + confidence / 2.0, self.runs - 1) * math.sqrt(2.0) * deviation
        rare = math.log(1.0 - confidence) / -math.log(self.runs + 1.0)
        return usual + rare * step
