"""The same sweep on a Dask cluster: a real scheduler and real workers, as processes on the loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.jobs import cluster as module
from meshsim.lab.jobs.cluster import Cluster, compare, versions
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.jobs.pool import Task
from meshsim.lab.sweep import sweep
from meshsim.scenario import loads

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")

TEXT = """
name: small
duration: 20s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
"""
SMALL = loads(TEXT)
VARY = {"load[0].rate": ["50/s", "100/s", "150/s"]}
LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard")
Start = Callable[..., subprocess.Popen[bytes]]


@contextmanager
def processes() -> Iterator[Start]:
    """What starts processes of Dask's; they are killed at the end, so that no test waits for them."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            each.kill()
            each.wait()


def scheduler(start: Start, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """Starts a scheduler at a port that the system finds; its address, and it."""
    file = folder / "scheduler.json"
    head = start("scheduler", *LOOPBACK, "--port", "0", "--scheduler-file", str(file))
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        try:
            return str(json.loads(file.read_text())["address"]), head
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("no scheduler")


def worker(start: Start, address: str) -> subprocess.Popen[bytes]:
    return start("worker", address, *LOOPBACK, "--nthreads", "1", "--no-nanny", "--worker-port", "0")


def test_a_cluster_that_loses_a_worker_half_way_gives_the_results_of_this_machine(tmp_path: Path) -> None:
    expected = sweep(SMALL, VARY, replications=4, jobs=1)
    with processes() as start:
        address, _ = scheduler(start, tmp_path)
        first, _ = worker(start, address), worker(start, address)
        with Cluster(address) as cluster:
            cluster._client.wait_for_workers(2, timeout=300)

        def kill_one(finished: int, total: int) -> None:
            if finished == total // 3 and first.poll() is None:
                first.send_signal(signal.SIGKILL)
                first.wait()

        found = sweep(SMALL, VARY, replications=4, cluster=address, out=tmp_path / "out", progress=kill_one)
        assert first.poll() == -signal.SIGKILL
        assert found.computed == 12
        assert list(found.columns) == list(expected.columns)
        for name, column in expected.columns.items():
            np.testing.assert_array_equal(found.columns[name], column, name)
        with pytest.raises(MeshsimError, match=r"^the odd one: no engine 'steam'"), Cluster(address) as again:
            list(again.summaries([Task(0, SMALL, 1, "steam", "the odd one")]))
        with Cluster(address) as again:
            refusals: list[MeshsimError] = []
            odd = [Task(0, SMALL, 1, "steam", "the odd one"), Task(1, SMALL, 1)]
            assert [
                number for number, _ in again.summaries(odd, refused=lambda _, error: refusals.append(error))
            ] == [1]
            assert [str(error).partition(":")[0] for error in refusals] == ["the odd one"]
            stop = Interrupt()
            stop.presses = 1
            assert list(again.summaries([Task(0, SMALL, 1)], stop=stop)) == []


def test_the_workers_must_have_our_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with processes() as start:
        address, _ = scheduler(start, tmp_path)
        monkeypatch.setattr(module, "PATIENCE", 60.0)
        with monkeypatch.context() as here:
            waits = distributed.Client.wait_for_workers
            here.setattr(
                distributed.Client, "wait_for_workers", lambda *args, timeout: waits(*args, timeout=0.5)
            )
            with pytest.raises(MeshsimError, match=f"^the scheduler at {address} has no workers"):
                Cluster(address)
        worker(start, address)
        with Cluster(address) as cluster:
            assert len(dict(cluster.summaries([Task(n, SMALL, n) for n in range(3)]))) == 3
            monkeypatch.setattr("meshsim.version.VERSION", "99.0")
            with pytest.raises(MeshsimError, match=r"has meshsim \S+ and not 99\.0; install the same there"):
                list(cluster.summaries([Task(0, SMALL, 1)]))
        with pytest.raises(MeshsimError, match=r"has meshsim \S+ and not 99\.0; install the same there"):
            Cluster(address)


def test_a_scheduler_that_dies_is_told(tmp_path: Path) -> None:
    with processes() as start:
        address, head = scheduler(start, tmp_path)
        worker(start, address)
        with Cluster(address) as cluster:
            running = cluster.summaries([Task(n, SMALL, n) for n in range(50)])
            next(running)
            head.kill()
            with pytest.raises(MeshsimError, match=f"^the scheduler at {address} is gone"):
                list(running)


def test_where_no_scheduler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with pytest.raises(MeshsimError, match=r"^no Dask scheduler answers at tcp://127.0.0.1:1: "):
        Cluster("tcp://127.0.0.1:1")
    with pytest.raises(MeshsimError, match=r"^no Dask scheduler answers at no address"):
        Cluster("no address")


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MeshsimError, match=r"install it with pip install 'meshsim\[cluster\]'"):
        Cluster("tcp://127.0.0.1:1")


def test_every_difference_is_named() -> None:
    ours = {"meshsim": "1", "Python": "3.11", "numpy": "2.0"}
    compare("here", versions())
    compare("there", ours, ours)
    with pytest.raises(
        MeshsimError, match=r"^the worker there has Python 3\.12 and not 3\.11, numpy None and not 2\.0"
    ):
        compare("there", {"meshsim": "1", "Python": "3.12"}, ours)
