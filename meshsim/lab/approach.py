"""Adding replications to a run until its answer is as precise as was asked: ``meshsim run --until 1%``."""

from __future__ import annotations

from collections.abc import Callable

from meshsim.errors import MeshsimError
from meshsim.measure import metrics
from meshsim.measure.measurements import Measurements
from meshsim.measure.precision import Goal, Looked, Until, refuse_limit
from meshsim.measure.summary import metrics_of, summarise
from meshsim.scenario.model import Scenario


def goal(
    scenario: Scenario, until: str | float | None, metric: str | None, replications: int, at_most: int | None
) -> Goal | None:
    """What to stop at, if asked for (see `meshsim.lab.run.run`); MeshsimError if it can't be used."""
    if until is not None:
        return Goal.of(
            until, metrics.check(metric or metrics.USUAL, metrics_of(scenario)), replications, at_most
        )
    if metric is not None:
        raise MeshsimError(f"--metric {metric} is what --until looks at; add --until 1%")
    refuse_limit(at_most)
    return None


def grow(
    goal: Goal,
    scenario: Scenario,
    records: list[Measurements],
    more: Callable[[int], bool],
    looked: Looked | None,
) -> tuple[Until | None, bool]:
    """Adds replications to `records` by `more` until the goal, their limit, or Ctrl-C.

    Returns the last look, None with fewer than two replications; and whether Ctrl-C came before the end.
    MeshsimError: the metric is a percentile that a replication is too short for, or missing in one.
    """
    cut_short = False
    for number in range(1, goal.least + 1):
        cut_short = more(number)
        if cut_short:
            break
        metrics.refuse_unsupported(goal.metric, summarise(records[-1:], scenario))
    look = None
    while len(records) >= 2:
        look = _look(goal, scenario, records)
        if looked is not None:
            looked(look)
        if cut_short or look.to == len(records):
            break
        cut_short = more(look.to)
    return look, cut_short


def _look(goal: Goal, scenario: Scenario, records: list[Measurements]) -> Until:
    found = summarise(records, scenario).ci.get(goal.metric)
    if found is None:
        raise MeshsimError(
            f"{goal.metric} does not exist in every replication, so it has no interval; choose another metric"
        )
    return goal.look(found, found.mean)
