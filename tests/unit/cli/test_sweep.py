"""The verb ``sweep``: its options, what it prints, what it refuses."""

from __future__ import annotations

import json
import signal

import pytest
from typer.testing import CliRunner

from meshsim.cli import app
from meshsim.lab.sweep import sweep

TEXT = """
name: small
duration: 2s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the verb on a small scenario in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(TEXT)
    return lambda *words: CliRunner().invoke(app, ["sweep", "s.yaml", "--out", "out", "--jobs", "1", *words])


VARY = ("--vary", "load[0].rate=50/s,100/s", "--vary", "services.api.workers=1:3:2")


def test_a_table_for_people(run, tmp_path) -> None:
    result = run(*VARY, "--replications", "2")
    assert result.exit_code == 0
    assert "small: 4 points, 8 runs, medians" in result.output
    assert "Written to out: sweep.parquet, sweep.png" in result.output
    assert "already" not in result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"sweep.parquet", "sweep.png"}
    again = run(*VARY, "--replications", "3")
    assert "8 runs were in out already, 4 were made now." in again.output


def test_json_for_machines(run) -> None:
    result = run(*VARY, "--json", "--seed", "5", "--set", "duration=1s")
    found = json.loads(result.stdout)
    assert (found["seed"], found["computed"], found["keys"]["services.api.workers"]) == (5, 4, ["1", "3"])
    assert found["points"][3]["values"] == {"load[0].rate": "100/s", "services.api.workers": 3}


def test_quiet_is_quiet(run) -> None:
    assert run(*VARY, "--quiet").output == ""


def test_everything_wrong_with_the_options_is_told(run, tmp_path) -> None:
    result = run(
        "--vary", "nothing", "--vary", "a=[", "--vary", "b=1", "--vary", "b=2", "--vary", f"c=5,{10**19}"
    )
    assert result.exit_code == 2
    assert "--vary: 'nothing' has no =" in result.output
    assert "b is varied twice (give it all its values at once)" in result.output
    assert "'a=[' has no values that can be read" in result.output
    assert "--vary: c: '10000000000000000000' is too large a number (write a smaller one)" in result.output
    assert "4 problems" in result.output
    assert not (tmp_path / "out").exists()


def test_a_wrong_point_is_told_before_anything_runs(run, tmp_path) -> None:
    result = run("--vary", "load[0].rate=50/s,fast", "--json")
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["file"], problem["key"]) == ("--vary", "load[0].rate")
    assert not (tmp_path / "out").exists()


def test_nothing_to_vary(run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "sweep: nothing is varied (name a key and its values" in result.output


@pytest.fixture
def press_at(monkeypatch):
    """Presses Ctrl-C when so many runs have finished."""

    def at(count: int) -> None:
        def press(finished, total):
            if finished == count:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(
            "meshsim.lab.sweep.sweep",
            lambda *words, progress, **options: sweep(*words, progress=press, **options),
        )

    return at


def test_ctrl_c_keeps_what_has_finished(run, press_at) -> None:
    press_at(3)
    result = run(*VARY)
    assert result.exit_code == 130
    assert "stopping, and keeping the results so far" in result.output
    assert "interrupted after 3 of 4 runs; the same command resumes" in result.output
    assert "Written to out: sweep.parquet\n" in result.output


def test_a_second_ctrl_c_says_what_is_kept(run, monkeypatch) -> None:
    def given_up(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("meshsim.lab.sweep.sweep", given_up)
    result = run(*VARY)
    assert result.exit_code == 130
    assert "aborted; finished runs are kept in out" in result.output


def test_who_began_anew_is_told_not_to_do_it_again(run, press_at) -> None:
    press_at(3)
    result = run(*VARY, "--fresh")
    assert "after 3 of 4 runs; the same command without --fresh resumes" in result.output


def test_ctrl_c_before_the_first_run_has_finished_writes_nothing(run, press_at, tmp_path) -> None:
    press_at(0)
    result = run(*VARY)
    assert result.exit_code == 130
    assert "interrupted before any run had finished; no results written" in result.output
    assert "engine" not in result.output
    assert list((tmp_path / "out").iterdir()) == []


def test_options_that_verbs_share_read_the_same() -> None:
    helps = [CliRunner().invoke(app, [verb, "--help"]).output.split() for verb in ("sweep", "compare")]
    for option in ("--jobs", "--seed", "--engine", "--quiet"):
        one, other = (" ".join(words[words.index(option) :][:9]) for words in helps)
        assert one == other


def test_without_out_results_go_to_a_folder_of_the_scenarios_name(tmp_path, monkeypatch) -> None:
    """And another sweep of that name overwrites nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(TEXT.replace("name: small", "name: ../a shop, 50 %"))
    words = ["sweep", "s.yaml", "--jobs", "1", "--vary", "load[0].rate=50/s,100/s"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Written to out/a-shop-50: sweep.parquet, sweep.png" in result.output
    before = (tmp_path / "out" / "a-shop-50" / "sweep.parquet").read_bytes()
    other = CliRunner().invoke(app, [*words, "--seed", "9"])
    assert other.exit_code == 2
    assert "out/a-shop-50 holds another sweep" in other.output
    assert (tmp_path / "out" / "a-shop-50" / "sweep.parquet").read_bytes() == before
    piped = CliRunner().invoke(app, ["sweep", "-", *words[2:]], input=TEXT)
    assert "Written to out/sweep:" in piped.output
