"""The programs that meshsim is compared with simulate what they say they do; nothing here asks how fast."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meshsim.scenario import load
from meshsim.theory import erlang

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "tests" / "benchmarks" / "peers"
REQUESTS = 60_000
STANDARD_ERRORS = 4.0
"""A right program is farther from the exact mean once in 15,000 times."""


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules that need no peer, imported by plain names as the programs do."""
    monkeypatch.syspath_prepend(PEERS)
    names = ("common", "exact")
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        del sys.modules[name]


def run(program: str, system: str, form: str, requests: int = REQUESTS, seed: int = 7) -> dict[str, Any]:
    command = [sys.executable, str(PEERS / program), system, str(requests), str(seed), form]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("system", ["mm1", "mm4", "chain"])
@pytest.mark.parametrize(
    ("program", "form"),
    [
        ("heapq_loop.py", "latencies"),
        ("heapq_loop.py", "rows"),
        ("simpy_processes.py", "request"),
        ("simpy_processes.py", "worker"),
    ],
)
def test_the_mean_is_the_exact_one(
    peers: dict[str, ModuleType], program: str, form: str, system: str
) -> None:
    line = run(program, system, form)
    assert line["requests"] == REQUESTS
    truth = peers["exact"].mean_time(peers["common"].SYSTEMS[system])
    assert abs(line["mean"] - truth) < STANDARD_ERRORS * line["se"]


def test_meshsim_simulates_the_same_chain(peers: dict[str, ModuleType]) -> None:
    line = run("meshsim_scenario.py", "chain", "simpy", requests=10_000)
    truth = peers["exact"].mean_time(peers["common"].SYSTEMS["chain"])
    assert abs(line["mean"] - truth) < STANDARD_ERRORS * line["se"]


def test_the_exact_means_are_erlangs(peers: dict[str, ModuleType]) -> None:
    systems, mean_time = peers["common"].SYSTEMS, peers["exact"].mean_time
    assert mean_time(systems["mm1"]) == pytest.approx(1.0 / (100.0 - 80.0), rel=1e-9)
    assert mean_time(systems["mm4"]) == pytest.approx(erlang.mmc_sojourn(320.0, 100.0, 4), rel=1e-9)


def test_held_workers_that_never_wait_leave_the_first_station_alone(peers: dict[str, ModuleType]) -> None:
    """Below, there are as many workers as above: a request holds its worker for an Erlang-2 time, M/E2/1."""
    common, exact = peers["common"], peers["exact"]
    station = common.Station(1, 0.005)
    rate, service, scv = 60.0, 0.010, 0.5
    busy = rate * service
    wait = busy / (1.0 - busy) * service * (1.0 + scv) / 2.0  # Pollaczek-Khinchine
    system = common.System(rate, (station, station))
    assert exact.mean_time(system) == pytest.approx(service + wait, rel=1e-9)


@pytest.mark.parametrize("system", ["mm1", "mm4", "chain"])
def test_the_scenario_files_are_the_same_systems(peers: dict[str, ModuleType], system: str) -> None:
    told, scenario = peers["common"].SYSTEMS[system], load(PEERS / f"{system}.yaml")
    assert [each.workers for each in scenario.services.values()] == [each.workers for each in told.stations]
    assert all(each.holds_worker for each in scenario.services.values())
    text = (PEERS / f"{system}.yaml").read_text(encoding="utf-8")
    assert re.findall(r"exponential: (\S+?)ms", text) == [f"{each.mean * 1e3:g}" for each in told.stations]
    assert re.findall(r"rate: (\S+?)/s", text) == [f"{told.rate:g}"]


@pytest.mark.parametrize("file", sorted(PEERS.glob("requirements-*.txt")), ids=lambda file: file.stem)
def test_requirements_are_names_and_versions(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
