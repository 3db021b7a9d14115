"""How far simulated runs with different seeds lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from meshsim.lab.validate.judgement import CONFIDENCE
from meshsim.measure.grid import Window
from meshsim.measure.intervals import interval
from meshsim.measure.readings import readings
from meshsim.measure.records import Records


def intervals(runs: Sequence[Records], window: Window) -> dict[str, tuple[float, float]]:
    """Where 95 % of further runs lie, by metric, as far as normal laws go: t quantile · s · sqrt(1 + 1/n).

    Counts that a run does not have are 0 in it.

    Args:
        runs: at least two, with seeds of their own.
        window: that is measured, in each.

    Source: Law, Simulation Modeling and Analysis, 5th ed. (2015), 4.5: the mean of n runs and one further one
        are independent, so the variance of their difference is (1 + 1/n) times that of a run.
    """
    values: dict[str, list[float]] = {}
    each = [readings(run, window) for run in runs]
    for metric in dict.fromkeys(metric for found in each for metric in found):
        own = [found[metric].whole if metric in found else 0.0 for found in each]
        values[metric] = [value for value in own if value is not None]
    result = {}
    for metric, known in values.items():
        if len(known) == len(runs):
            found_interval = interval(known, CONFIDENCE)
            half = found_interval.half_width * math.sqrt(len(known) + 1.0)
            low = found_interval.mean - half
            result[metric] = (max(low, 0.0), found_interval.mean + half)
    return result
