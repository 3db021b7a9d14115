"""Adding replications to a run until its answer is as precise as was asked: ``meshsim run --until 1%``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from meshsim.errors import MeshsimError
from meshsim.measure import metrics
from meshsim.measure.measurements import Measurements
from meshsim.measure.precision import Goal, Looked, Until
from meshsim.measure.summary import metrics_of, summarise
from meshsim.scenario.model import Scenario


def goal(
    scenario: Scenario, until: str | float | None, metric: str | None, replications: int, at_most: int | None
) -> Goal | None:
    """What to stop at, if asked for (see `meshsim.lab.run.run`); MeshsimError if it can't be used."""
    if metric is not None and until is None:
        raise MeshsimError(f"--metric {metric} is what --until looks at; add --until 1%")
    wanted = metrics.check(metric or metrics.USUAL, metrics_of(scenario))
    return Goal.of(until, wanted, replications, at_most)


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
    if len(records) < 2:
        return None, cut_short
    return until_reached(partial(_look, goal, scenario, records), more, looked, cut_short=cut_short)


def until_reached(
    look: Callable[[], Until], more: Callable[[int], bool], looked: Looked | None, *, cut_short: bool
) -> tuple[Until, bool]:
    """Looks, and has `more` made up to the number that the look asks for, until that is all or Ctrl-C.

    Returns the last look, and whether Ctrl-C came (`cut_short`: already) before the end.
    """
    while True:
        found = look()
        if looked is not None:
            looked(found)
        if cut_short or found.to == found.replications:
            return found, cut_short
        cut_short = more(found.to)


def _look(goal: Goal, scenario: Scenario, records: list[Measurements]) -> Until:
    found = summarise(records, scenario).ci.get(goal.metric)
    if found is None:
        raise MeshsimError(
            f"{goal.metric} does not exist in every replication, so it has no interval; choose another metric"
        )
    return goal.look(found, found.mean)
