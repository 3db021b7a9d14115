"""``meshsim live`` as a program: what it prints, writes and leaves, with the real roles."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from meshsim.cli.live import _tell
from meshsim.lab.live import Served
from meshsim.lab.run import run
from meshsim.measure.traces import TraceExport
from tests.live.processes import gone, listening, until

ROOT = Path(__file__).parent.parent.parent
TEXT = """
name: pair
seed: 7
duration: {duration}
services:
  front: {{workers: 4, time: {{exponential: 5ms}}, script: [{{call: back}}]}}
  back: {{workers: 4, time: {{exponential: 5ms}}}}
mesh: {{dataplane: sidecar}}
load: [{{to: front, rate: 30/s}}]
objectives: [{{service: front, p99: 1us}}]
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "pair.yaml"
    file.write_text(TEXT.format(duration="2s"))
    return file


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: str | Path) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-m", "meshsim", "live", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            process_group=0,
        )
        begun.append(program)
        return program

    yield begin
    for program in begun:
        program.kill()
        rest(program)


def rest(program: subprocess.Popen[str]) -> tuple[str, str]:
    return program.communicate(timeout=300)


def left(folder: Path) -> list[Path]:
    return list(folder.glob("meshsim-*"))


def heard(program: subprocess.Popen[str]) -> tuple[dict[str, Any], set[int]]:
    """What a program says when it is ready, and its proxies' listening sockets."""
    assert program.stdout is not None
    said: dict[str, Any] = json.loads(program.stdout.readline())
    urls = [each[kind] for each in said["proxies"] for kind in ("inbound", "outbound", "admin")]
    sockets = listening(int(url.rpartition(":")[2]) for url in urls if url is not None)
    assert sockets
    return said, sockets


def test_a_run_leaves_what_a_simulation_leaves(scenario: Path, start: Start, tmp_path: Path) -> None:
    program = start(scenario, "--json", "--out", tmp_path / "out", "--set", "tracing.sampling=1")
    said, sockets = heard(program)
    printed, complaints = rest(program)
    assert program.returncode == 0, complaints
    summary = json.loads(printed)
    assert [each["id"] for each in said["proxies"]] == ["client/0", "front/0", "back/0"]
    assert list(said["entry"]) == ["front"]
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    simulated = run(scenario, overrides=["tracing.sampling=1"])
    assert summary["engine"] == "live"
    assert summary["requests"]["offered"] == simulated.summary["requests"]["offered"]
    assert summary["requests"]["failed"] == summary["requests"]["unfinished"] == 0
    assert summary["live"]["lag"]["p50"] >= 0.0
    assert set(summary) - {"live"} == set(simulated.summary)
    requests = pd.read_parquet(tmp_path / "out" / "requests.parquet")
    assert requests.columns.tolist() == simulated.requests.columns.tolist()
    # the very same draws: no request is faster than in the simulation, which knows of no overhead
    assert (requests["latency"] >= simulated.requests["latency"] - 1e-6).all()
    spans = pd.read_parquet(tmp_path / "out" / "spans.parquet")
    assert set(spans["span_id"]) == set(simulated.spans["span_id"])
    assert not left(tmp_path)
    assert not listening() & sockets


def test_without_load_it_serves_until_ctrl_c(scenario: Path, start: Start, tmp_path: Path) -> None:
    program = start(scenario, "--no-load", "--json", "--access-log", tmp_path / "logs")
    said, sockets = heard(program)
    with urllib.request.urlopen(said["entry"]["front"], timeout=60) as response:
        assert response.read() == b"front/0\n"
    os.killpg(program.pid, signal.SIGINT)
    printed, complaints = rest(program)
    assert (program.returncode, printed, complaints) == (0, "", "")
    line = json.loads((tmp_path / "logs" / "front-0.jsonl").read_text().splitlines()[0])
    assert line["response_code"] == 200
    assert not left(tmp_path)
    assert not listening() & sockets


@pytest.mark.parametrize("sent", [None, TraceExport("http://x", 0.0, 3, 0, 0, 0, {}, interrupted=False)])
def test_troubles_of_a_mesh_that_only_served_are_told(sent: TraceExport | None, capsys: Any) -> None:
    served = Served(sent, ["Not the scenario's doing, in the Envoy of a/0, once: it was late."])
    assert _tell(served, as_json=True) == 0
    printed, complaints = capsys.readouterr()
    assert complaints == f"meshsim: {served.notes[0]}\n"
    traces = {} if sent is None else {"traces": sent.as_dict()}
    assert json.loads(printed) == {**traces, "notes": served.notes}
    assert _tell(served, as_json=False) == 0
    printed, complaints = capsys.readouterr()
    assert complaints == f"meshsim: {served.notes[0]}\n"
    assert printed == ("" if sent is None else "Sent 3 spans to http://x\n")


