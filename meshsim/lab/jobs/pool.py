"""Many independent runs on several processes, each of which may die without taking the others along.

Compiled engines hold Python's global lock, so runs share out over processes, not threads. A worker may be
killed, most often for want of memory. Which run was to blame is not known, so all that were under way are
suspects, and each is run again *alone*: only one that dies alone is convicted. Ctrl-C goes to every process
of the terminal; workers ignore it, and the parent, which knows what has finished, ends them. Workers look now
and then whether their parent is alive. A run's draws depend on its scenario and seed alone, so results are
the same for any number of processes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from meshsim.errors import MeshsimError
from meshsim.lab.jobs.closing import Closing
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.measure.summary import Summary
from meshsim.scenario.model import Scenario

Made = TypeVar("Made")
"""What a task's work makes."""
TRIES = 3
"""So often is a run begun whose worker gets killed."""
GLANCE = 0.1
"""How often the parent looks for Ctrl-C, and a worker for its parent, s."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""For a worker's environment: the processes are as many as the cores already."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run to make, known by its `number`; its `label` is for messages: ``load[0].rate=200/s, seed 7``."""

    number: int
    scenario: Scenario
    seed: int
    engine: str | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """The label, or what can be said without one."""
        return self.label or f"run {self.number}, seed {self.seed}"


Refused = Callable[[Task, MeshsimError], None]
"""Called with a run that can't be made, and why; the message names it."""


class DifferentVersionsError(MeshsimError):
    """A worker has not what we have: no run's fault."""


@contextmanager
def refusing(task: Task, refused: Refused | None) -> Iterator[None]:
    """Reports to `refused` that a run can't be made, so that the others go on; without it, that is raised."""
    try:
        yield
    except MeshsimError as error:
        if refused is None or isinstance(error, DifferentVersionsError):
            raise
        refused(task, error)


def simulate(task: Task) -> Summary | None:
    """Makes one run, here (a worker's work); None if Ctrl-C cut it short (never in a worker).

    Any failure's message names the task: MeshsimError if it can't be made, else RuntimeError.
    """
    from meshsim.lab.run import run  # noqa: PLC0415 - a worker may have been sent here by name only

    try:
        numbers = run(task.scenario, engine=task.engine, seed=task.seed).numbers
        return None if numbers.partial else numbers
    except MeshsimError as error:
        raise MeshsimError(f"{task.name}: {error}") from None
    except MemoryError:
        raise MeshsimError(
            f"{task.name}: needs more memory than there is; ask for fewer jobs or shorten its duration"
        ) from None
    except Exception as error:  # not every exception survives the way between processes
        raise RuntimeError(f"{task.name}: {type(error).__name__}: {error}") from error


def cores(jobs: int | None) -> int:
    """How many processes: as asked (MeshsimError below one), or one for each core that we may use."""
    if jobs is None:
        from joblib import cpu_count  # noqa: PLC0415 - slow to import

        return int(cpu_count())
    if jobs < 1:
        raise MeshsimError(f"{jobs} jobs do nothing; ask for at least 1")
    return jobs


