"""Runs on several processes: the same results as here, and what happens when a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.jobs import pool as module
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.jobs.pool import Pool, Task, cores, simulate
from meshsim.scenario import loads

sys.path.insert(0, str(Path(__file__).parents[2]))
from processes import alive, eventually, members

TEXT = """
name: small
duration: 5s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
"""
SMALL = loads(TEXT)
LONG = loads(TEXT, overrides={"duration": "200000s", "engine": "simpy"})


def tasks(count: int) -> list[Task]:
    return [Task(number, SMALL, 7 + number) for number in range(count)]


def summaries(tasks, jobs=2, **options):
    with Pool(jobs, simulate) as pool:
        yield from pool.summaries(tasks, **options)


class Deadly:
    """Stands in a task's place for its scenario; unpickling it kills the process, as often as it is told.

    The marks in a folder count: each death leaves one.
    """

    def __init__(self, folder: Path, deaths: int) -> None:
        self.folder, self.deaths = folder, deaths

    def __reduce__(self):
        return _die, (str(self.folder), self.deaths)


def _die(folder: str, deaths: int):
    died = len(list(Path(folder).iterdir()))
    if died < deaths:
        (Path(folder) / str(died)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return SMALL


# ---- the same results -------------------------------------------------------------------------------


def test_results_are_the_same_for_any_number_of_processes() -> None:
    alone = dict(summaries(tasks(5), jobs=1))
    assert list(alone) == [0, 1, 2, 3, 4]
    with Pool(2, simulate) as pool:
        together = dict(pool.summaries(tasks(5)))
        backwards = dict(pool.summaries(tasks(5)[::-1]))
    assert together == alone
    assert backwards == alone
    assert {summary.seed for summary in alone.values()} == {7, 8, 9, 10, 11}


def test_no_tasks_are_no_results() -> None:
    assert list(summaries([], jobs=2)) == []


def test_fewer_than_one_job_is_refused() -> None:
    with pytest.raises(MeshsimError, match="0 jobs do nothing"):
        cores(0)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_mistake_names_the_task(jobs: int) -> None:
    wrong = [Task(0, SMALL, 1, engine="steam", label="load[0].rate=9/s, seed 1"), *tasks(3)[1:]]
    with pytest.raises(MeshsimError, match=r"^load\[0\]\.rate=9/s, seed 1: no engine 'steam'"):
        list(summaries(wrong, jobs=jobs))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_names_the_task_and_keeps_its_traceback(jobs: int) -> None:
    broken = [Task(0, SMALL.model_copy(update={"load": None}), 1, label="the odd one"), *tasks(2)[1:]]
    with pytest.raises(RuntimeError, match="the odd one: TypeError") as caught:
        list(summaries(broken, jobs=jobs))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("jobs", [1, 2])
def test_who_is_told_of_mistakes_gets_all_other_runs(jobs: int) -> None:
    wrong = tasks(5)
    wrong[0] = Task(0, SMALL, 1, engine="steam", label="first")
    wrong[3] = Task(3, SMALL, 1, engine="steam", label="fourth")
    refusals: list[MeshsimError] = []
    found = dict(summaries(wrong, jobs=jobs, refused=lambda _, error: refusals.append(error)))
    assert sorted(str(error).partition(":")[0] for error in refusals) == ["first", "fourth"]
    assert found == {number: summary for number, summary in summaries(tasks(5)) if number in (1, 2, 4)}


def test_left_just_after_a_run_was_handed_over_it_ends_without_a_word(monkeypatch) -> None:
    """A thread hands it over; told to end before it has, it dies of a KeyError that fills the terminal."""
    from joblib.externals.loky import process_executor

    def late(thread, hand_over=process_executor._ExecutorManagerThread.add_call_item_to_queue) -> None:
        time.sleep(0.1)
        hand_over(thread)

    monkeypatch.setattr(process_executor._ExecutorManagerThread, "add_call_item_to_queue", late)
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    coming = summaries(tasks(9), jobs=2)
    next(coming)
    time.sleep(1.0)  # the second has ended too: it is given as soon as a third was handed over
    next(coming)
    coming.close()
    assert died == []


# ---- death ------------------------------------------------------------------------------------------


def test_a_killed_worker_costs_only_what_was_under_way(tmp_path: Path) -> None:
    expected = dict(summaries(tasks(6), jobs=1))
    deadly = tasks(6)
    deadly[2] = Task(2, Deadly(tmp_path, 1), 9)  # type: ignore[arg-type]
    found = dict(summaries(deadly, jobs=2))
    assert len(list(tmp_path.iterdir())) == 1
    assert found == expected


def test_a_task_that_kills_its_worker_every_time_is_named(tmp_path: Path) -> None:
    deadly = tasks(4)
    deadly[1] = Task(1, Deadly(tmp_path, 99), 9, label="workers=1, seed 9")  # type: ignore[arg-type]
    found = []
    with pytest.raises(MeshsimError, match=r"^workers=1, seed 9: .* killed 3 times"):
        found += summaries(deadly, jobs=2)
    assert len(list(tmp_path.iterdir())) == module.TRIES


def test_who_is_told_of_a_task_that_kills_its_worker_gets_all_others(tmp_path: Path) -> None:
    deadly = tasks(4)
    deadly[1] = Task(1, Deadly(tmp_path, 99), 9, label="workers=1, seed 9")  # type: ignore[arg-type]
    refusals: list[MeshsimError] = []
    found = dict(summaries(deadly, jobs=2, refused=lambda _, error: refusals.append(error)))
    assert sorted(found) == [0, 2, 3]
    (error,) = refusals
    assert "killed 3 times" in str(error)


def test_workers_can_be_killed_from_outside() -> None:
    with Pool(2, simulate) as pool:
        running = pool.summaries(tasks(12))
        found = dict([next(running)])
        os.kill(next(iter(pool._executor._processes)), signal.SIGKILL)
        found |= dict(running)
    assert found == dict(summaries(tasks(12), jobs=1))


def test_ctrl_c_ends_the_pool_and_keeps_what_has_finished() -> None:
    stop = Interrupt()
    endless = [Task(0, SMALL, 1), Task(1, LONG, 1), Task(2, LONG, 2)]
    with Pool(2, simulate) as pool:
        found = []
        for each in pool.summaries(endless, stop=stop):
            found.append(each)
            workers = list(pool._executor._processes)
            stop.presses = 1
        assert [number for number, _ in found] == [0]
        assert eventually(lambda: not any(map(alive, workers)))


PARENT = f"""
import sys
from meshsim.lab.jobs.pool import Pool, Task, simulate
from meshsim.scenario import loads
text = {TEXT!r}
tasks = [Task(0, loads(text), 1)]
tasks += [Task(n, loads(text, overrides={{"duration": "200000s", "engine": "simpy"}}), n) for n in (1, 2)]
with Pool(2, simulate) as pool:
    for number, _ in pool.summaries(tasks):
        print(*pool._executor._processes, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_parent(how: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
    )
    with parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert set(workers) < set(members(parent.pid))
        os.kill(workers[0], signal.SIGINT)  # as a terminal does; workers ignore it
        parent.send_signal(how)
        assert parent.wait(60.0) != 0
    assert eventually(lambda: not members(parent.pid))


HELD = """
import signal
from meshsim.lab.jobs.pool import Pool, Task
from meshsim.scenario import loads

def held(_=None):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

if __name__ == "__main__":
    scenario = loads("duration: 1s\\nservices: {a: {}}\\nload: [{to: a, rate: 1/s}]")
    with Pool(2, held) as pool:
        made = dict(pool.summaries([Task(number, scenario, 7) for number in range(6)]))
    print(all(made.values()) and len(made) == 6, held())
"""


def test_workers_are_started_with_ctrl_c_held_back_and_their_parent_goes_on_without() -> None:
    """Else one that is importing joblib when Ctrl-C comes prints where it was.

    In a process of its own, since the first pool of a process starts more than workers.
    """
    told = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "False"]