def test_ctrl_c_keeps_what_was_measured(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(TEXT.format(duration="60s"))
    program = start(file, "--json", "--out", tmp_path / "out")
    assert program.stdout is not None
    json.loads(program.stdout.readline())
    time.sleep(2.0)
    os.killpg(program.pid, signal.SIGINT)
    printed, complaints = rest(program)
    assert program.returncode == 130
    assert "the results are partial" in complaints
    summary = json.loads(printed)
    assert summary["partial"]
    assert 1.0 < summary["measured"] < 20.0
    assert summary["requests"]["completed"] > 10
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert not left(tmp_path)


def test_kill_9_leaves_nothing(scenario: Path, start: Start, tmp_path: Path) -> None:
    program = start(scenario, "--no-load", "--json")
    _, sockets = heard(program)
    keepers = [
        int(file.parent.name) for file in Path("/proc").glob("[0-9]*/stat") if _parent(file) == program.pid
    ]
    assert keepers
    program.kill()
    program.wait(60.0)
    assert until(lambda: gone(keepers, sockets, "/nowhere") and not left(tmp_path))


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def test_an_objective_that_is_missed_is_told_by_the_exit_code(scenario: Path, start: Start) -> None:
    program = start(scenario, "--check", "--set", "duration=1s")
    printed, _ = rest(program)
    assert program.returncode == 1
    assert "engine live" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-load", "--out", "out"), "with --no-load nothing is measured"),
        (("--no-load", "--csv", "--dpi", "50"), "with --no-load nothing is measured; leave out --dpi, --csv"),
        (("--certificates", "certificates"), "--certificates: the scenario has no mTLS"),
        (
            ("--intercept", "--set", "services.front.sidecar=false", "--set", "services.back.sidecar=false"),
            "--intercept: no service has a sidecar",
        ),
        (("--proxy", "nginx"), "no proxy 'nginx'; choose meshsim or envoy"),
        (("--set", "load=[]"), "load"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_bad_input_is_told_in_one_message(
    scenario: Path, start: Start, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    program = start(scenario, *words)
    _, complaints = rest(program)
    assert program.returncode == 2
    assert said in complaints
    assert complaints.startswith("meshsim: "), "nothing has begun"
    assert not left(tmp_path)
    assert not Path(ROOT, "certificates").exists()


@pytest.mark.skipif(importlib.util.find_spec("envoy") is None, reason="needs the extra envoy")
def test_behind_real_envoys_the_same_scenario_leaves_the_same(
    scenario: Path, start: Start, tmp_path: Path
) -> None:
    program = start(scenario, "--proxy", "envoy", "--json", "--access-log", tmp_path / "logs")
    _, sockets = heard(program)
    printed, complaints = rest(program)
    assert program.returncode == 0, complaints
    summary, simulated = json.loads(printed), run(scenario).summary
    assert summary["engine"] == "envoy"
    for part in ("requests", "attempts"):
        assert summary[part] == pytest.approx(simulated[part])
    assert summary["services"]["back"]["requests"] == simulated["services"]["back"]["requests"]
    assert (tmp_path / "logs" / "client-0.jsonl").stat().st_size > 0
    assert not left(tmp_path)
    assert not listening() & sockets


@pytest.mark.skipif(importlib.util.find_spec("envoy") is None, reason="needs the extra envoy")
def test_kill_9_leaves_no_envoy(scenario: Path, start: Start, tmp_path: Path) -> None:
    program = start(scenario, "--proxy", "envoy", "--no-load", "--json")
    _, sockets = heard(program)
    program.kill()
    program.wait(60.0)
    assert until(lambda: not (left(tmp_path) or listening() & sockets))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_programs_in_other_languages_call_each_other_through_sidecars(start: Start, tmp_path: Path) -> None:
    program = start(ROOT / "scenarios" / "live" / "polyglot.yaml", "--no-load", "--json")
    assert program.stdout is not None
    said = json.loads(program.stdout.readline())
    with urllib.request.urlopen(said["entry"]["shop"], timeout=60) as response:
        answer = json.load(response)
    assert answer["shop"].startswith("node ")
    assert answer["cart"].startswith("python ")
    assert answer["cart"].endswith("price from prices/0")
    admin = {each["id"]: each["admin"] for each in said["proxies"]}
    for caller, service in (("shop/0", "cart"), ("cart/0", "prices")):
        with urllib.request.urlopen(f"{admin[caller]}/stats/prometheus", timeout=60) as response:
            assert f'destination_service_name="{service}"' in response.read().decode()
    program.send_signal(signal.SIGINT)
    assert rest(program)[0] == ""
    assert not left(tmp_path)


def test_sigterm_is_a_press_of_ctrl_c(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(TEXT.format(duration="60s"))
    program = start(file, "--json", "--out", tmp_path / "out")
    assert program.stdout is not None
    json.loads(program.stdout.readline())
    time.sleep(1.0)
    program.terminate()
    printed, _ = rest(program)
    assert program.returncode == 130
    assert json.loads(printed)["partial"]
    assert (tmp_path / "out" / "summary.json").exists()
    assert not left(tmp_path)


def test_a_run_without_a_request_has_results_all_the_same(scenario: Path, start: Start) -> None:
    program = start(scenario, "--json", "--set", "duration=1ms")
    printed, complaints = rest(program)
    assert program.returncode == 0, complaints
    assert json.loads(printed.partition("\n")[2])["requests"]["offered"] == 0


def test_too_few_descriptors_are_told_with_the_remedy(scenario: Path, tmp_path: Path) -> None:
    command = 'ulimit -n 64; exec "$0" -m meshsim live "$1" --set services.back.replicas=60'
    program = subprocess.run(
        ["sh", "-c", command, sys.executable, str(scenario)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=300,
        check=False,
    )
    assert program.returncode == 2
    assert "ulimit -n" in program.stderr
    assert "Traceback" not in program.stderr
    assert not left(tmp_path)


def test_a_process_that_runs_out_of_descriptors_is_told_with_the_results(tmp_path: Path) -> None:
    file = tmp_path / "crowd.yaml"
    file.write_text(
        "duration: 1s\nservices: {slow: {workers: 1, time: 1s}}\nmesh: {dataplane: sidecar}\n"
        "load: [{to: slow, rate: 300/s}]\n"
    )
    command = f"ulimit -n 256; exec {sys.executable} -m meshsim live {file} --json --set drain=1s"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    summary = json.loads(done.stdout.partition("\n")[2])
    assert "Too many open files" in json.dumps(summary["live"]["troubles"])
    assert any("ulimit -n" in note for note in summary["notes"])
