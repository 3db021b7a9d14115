"""The verb `batch`, `check` of several files, and where `run` points who gives it several."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshsim.cli import app

SMALL = """
name: "{name}"
duration: 2s
services: {{api: {{workers: 2, time: {{exponential: 10ms}}}}}}
load: [{{to: api, rate: 50/s}}]
objectives: [{{service: api, p99: {p99}}}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("meshsim.lab.output.Output.pictures", lambda *_, **__: {})
    for name, p99 in {"all/good": "10s", "all/sub/bad": "1us"}.items():
        Path(f"{name}.yaml").parent.mkdir(exist_ok=True)
        Path(f"{name}.yaml").write_text(SMALL.format(name=f"{name}\\e[31m", p99=p99))
    Path("all/manifest.yaml").write_text("apiVersion: v1\nkind: Service\n")
    return tmp_path


def call(*arguments: str):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def batch(*arguments: str):
    return call("batch", *arguments, "--jobs", "1")


def wrong() -> None:
    Path("all/wrong.yaml").write_text("services: {a: {worker: 3}}\nload: []\nduration: 3")


def test_people_get_a_row_a_file_and_what_was_missed() -> None:
    result = batch("all", "--out", "out")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "2 scenarios in all/, 1 with a missed objective"
    assert any(line.startswith("good.yaml 1 met 100 %") for line in lines)
    assert any(line.startswith("sub/bad.yaml 1 of 1 MISSED 100 %") for line in lines)
    assert any(line.startswith("sub/bad.yaml api p99 ≤ 1 us") for line in lines)
    assert lines[-1] == "Written to out: batch.json, batch.parquet"
    assert "skipped all/manifest.yaml: no scenario" in result.stderr
    assert "\x1b" not in result.output


def test_machines_get_json_and_junit() -> None:
    result = batch("all", "--out", "out", "--junit", "out/junit.xml", "--json", "--csv", "--seed", "5")
    told = json.loads(result.stdout)
    assert told == json.loads(Path("out/batch.json").read_text())
    assert told["counts"] == {"ok": 1, "missed": 1, "refused": 0, "unfinished": 0, "skipped": 1}
    good, bad = told["scenarios"]
    assert (good["file"], good["status"], good["folder"]) == ("all/good.yaml", "ok", "good")
    assert (bad["status"], bad["summary"]["objectives"][0]["met"]) == ("missed", False)
    assert good["summary"]["seed"] == 5
    assert {path.name for path in Path("out").iterdir()} == {
        "batch.json", "batch.parquet", "batch.csv", "junit.xml", "good", "sub-bad",
    }  # fmt: skip
    root = ET.parse("out/junit.xml").getroot()
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("4", "1", "0")


def test_exit_codes_say_missed_and_refused() -> None:
    assert batch("all", "--quiet").exit_code == 0
    assert batch("all", "--quiet", "--check").exit_code == 1
    assert batch("all/good.yaml", "--quiet", "--check").exit_code == 0
    wrong()
    result = batch("all", "--check", "--junit", "junit.xml")
    assert result.exit_code == 2
    assert "3 scenarios in all/, 1 with a missed objective, 1 refused" in result.stdout
    assert "all/wrong.yaml:1: services.a.worker: unknown key (did you mean workers?)" in result.stderr
    assert ET.parse("junit.xml").getroot().attrib["errors"] == "1"
    result = batch("all", "--set", "nonsense")
    assert result.exit_code == 2
    assert result.stderr.count("'nonsense' has no =") == 1


def test_nothing_runs_that_could_not_be_written() -> None:
    for options in (
        ("--junit", "all"),
        ("--junit", "all/good.yaml/x"),
        ("--dpi", "9", "--out", "out"),
        ("--csv",),
    ):
        result = batch("all", *options)
        assert result.exit_code == 2
        assert result.stderr.startswith("meshsim: ")
        assert result.stdout == ""
    assert not Path("out").exists()


def test_check_takes_several_and_folders() -> None:
    result = call("check", "all", "--junit", "check.xml")
    assert result.exit_code == 0
    assert "2 scenarios, all fine" in result.stdout
    assert "skipped all/manifest.yaml" in result.stderr
    assert ET.parse("check.xml").getroot().attrib["tests"] == "2"
    wrong()
    result = call("check", "all/good.yaml", "all/wrong.yaml", "--junit", "check.xml", "--json")
    assert result.exit_code == 2
    told = json.loads(result.stdout)
    assert [(each["file"], each["ok"]) for each in told["files"]] == [
        ("all/good.yaml", True), ("all/wrong.yaml", False),
    ]  # fmt: skip
    assert told["ok"] is False
    assert told["files"][0]["services"] == ["api"]
    assert told["files"][1]["problems"][0]["key"] == "services.a.worker"
    assert ET.parse("check.xml").getroot().attrib["errors"] == "1"
    result = call("check", "all")
    assert result.exit_code == 2
    assert "3 scenarios, 1 with problems" in result.stdout
    assert "all/wrong.yaml:1: services.a.worker: unknown key" in result.stderr


def test_check_of_one_file_is_as_ever() -> None:
    result = call("check", "all/good.yaml", "--junit", "check.xml")
    assert result.exit_code == 0
    assert result.stdout.startswith("all/good.yaml: fine.\nservices: api\n")
    assert json.loads(call("check", "all/good.yaml", "--json").stdout)["services"] == ["api"]
    wrong()
    result = call("check", "all/wrong.yaml", "--json", "--junit", "check.xml")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["problems"][0]["key"] == "services.a.worker"
    assert result.stderr.startswith("meshsim: 3 problems\n")
    assert ET.parse("check.xml").getroot().attrib["errors"] == "1"
    Path("empty").mkdir()
    result = call("check", "empty")
    assert (result.exit_code, result.stderr) == (
        2, "meshsim: empty: holds no scenario (a YAML file with services and a load)\n",
    )  # fmt: skip


@pytest.mark.parametrize("given", [["all"], ["all/good.yaml", "all/sub/bad.yaml"]])
def test_run_points_to_batch(given) -> None:
    result = call("run", *given)
    assert result.exit_code == 2
    assert f"for several, or those in a folder, write meshsim batch {' '.join(given)}" in result.stderr
    assert "No such option: --foo" in call("run", "all/good.yaml", "--foo").stderr
