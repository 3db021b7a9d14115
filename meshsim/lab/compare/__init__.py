"""Compares two scenarios: the verb behind ``meshsim compare`` and ``meshsim.compare``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from meshsim.errors import MeshsimError, ScenarioError
from meshsim.lab import engines, files
from meshsim.lab.compare.comparison import Comparison
from meshsim.lab.compare.pairs import comparable, limits, with_limits
from meshsim.lab.compare.replications import Job, run_pairs
from meshsim.lab.compare.statistics import compared
from meshsim.lab.engines import Progress
from meshsim.lab.run import first_seed
from meshsim.measure import metrics
from meshsim.measure.precision import Goal, Looked
from meshsim.plain import converted
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import SET, Overrides

__all__ = ["REPLICATIONS", "Comparison", "compare"]

REPLICATIONS = 10
"""Pairs of runs, where nobody says."""


@converted
def compare(
    a: str | Path | Scenario,
    b: str | Path | Scenario | None = None,
    *,
    changes: Overrides = (),
    overrides: Overrides = (),
    engine: str | None = None,
    seed: int | None = None,
    replications: int = REPLICATIONS,
    until: str | float | None = None,
    metric: str = metrics.USUAL,
    at_most: int | None = None,
    jobs: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    looked: Looked | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Comparison:
    """Runs two scenarios on common random numbers and says what differs.

    Each pair of runs shares a seed, so both see the same arrivals and service times. Ctrl-C keeps the pairs
    that have finished, if there are two; a second one aborts.

    Args (all others as of `meshsim.run`):
        a: a file's path, or a scenario that is already loaded.
        b: likewise; None is A, with `changes`.
        changes: overrides of B alone: ``["policies.cart.retries.attempts=0"]``; `overrides` are of both.
        seed: of the first pair, the next has the next; None takes A's.
        replications: pairs of runs, at least 2.
        until: ``"5%"`` or 0.05: adds pairs, from 10 on, until the interval is so narrow for A's mean.
        metric: that the comparison is about: what `until` looks at and the sentences begin with.
        jobs: processes; None takes all cores.

    Raises:
        MeshsimError: a scenario or another argument can't be used, or the results not written.
        KeyboardInterrupt: Ctrl-C came before two pairs had finished.
    """
    first, second = _scenarios(a, b, overrides, changes)
    shared_limits = [path for path in limits(first) if path in limits(second)]
    metrics.check(metric, [*comparable(first, second), *shared_limits])
    goal = Goal.of(until, metric, replications, at_most)
    count = replications if goal is None else goal.at_most
    if count < 2:
        raise MeshsimError(f"{count} pairs of runs have no interval; ask for at least 2 replications")
    start = first_seed(first.seed if seed is None else seed, count)
    if out is not None:
        files.prepare(out, scenarios=files.PAIR)
    job = Job(first, second, start, engine, metric, replications, goal, jobs)
    notes = engines.complaint(first.engine if engine is None else engine)
    if seed is None and second.seed != first.seed:
        notes.append(f"B's own seed, {second.seed}, is not used: both have A's.")
    pairs, look, cut_short = run_pairs(job, progress, interrupted, looked)
    numbers = compared(job, _labels(first, second, changes), pairs, look, partial=cut_short, notes=notes)
    result = Comparison(first, second, pairs, numbers)
    if out is not None:
        result.save(out)
    return result


def _scenarios(
    a: str | Path | Scenario, b: str | Path | Scenario | None, overrides: Overrides, changes: Overrides
) -> tuple[Scenario, Scenario]:
    """Both scenarios, each with the objectives of both; MeshsimError if there is nothing to compare."""
    if b is None and not changes:
        raise MeshsimError(
            "nothing to compare with: name a second scenario, or what B changes, such as"
            " --with policies.cart.retries.attempts=0"
        )
    if b is None and str(a) == "-":
        a = load("-")  # standard input can be read only once
    first = load(a, overrides)
    second = _changed(load(a if b is None else b, overrides), changes)
    return with_limits(first, second), with_limits(second, first)


def _changed(scenario: Scenario, changes: Overrides) -> Scenario:
    """B's own changes; a problem with them is said to be where the user wrote it."""
    try:
        return load(scenario, changes)
    except ScenarioError as error:
        problems = [replace(each, file="--with") if each.file == SET else each for each in error.problems]
        raise ScenarioError(problems) from None


def _labels(a: Scenario, b: Scenario, changes: Overrides) -> tuple[str, str]:
    """What the scenarios are called: by name, and B by what it changes if that does not distinguish them."""
    first, second = a.name or "scenario", b.name or "scenario"
    if first != second or not changes:
        return first, second
    pairs = [f"{key}={value}" for key, value in changes.items()] if isinstance(changes, dict) else changes
    return first, f"with {', '.join(pairs)}"
