"""The verb `validate`, on a live mesh that is simulated."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshsim.cli import app
from meshsim.errors import MeshsimError
from meshsim.lab import validate as module

sys.path.insert(0, str(Path(__file__).parents[1] / "lab" / "validate"))
from fake_live import Fake

SMALL = """
name: small
duration: 20s
services: {api: {workers: 4, time: {exponential: 20ms}}}
mesh: {dataplane: sidecar}
load: [{to: api, rate: 80/s}]
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


@pytest.fixture
def live(monkeypatch) -> Fake:
    fake = Fake()
    monkeypatch.setattr(module, "on_this_machine", fake)
    return fake


def call(*arguments: str, text: str | None = None):
    return CliRunner().invoke(app, ["validate", *arguments], input=text)


def test_it_shows_tables_and_writes_files(small, live, tmp_path) -> None:
    result = call(small, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    for word in (
        "small behind meshsim: PASS",
        "latency.mean",
        "theory",
        "same status",
        "overhead",
        "machine",
    ):
        assert word in result.stdout, word
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "validation.json", "validation.png", "simulation", "live",
    }  # fmt: skip
    assert [proxy for _, proxy in live.ran] == ["meshsim"] * 3


def test_one_validation_is_one_object(small, live) -> None:
    result = call(small, "--json", "--seed", "5", "--set", "load[0].rate=60/s")
    said = json.loads(result.stdout)
    assert (said["verdict"], said["proxy"], said["seed"]) == ("pass", "meshsim", 5)
    assert live.ran[1][0].load[0].rate == 60.0


def test_several_are_a_list_and_a_table(small, live, tmp_path) -> None:
    said = json.loads(call(small, small, "--json").stdout)
    assert [each["verdict"] for each in said] == ["pass", "pass"]
    out = tmp_path / "out"
    result = call(small, "--proxy", "both", "--out", str(out))
    assert "live against simulated" in result.stdout
    assert "mechanisms, live behind both proxies" in result.stdout
    assert {path.name for path in out.iterdir()} == {"small-meshsim", "small-envoy"}
    call(small, small, "--out", str(out / "twice"), "--quiet")
    assert {path.name for path in (out / "twice").iterdir()} == {"small-meshsim", "small-meshsim-2"}


def test_check_turns_a_verdict_into_an_exit_code(small, live) -> None:
    assert call(small, "--check", "--quiet").exit_code == 0
    live.slow = {"api": 1.2}
    assert call(small, "--quiet").exit_code == 0
    failed = call(small, "--check")
    assert failed.exit_code == 1
    assert "FAIL" in failed.stdout


def test_quiet_says_nothing(small, live) -> None:
    result = call(small, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_it_reads_standard_input(live) -> None:
    assert call("-", "--quiet", text=SMALL).exit_code == 0


def test_bad_input_exits_with_2_before_anything_runs(small, live, tmp_path) -> None:
    assert call(small, str(tmp_path / "missing.yaml")).exit_code == 2
    wrong = call(small, "--proxy", "nginx")
    assert wrong.exit_code == 2
    assert "meshsim, envoy, both" in wrong.stderr
    assert not live.ran


def test_what_can_not_run_live_is_told(small, monkeypatch) -> None:
    def refuse(scenario, *, proxy, progress=None):
        raise MeshsimError("envoy can't do this")

    monkeypatch.setattr(module, "on_this_machine", refuse)
    result = call(small, "--proxy", "envoy")
    assert (result.exit_code, result.stderr) == (2, "meshsim: envoy can't do this\n")


def test_ctrl_c_keeps_the_validations_that_are_done(small, monkeypatch) -> None:
    class Pressed(Fake):
        def __call__(self, scenario, *, proxy, progress=None):
            if len(self.ran) == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(scenario, proxy=proxy, progress=progress)

    monkeypatch.setattr(module, "on_this_machine", Pressed())
    result = call(small, small, small, "--json")
    assert result.exit_code == 130
    assert len(json.loads(result.stdout)) == 1
    assert "partial" in result.stderr


def test_ctrl_c_in_the_first_one_writes_nothing(small, monkeypatch) -> None:
    class Pressed(Fake):
        def __call__(self, scenario, *, proxy, progress=None):
            os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(scenario, proxy=proxy, progress=progress)

    monkeypatch.setattr(module, "on_this_machine", Pressed())
    result = call(small)
    assert (result.exit_code, result.stdout) == (130, "")
    assert "aborted" in result.stderr


def test_the_folder_is_checked_before_anything_runs(small, live) -> None:
    assert call(small, "--out", "/dev/null/x").exit_code == 2
    assert not live.ran
