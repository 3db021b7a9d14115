"""Adding replications to a run until its answer is as precise as was asked: ``meshsim run --until 1%``."""

from __future__ import annotations

from collections.abc import Callable

from meshsim.errors import MeshsimError
from meshsim.measure import metrics
from meshsim.measure.measurements import Measurements
from meshsim.measure.precision import Goal, Look, Looked, refuse_limit
from meshsim.measure.summary import metrics_of, summarise
from meshsim.scenario.model import Scenario


def goal(
    scenario: Scenario, until: str | float | None, metric: str | None, replications: int, at_most: int | None
) -> Goal | None:
    """What to stop at, if that was asked for; see `meshsim.lab.run.run`.

    Raises:
        MeshsimError: it is none, or the scenario has no such metric; or there are a metric or a limit
            without one.
    """
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
) -> tuple[Look | None, bool]:
    """Adds replications until the goal is reached, or their limit, or Ctrl-C.

    Args:
        goal: when to stop.
        scenario: that runs.
        records: of the replications so far, none yet; `more` appends to them.
        more: adds replications up to a number, and says whether Ctrl-C kept it from that.
        looked: called with each look.

    Returns:
        The last look, None if there were never two replications to look at; and whether Ctrl-C came before
        the end.

    Raises:
        MeshsimError: the metric is a percentile that a replication is too short for, or does not exist in
            every replication.
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


def _look(goal: Goal, scenario: Scenario, records: list[Measurements]) -> Look:
    found = summarise(records, scenario).ci.get(goal.metric)
    if found is None:
        raise MeshsimError(
            f"{goal.metric} does not exist in every replication, so it has no interval; choose another metric"
        )
    return goal.look(found, found.mean)
