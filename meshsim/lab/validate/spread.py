"""Where simulated runs with other seeds lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

from meshsim.lab.validate.judgement import CONFIDENCE
from meshsim.measure.grid import Window
from meshsim.measure.intervals import interval
from meshsim.measure.records import Records
from meshsim.measure.seed_variation import by_run


def intervals(runs: Sequence[Records], window: Window) -> dict[str, tuple[float, float]]:
    """Where 95 % of further runs lie, by metric, as far as normal laws go: t quantile · s · sqrt(1 + 1/n).

    Counts that a run does not have are 0 in it. No number is less than 0, and no ratio more than 1.

    Args:
        runs: at least two, with seeds of their own.
        window: that is measured, in each.

    Source: Law, Simulation Modeling and Analysis, 5th ed. (2015), 4.5: the mean of n runs and one further one
        are independent, so the variance of their difference is (1 + 1/n) times that of a run.
    """
    result = {}
    for metric, known in by_run(runs, window).items():
        if len(known) == len(runs):
            found = interval(known, CONFIDENCE)
            half = found.half_width * math.sqrt(len(known) + 1.0)
            most = 1.0 if metric.endswith(("ratio", "share")) else math.inf
            result[metric] = (max(found.mean - half, 0.0), min(found.mean + half, most))
    return result
