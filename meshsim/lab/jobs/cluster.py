"""The same runs on a Dask cluster, whose workers may be on other machines and may die as well.

Dask starts the runs of a lost worker again, and names one that lost too many. Left to do here: workers must
have our versions, or numbers would differ; and few runs are sent ahead, so that Ctrl-C leaves little behind.
"""

from __future__ import annotations

import contextlib
import platform
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import Any

from meshsim import version
from meshsim.errors import MeshsimError
from meshsim.lab.jobs.closing import Closing
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.jobs.pool import GLANCE, DifferentVersionsError, Refused, Task, refusing, simulate
from meshsim.measure.summary import Summary

PATIENCE = 10.0
"""How long a scheduler may take to answer, and a cluster may be without workers at the start, s."""
AHEAD = 2
"""So many runs for each thread of the workers are at the cluster at once: one runs, one waits its turn."""

Versions = dict[str, str]


class Cluster(Closing):
    """A Dask cluster as what makes the runs of a sweep; `address` is such as ``tcp://192.168.1.5:8786``."""

    def __init__(self, address: str) -> None:
        """Connects, and compares versions; MeshsimError if these differ or a part is missing."""
        try:
            from distributed import Client  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MeshsimError(
                "--cluster needs Dask; install it with pip install 'meshsim[cluster]'"
            ) from error
        self.address = address
        connect: Any = Client  # which has no types
        try:
            self._client: Any = connect(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise MeshsimError(
                f"no Dask scheduler answers at {address}: {error}; start one with dask scheduler, and give"
                " its address, such as tcp://192.168.1.5:8786"
            ) from error
        try:
            self._check_workers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leaves the cluster; it goes on without us."""
        self._client.close()

    def summaries(
        self, tasks: Sequence[Task], *, stop: Interrupt | None = None, refused: Refused | None = None
    ) -> Iterator[tuple[int, Summary]]:
        """See `meshsim.lab.jobs.pool.Pool.summaries`."""
        executor = self._client.get_executor(pure=False)
        waiting, flying = deque(tasks), dict[Future[Summary | None], Task]()
        ours = versions()
        try:
            while waiting or flying:
                if stop is not None and stop.pressed:
                    return
                while waiting and len(flying) < self._room():
                    task = waiting.popleft()
                    flying[executor.submit(remote, task, ours)] = task
                for future in wait(flying, GLANCE, FIRST_COMPLETED).done:
                    task = flying.pop(future)
                    with refusing(task, refused):
                        if (summary := _result(future, task)) is not None:
                            yield task.number, summary
        except (OSError, CancelledError) as error:
            raise MeshsimError(
                f"the scheduler at {self.address} is gone, and what was under way with it; what has finished"
                " is kept: start it again, and give the same command (without --fresh)"
            ) from error
        finally:
            with contextlib.suppress(OSError, CancelledError):
                for future in flying:
                    future.cancel()
                executor.shutdown(wait=False)

    def _room(self) -> int:
        """How many runs may be at the cluster: workers come and go."""
        return max(1, AHEAD * int(sum(self._client.nthreads().values())))

    def _check_workers(self) -> None:
        from distributed.comm.core import CommClosedError  # noqa: PLC0415 - it is there

        try:
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise MeshsimError(
                f"the scheduler at {self.address} has no workers; start some with dask worker {self.address}"
            ) from error
        found: dict[str, Any] = self._client.run(versions, on_error="return")
        for worker, theirs in found.items():
            if isinstance(theirs, CommClosedError | OSError):
                continue  # it has just gone
            if isinstance(theirs, BaseException):
                raise DifferentVersionsError(
                    f"the worker {worker} can't run meshsim ({type(theirs).__name__}: {theirs}); install"
                    f" meshsim {version.VERSION} there"
                )
            compare(worker, theirs)


def versions() -> Versions:
    """What must be the same everywhere for results to be: meshsim's, Python's and numpy's versions."""
    import numpy as np  # noqa: PLC0415 - only workers without it would care

    return {
        "meshsim": version.VERSION,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": np.__version__,
    }


def compare(worker: str, theirs: Versions, ours: Versions | None = None) -> None:
    """Refuses a worker whose versions differ from `ours`, by default those of this process."""
    ours = versions() if ours is None else ours
    differing = [name for name, version in ours.items() if theirs.get(name) != version]
    if differing:
        words = ", ".join(f"{name} {theirs.get(name)} and not {ours[name]}" for name in differing)
        raise DifferentVersionsError(
            f"the worker {worker} has {words}; install the same there, or its results would not be these"
        )


def remote(task: Task, expected: Versions) -> Summary | None:
    """Makes one run on a worker, which may have come after the others were compared."""
    compare(platform.node(), versions(), expected)
    return simulate(task)


def _result(future: Future[Summary | None], task: Task) -> Summary | None:
    from distributed import KilledWorker  # noqa: PLC0415 - it is there

    try:
        return future.result()
    except KilledWorker as error:
        raise MeshsimError(
            f"{task.name}: {error.allowed_failures + 1} workers died while they ran it; they probably need"
            " more memory than they have: shorten its duration, or lower its load"
        ) from error