class Pool(Closing, Generic[Made]):
    """Processes that stay for many calls: starting them takes about a second. With one job, runs are here.

    `work` makes a task; it gives None if Ctrl-C cut that short (never in a worker).
    """

    def __init__(self, jobs: int | None, work: Callable[[Task], Made | None]) -> None:
        self.jobs = cores(jobs)
        self.work = work
        self._executor: Any = None

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None

    def summaries(
        self, tasks: Sequence[Task], *, stop: Interrupt | None = None, refused: Refused | None = None
    ) -> Iterator[tuple[int, Made]]:
        """Makes runs, and gives each one's number and result as it finishes: in any order, each once.

        A press of `stop` ends them; without one, Ctrl-C raises KeyboardInterrupt. A run that can't be made,
        or kills its worker time and again, is reported to `refused` and the others go on; without it,
        MeshsimError names it.
        """
        return (self._here if self.jobs == 1 else self._there)(tasks, stop, refused)

    def _here(
        self, tasks: Sequence[Task], stop: Interrupt | None, refused: Refused | None
    ) -> Iterator[tuple[int, Made]]:
        for task in tasks:
            if stop is not None and stop.pressed:
                return
            with refusing(task, refused):
                made = self.work(task)
                if made is None:
                    if stop is None or not stop.pressed:
                        raise KeyboardInterrupt
                    return
                yield task.number, made

    def _there(
        self, tasks: Sequence[Task], stop: Interrupt | None, refused: Refused | None
    ) -> Iterator[tuple[int, Made]]:
        """In other processes; only as many runs under way as processes: so suspects are few."""
        waiting, suspects, deaths = deque(tasks), deque[Task](), Counter[int]()
        flying: dict[Future[Made | None], Task] = {}
        try:
            while waiting or suspects or flying:
                if stop is not None and stop.pressed:
                    return
                while suspects and not flying:
                    self._launch(suspects.popleft(), flying)
                while waiting and not suspects and len(flying) < self._room(deaths, flying):
                    self._launch(waiting.popleft(), flying)
                landed = wait(flying, GLANCE, FIRST_COMPLETED).done
                if any(_lost(future) for future in landed):
                    landed = wait(flying).done  # a dead worker ends the pool, and all others with it
                    lost = [flying.pop(future) for future in landed if _lost(future)]
                    self.close()
                    suspects.extend(_suspected(lost, deaths, refused))
                for future in landed:
                    if future in flying:
                        task = flying.pop(future)
                        with refusing(task, refused):
                            if (made := future.result()) is not None:
                                yield task.number, made
        finally:
            if flying:  # left early: nobody wants what is still under way
                _begun(flying)
                self.close()

    def _room(self, deaths: Counter[int], flying: dict[Future[Made | None], Task]) -> int:
        """How many runs may be under way: one, while that one is a suspect."""
        return 1 if any(deaths[task.number] for task in flying.values()) else self.jobs

    def _launch(self, task: Task, flying: dict[Future[Made | None], Task]) -> None:
        if self._executor is None:
            from multiprocessing import resource_tracker  # noqa: PLC0415 - slow to import, as is joblib

            from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415

            resource_tracker.ensure_running()  # else the first worker starts it, and that lets Ctrl-C through

            self._executor = ProcessPoolExecutor(
                self.jobs, initializer=_settle, initargs=(os.getpid(),), env=ONE_THREAD
            )
        try:
            with _no_interrupts():
                flying[self._executor.submit(self.work, task)] = task
        except OSError as error:
            raise MeshsimError(
                f"can't start {self.jobs} processes: {error.strerror or error}; ask for fewer jobs"
            ) from error
        except RuntimeError as error:  # the pool has just broken: the same as a run that was lost
            future: Future[Made | None] = Future()
            future.set_exception(error)
            flying[future] = task


# ---- death ------------------------------------------------------------------------------------------


def _lost(future: Future[Any]) -> bool:
    """Whether a run's worker died under it."""
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - with all of multiprocessing

    return isinstance(future.exception(), BrokenProcessPool)


def _suspected(lost: Sequence[Task], deaths: Counter[int], refused: Refused | None) -> list[Task]:
    """Counts the runs under way when a worker died, and returns those to run again."""
    again = []
    for task in lost:
        deaths[task.number] += 1
        if deaths[task.number] < TRIES:
            again.append(task)
            continue
        with refusing(task, refused):
            raise MeshsimError(
                f"{task.name}: the process that runs it was killed {TRIES} times, at last while nothing else"
                " ran; it probably needs more memory than there is: shorten its duration, or lower its load"
            )
    return again


def _begun(flying: Iterable[Future[Any]]) -> None:
    """Waits until none is on its way to a worker: loky's thread stumbles over it if told to end just then."""
    deadline = time.monotonic() + 100 * GLANCE
    while not all(future.running() or future.done() for future in flying) and time.monotonic() < deadline:
        time.sleep(GLANCE / 100)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Keeps Ctrl-C back, here until the end, and for good in the processes that are started meanwhile.

    They take a second to import what they need, and would fill the terminal with tracebacks.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle(parent: int) -> None:
    """Makes a new worker leave Ctrl-C to its parent, and end when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_outlive_no_parent, args=(parent,), daemon=True).start()


def _outlive_no_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(5 * GLANCE)
    os._exit(1)
