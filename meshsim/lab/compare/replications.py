"""Runs pairs: here one after the other, or on several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from meshsim.errors import MeshsimError
from meshsim.lab.compare.pairs import Pair, pair_of, values
from meshsim.lab.engines import Progress
from meshsim.lab.jobs.interrupt import Interrupt, interruptible
from meshsim.lab.jobs.pool import Pool, Task
from meshsim.lab.run import run
from meshsim.measure import metrics
from meshsim.measure.differences import CONFIDENCE, changes
from meshsim.measure.intervals import interval
from meshsim.measure.precision import Goal, Looked, Until
from meshsim.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class PairTask(Task):
    """Two runs with one seed: of `scenario`, which is A, and of `other`, B."""

    other: Scenario | None = None


def make(task: Task, progress: Progress | None = None) -> Pair | None:
    """Makes a pair; None if Ctrl-C came first (never in a worker). Progress in s, of A and B together."""
    assert isinstance(task, PairTask)
    assert task.other is not None
    runs, behind = [], 0.0
    for scenario in (task.scenario, task.other):
        report = None if progress is None else partial(_report, progress, behind)
        runs.append(run(scenario, engine=task.engine, seed=task.seed, progress=report))
        if runs[-1].numbers.partial:
            return None
        behind += scenario.duration
    return pair_of(runs[0], runs[1])


def _report(progress: Progress, behind: float, now: float) -> None:
    progress(behind + now)


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: scenarios `a` and `b`, the first pair's seed, and how many `pairs`, or until the `goal`.

    If the first runs are too short for `metric`, that is an error.
    """

    a: Scenario
    b: Scenario
    seed: int
    engine: str | None
    metric: str
    pairs: int
    goal: Goal | None
    jobs: int | None


@dataclass(slots=True)
class Runner:
    """Makes the pairs of a job, in a pool; `pairs` are those that have finished."""

    job: Job
    pool: Pool[Pair]
    progress: Progress | None
    stop: Interrupt
    pairs: list[Pair] = field(default_factory=list)

    def to(self, count: int) -> bool:
        """Makes pairs until there are so many; says whether Ctrl-C kept it from that."""
        first, job = len(self.pairs), self.job
        tasks = [
            PairTask(number, job.a, job.seed + number, job.engine, other=job.b)
            for number in range(first, count)
        ]
        if self.pool.jobs == 1:  # several processes report only when a pair has finished
            self.pool.work = partial(make, progress=self.report)
        for _, made in self.pool.summaries(tasks, stop=self.stop):
            if first == 0:
                metrics.refuse_unsupported(job.metric, made.a.numbers)
                metrics.refuse_unsupported(job.metric, made.b.numbers)
            self.pairs.append(made)
            self.report(0.0)
        self.pairs.sort(key=lambda pair: pair.seed)
        return len(self.pairs) < count

    def report(self, now: float) -> None:
        """Tells how much time has been simulated: of all finished pairs and, s, of the one under way."""
        if self.progress is not None:
            self.progress(len(self.pairs) * (self.job.a.duration + self.job.b.duration) + now)


def run_pairs(
    job: Job, progress: Progress | None, interrupted: Callable[[], None] | None, looked: Looked | None
) -> tuple[list[Pair], Until | None, bool]:
    """Makes pairs: as many as the job says, or until its goal is reached.

    Returns the pairs by seed, the last look at the goal, and whether Ctrl-C came before the end.
    MeshsimError: the metric is a percentile that a run is too short for, or does not exist.
    KeyboardInterrupt: Ctrl-C came before two pairs had finished, so there is nothing to compare.
    """
    goal, look = job.goal, None
    with interruptible(interrupted) as stop, Pool(job.jobs, make) as pool:
        runner = Runner(job, pool, progress, stop)
        cut_short = runner.to(job.pairs if goal is None else goal.least)
        if len(runner.pairs) < 2:
            raise KeyboardInterrupt
        while goal is not None:
            look = _look(goal, runner.pairs)
            if looked is not None:
                looked(look)
            if cut_short or look.to == len(runner.pairs):
                break
            cut_short = runner.to(look.to)
        return runner.pairs, look, cut_short


def _look(goal: Goal, pairs: Sequence[Pair]) -> Until:
    known = values(goal.metric, pairs)
    if known is None:
        raise MeshsimError(f"{goal.metric} does not exist in every run; choose another metric")
    return goal.look(interval(changes(*known), CONFIDENCE), math.fsum(known[0]) / len(pairs))
