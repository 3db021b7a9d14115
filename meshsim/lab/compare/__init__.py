"""Compares two scenarios on the same luck: the verb behind ``meshsim compare`` and ``meshsim.compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.compare.comparison import Comparison
from meshsim.lab.compare.evidence import comparable
from meshsim.lab.compare.runner import run_pairs
from meshsim.lab.compare.summary import summarise, with_objectives
from meshsim.lab.run import SEED_LIMIT, Progress
from meshsim.measure import metrics
from meshsim.measure.precision import AT_MOST, Goal, Looked
from meshsim.scenario import load, loads, written
from meshsim.scenario.advice import advise
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides

__all__ = ["REPLICATIONS", "Comparison", "compare"]

REPLICATIONS = 10
"""Pairs of runs, where nobody says."""


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
    at_most: int = AT_MOST,
    jobs: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    looked: Looked | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Comparison:
    """Runs two scenarios on common random numbers and says what differs.

    Each pair of runs shares a seed, so both see the same arrivals and service times. Ctrl-C ends the
    comparison early with the pairs that have finished, if there are two; a second one gives up.

    Args:
        a: a file's path, or a scenario that is already loaded.
        b: likewise; None is A, with `changes`.
        changes: overrides of B alone: ``["policies.cart.retries.attempts=0"]``.
        overrides: of both.
        engine: ``auto``, ``simpy`` or ``reference``; None takes each scenario's.
        seed: of the first pair, the next has the next; None takes A's.
        replications: pairs of runs, at least 2.
        until: ``"5%"`` or 0.05: adds pairs until the half width of the metric's difference is at most so much
            of A's mean; `replications` are then the least, and at least 10.
        metric: that the comparison is about: what `until` looks at and the sentences begin with.
        at_most: pairs, with `until`.
        jobs: processes; None takes all cores.
        out: folder for the results, checked before the runs; None keeps them in memory only.
        progress: is told how much time has been simulated, s.
        looked: is told whenever `until` has looked.
        interrupted: is called at the first Ctrl-C, to say that it was noticed.

    Raises:
        ScenarioError: a scenario can't be used.
        MeshsimError: another argument can't, or the results could not be written.
        KeyboardInterrupt: Ctrl-C came before two pairs had finished.
    """
    first, second = _scenarios(a, b, overrides, changes)
    known = comparable(first, second)
    known += [path for path in _objective_paths(first) if path in _objective_paths(second)]
    metrics.check(metric, known)
    goal = None if until is None else Goal.of(until, metric, replications, at_most)
    start = _seed(first.seed if seed is None else seed, replications if goal is None else goal.at_most)
    if out is not None:
        files.prepare(out)
    pairs, look, cut_short = run_pairs(
        first,
        second,
        seed=start,
        engine=engine,
        pairs=replications,
        goal=goal,
        metric=metric,
        jobs=jobs,
        progress=progress,
        interrupted=interrupted,
        looked=looked,
    )
    notes = [f"Interrupted after {len(pairs)} pairs."] if cut_short else []
    if seed is None and second.seed != first.seed:
        notes.append(f"B's own seed, {second.seed}, is not used: both have A's.")
    summary = summarise(
        first, second, pairs, metric=metric, goal=goal, look=look, partial=cut_short, notes=notes
    )
    summary["a"]["label"], summary["b"]["label"] = _labels(first, second, changes)
    summary["notes"] += _advice(first, second)
    result = Comparison(first, second, pairs, summary)
    if out is not None:
        result.save(out)
    return result


def _scenarios(
    a: str | Path | Scenario, b: str | Path | Scenario | None, overrides: Overrides, changes: Overrides
) -> tuple[Scenario, Scenario]:
    """Both scenarios, each with the objectives of both.

    Raises:
        ScenarioError: one can't be used.
        MeshsimError: there is nothing to compare.
    """
    if b is None and not changes:
        raise MeshsimError(
            "nothing to compare with: name a second scenario, or what B changes, such as"
            " --with policies.cart.retries.attempts=0"
        )
    if b is None and str(a) == "-":
        a = load("-")  # standard input can be read only once
    first = _scenario(a, overrides)
    second = _scenario(_scenario(a if b is None else b, overrides), changes)
    return with_objectives(first, second), with_objectives(second, first)


def _scenario(source: str | Path | Scenario, overrides: Overrides) -> Scenario:
    if not isinstance(source, Scenario):
        return load(source, overrides)
    return loads(written.text(source), overrides=overrides, folder=source.folder) if overrides else source


def _seed(seed: int, pairs: int) -> int:
    if pairs < 2:
        raise MeshsimError(f"{pairs} pairs of runs have no interval; ask for at least 2 replications")
    if not 0 <= seed <= SEED_LIMIT - pairs:
        raise MeshsimError(f"seed {seed} is out of range; choose one from 0 to {SEED_LIMIT - pairs}")
    return seed


def _objective_paths(scenario: Scenario) -> list[str]:
    return [
        f"objectives.{objective.service}.{key}"
        for objective in scenario.objectives
        for key in objective.model_dump(exclude={"service"}, exclude_none=True)
    ]


def _labels(a: Scenario, b: Scenario, changes: Overrides) -> tuple[str, str]:
    """What the scenarios are called: by name, and B by what it changes if that does not tell them apart."""
    first, second = a.name or "scenario", b.name or "scenario"
    if first != second or not changes:
        return first, second
    pairs = [f"{key}={value}" for key, value in changes.items()] if isinstance(changes, dict) else changes
    return first, f"with {', '.join(pairs)}"


def _advice(a: Scenario, b: Scenario) -> list[str]:
    """What has no effect, in either."""
    found: dict[str, str] = {}
    for side, scenario in (("A", a), ("B", b)):
        for advice in advise(scenario):
            found[str(advice)] = "A and B" if str(advice) in found else side
    return [f"{side}: {advice}" for advice, side in found.items()]
