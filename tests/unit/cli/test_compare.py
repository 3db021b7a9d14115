import json
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from meshsim.cli import app

SMALL = """
name: small
duration: 5s
services: {api: {workers: 1, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
objectives: [{service: api, mean: 10s}]
"""
QUICK = ("--replications", "3", "--jobs", "1")


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def call(*arguments: str, text: str | None = None):
    return CliRunner().invoke(app, list(arguments), input=text)


def test_compare_shows_tables_and_writes_files(small, tmp_path) -> None:
    changes = ("--with", "services.api.time={exponential: 8ms}")
    result = call("compare", small, *changes, *QUICK, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(
        "B (with services.api.time={exponential: 8ms}) is better than A (small) in mean latency"
    )
    for word in ("latency, mean", "lower", "api.mean", "3/3", "amplification", "utilisation, api", "--all"):
        assert word in result.stdout, word
    assert len(lines) < 45
    for word in ("unpaired", "request by request", "Bonferroni"):
        assert word not in result.stdout, word
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"compare.json", "compare.png"}


def test_all_shows_the_rest(small) -> None:
    result = call("compare", small, "--with", "services.api.time={exponential: 8ms}", *QUICK, "--all")
    for word in ("latency, mean", "unpaired", "api.mean", "request by request", "Bonferroni", "3/3"):
        assert word in result.stdout, word


def test_compare_prints_json_for_machines(small) -> None:
    result = call("compare", small, small, *QUICK, "--json", "--seed", "5", "--set", "load[0].rate=20/s")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["seeds"] == [5, 6, 7]
    assert all(each["identical"] for each in summary["differences"])
    assert summary["verdict"].startswith("No difference: B (small) and A (small)")
    assert [each["metric"] for each in summary["cost"]] == ["attempts.rate", "services.busy_mean"]


def test_compare_reads_standard_input(small) -> None:
    result = call("compare", "-", "--with", "load[0].rate=60/s", *QUICK, "--json", text=SMALL)
    assert result.exit_code == 0, result.stderr
    assert call("compare", small, "-", *QUICK, "--json", text=SMALL).exit_code == 0
    assert call("compare", "-", "-", *QUICK, "--json", text=SMALL).exit_code == 0


def test_quiet_says_nothing(small) -> None:
    result = call("compare", small, small, *QUICK, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_an_objective_that_b_misses_matters_only_with_check(small) -> None:
    miss = ("--with", "objectives[0].mean=1us")
    assert call("compare", small, *miss, *QUICK).exit_code == 0
    assert call("compare", small, *miss, *QUICK, "--check").exit_code == 1
    assert call("compare", small, small, *QUICK, "--check").exit_code == 0


def test_check_asks_services_that_only_b_has(small, tmp_path) -> None:
    more = tmp_path / "more.yaml"
    text = SMALL.replace("services: {", "services: {more: {}, ")
    more.write_text(text.replace("mean: 10s}", "mean: 10s}, {service: more, success: 99%}"))
    assert call("compare", small, str(more), *QUICK).exit_code == 0
    assert call("compare", small, str(more), *QUICK, "--check").exit_code == 1


def test_until_adds_pairs(small) -> None:
    result = call("compare", small, "--with", "load[0].rate=60/s", "--until", "50%", "--jobs", "1", "--json")
    assert json.loads(result.stdout)["until"]["reached"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare"],
        ["compare", "{small}"],
        ["compare", "{small}", "no-such-file.yaml"],
        ["compare", "{small}", "--with", "lod=1"],
        ["compare", "{small}", "{small}", "--metric", "latency.p98"],
        ["compare", "{small}", "{small}", "--until", "fine"],
        ["compare", "{small}", "{small}", "--replications", "1"],
        ["compare", "{small}", "{small}", "--jobs", "0"],
        ["compare", "{small}", "{small}", "--out", "{small}/below"],
        ["run", "{small}", "--until", "1"],
        ["run", "{small}", "--metric", "latency.p99"],
        ["run", "{small}", "--until", "5%", "--metric", "latency.p999"],
        ["run", "{small}", "--until", "5%", "--at-most", "3"],
        ["run", "{small}", "--at-most", "3"],
        ["compare", "{small}", "{small}", "--at-most", "30"],
    ],
)
def test_bad_input_is_one_message_and_exit_2(small, arguments) -> None:
    result = call(*(argument.format(small=small) for argument in arguments))
    assert result.exit_code == 2, result.stderr
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr


def test_run_until_says_what_came_of_it(small) -> None:
    result = call("run", small, "--until", "90%")
    assert result.exit_code == 0
    assert "90 % was asked" in result.stdout


WATCHED = """
import contextlib, pathlib, sys
from meshsim.cli import main
from meshsim.lab.show import terminal

class Mark:
    def __call__(self, now):
        if now > 25.0:  # two pairs of 10 s are there
            pathlib.Path(mark).touch()

    def looked(self, look): ...

@contextlib.contextmanager
def bar(*total, **how):
    yield Mark()

mark, terminal.progress_bar = sys.argv.pop(1), bar
main()
"""
"""The program with a progress bar that leaves a mark where the test can see it."""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_a_real_process_and_keeps_its_pairs(small, tmp_path, jobs) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", WATCHED, str(mark), "compare", small, "--with", "load[0].rate=60/s"]
    command += ["--replications", "100000", "--jobs", jobs, "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60.0
        while not mark.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert "stopping" in stderr
    assert "Traceback" not in stderr
    summary = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert summary["partial"]
    assert 2 <= summary["replications"] < 100_000
