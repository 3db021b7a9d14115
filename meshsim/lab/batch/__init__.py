"""Runs many scenario files: the verb behind ``meshsim batch`` and ``meshsim.batch``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from meshsim.errors import MeshsimError, Problem, ScenarioError, halves
from meshsim.lab import engines, files
from meshsim.lab.batch.entry import MISSED, OK, REFUSED, UNFINISHED, Entry
from meshsim.lab.batch.result import Batch
from meshsim.lab.jobs.interrupt import Interrupt, interruptible
from meshsim.lab.jobs.pool import Pool, Task, cores
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.run import first_seed, run
from meshsim.lab.sources import Source, read, sources
from meshsim.measure.summary import Summary
from meshsim.plain import converted
from meshsim.scenario.overrides import Overrides

__all__ = ["Batch", "Entry", "batch"]


@converted
def batch(
    paths: str | Path | Sequence[str | Path],
    *,
    engine: str | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    replications: int = 1,
    jobs: int | None = None,
    out: str | Path | None = None,
    save: bool = True,
    progress: Callable[[int, int], None] | None = None,
    interrupted: Callable[[], None] | None = None,
    **options: Unpack[OutputOptions],
) -> Batch:
    """Runs scenario files and those in folders, as many at once as there are cores.

    A file that can't be used keeps no other from running. Ctrl-C ends it early: what has finished until then
    is returned (and saved). A second Ctrl-C aborts.

    Args (all others as of `meshsim.run`, for each file):
        paths: files and folders, see `meshsim.lab.sources.sources`.
        jobs: processes; None takes all cores, 1 runs everything here.
        out: folder for ``batch.json``, the table, and a folder for each scenario with what `Run.save` writes.
        save: whether to write the first two at the end; the runs' own results are written as they finish.
        progress: called with how many have finished, and of how many.

    Raises:
        MeshsimError: an argument can't be used, or the table not be written.
    """
    output(options, saved=out is not None)
    if engine is not None:
        engines.engine(engine)
    first_seed(0 if seed is None else seed, replications)
    found, skipped = sources([paths] if isinstance(paths, str | Path) else paths, out)
    if not found:
        raise MeshsimError("nothing to run; name scenario files, or folders that hold some")
    jobs = cores(jobs)
    entries = [Entry(source.file, source.name) for source in found]
    tasks = _tasks(found, entries, overrides, engine, seed, out)
    folder = None if out is None else files.prepare(out)
    pool = Pool(min(jobs, max(1, len(tasks))), _Work(replications, options))
    with interruptible(interrupted) as stop, pool:
        _fill(entries, pool, tasks, stop, progress)
    for task in tasks:
        if task.folder is not None and entries[task.number].status in (UNFINISHED, REFUSED):
            _clean(task.folder)
    result = Batch(entries, skipped, folder)
    if folder is not None and save:
        result.save(folder, **options)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTask(Task):
    """The run of a file: its entry before it is made, and where its results go."""

    entry: Entry
    folder: Path | None = None


def _tasks(
    found: Sequence[Source],
    entries: list[Entry],
    overrides: Overrides,
    engine: str | None,
    seed: int | None,
    out: str | Path | None,
) -> list[FileTask]:
    """The runs to make, one for each file that can be used; entries say what is wrong with the others."""
    tasks = []
    for number, source in enumerate(found):
        entry = entries[number]
        try:
            scenario = read(source, overrides)
        except ScenarioError as error:
            entries[number] = replace(entry, status=REFUSED, problems=error.problems)
            continue
        first = scenario.seed if seed is None else seed
        folder = None if out is None else Path(out) / entry.name
        tasks.append(FileTask(number, scenario, first, engine, source.file, entry=entry, folder=folder))
    return tasks


def _fill(
    entries: list[Entry],
    pool: Pool[Entry],
    tasks: Sequence[Task],
    stop: Interrupt,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Has the runs made, and enters what came of each as it finishes."""

    def refused(task: Task, error: MeshsimError) -> None:
        why = str(error).removeprefix(f"{task.name}: ")
        entries[task.number] = _refused(entries[task.number], why)

    if progress is not None and tasks:
        progress(0, len(tasks))
    for finished, (number, entry) in enumerate(pool.summaries(tasks, stop=stop, refused=refused), 1):
        entries[number] = entry
        if progress is not None:
            progress(finished, len(tasks))


def _refused(entry: Entry, why: str, seconds: float = 0.0) -> Entry:
    problem = Problem(entry.file, 0, "", *halves(MeshsimError(why)))
    return replace(entry, status=REFUSED, seconds=seconds, problems=(problem,))


@dataclass(frozen=True, slots=True)
class _Work:
    """Makes the run of a file and saves its results, in any process."""

    replications: int
    options: OutputOptions

    def __call__(self, task: Task) -> Entry | None:
        """What came of it, also where it can't be made, so that others go on; None if Ctrl-C cut it short."""
        assert isinstance(task, FileTask)
        began = time.monotonic()
        try:
            numbers = self._run(task)
        except MeshsimError as error:
            why = str(error)
        except MemoryError:
            why = "needs more memory than there is; ask for fewer jobs or shorten its duration"
        except Exception as error:
            why = f"fails by a fault of meshsim ({type(error).__name__}: {error}); please report it"
        else:
            status = OK if all(objective.met for objective in numbers.objectives) else MISSED
            made = replace(task.entry, status=status, seconds=time.monotonic() - began, numbers=numbers)
            return None if numbers.partial else made
        return _refused(task.entry, why, time.monotonic() - began)

    def _run(self, task: FileTask) -> Summary:
        result = run(task.scenario, engine=task.engine, seed=task.seed, replications=self.replications)
        if task.folder is not None and not result.numbers.partial:
            result.save(task.folder, **self.options)
        return result.numbers


def _clean(folder: Path) -> None:
    """Removes what a process has left in a folder that was ended while it wrote there."""
    with contextlib.suppress(OSError):
        for part in folder.glob(".*.part"):
            part.unlink()
        folder.rmdir()  # if nothing else is in it
