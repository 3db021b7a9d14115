"""Many scenarios: each is run as it would be alone, and none keeps another from running."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import meshsim as ms
from meshsim.errors import MeshsimError
from meshsim.lab.batch import Batch, Entry, FileTask, _fill
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.show import batch

SMALL = """
name: {name}
duration: 2s
services: {{api: {{workers: 2, time: {{exponential: 10ms}}}}}}
load: [{{to: api, rate: 50/s}}]
objectives: [{{service: api, p99: {p99}}}, {{service: api, mean: 10s, success: 50%}}]
"""
RUN = {"summary.json", "requests.parquet", "series.parquet", "spans.parquet", "metrics.prom", "scenario.yaml"}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    for name, p99 in {"good": "10s", "bad": "1us", "other": "10s"}.items():
        (tmp_path / "all" / f"{name}.yaml").write_text(SMALL.format(name=name, p99=p99))
    return tmp_path


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch) -> None:
    """Drawing takes longer than the runs."""
    monkeypatch.setattr("meshsim.lab.output.Output.pictures", lambda *_, **__: {})


def status(done: Batch) -> dict[str, str]:
    return {Path(entry.file).stem: entry.status for entry in done.entries}


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_each_is_run_as_it_would_be_alone(folder, jobs) -> None:
    done = ms.batch("all", jobs=jobs, seed=3, replications=2, overrides=["load[0].rate=40/s"], engine="simpy")
    assert status(done) == {"bad": "missed", "good": "ok", "other": "ok"}
    for entry in done.entries:
        alone = ms.run(entry.file, seed=3, replications=2, overrides=["load[0].rate=40/s"], engine="simpy")
        assert {**(entry.summary or {}), "notes": []} == {
            **alone.summary,
            "notes": [],
        }  # one note is told once
        assert entry.seconds > 0
    assert not done.partial
    assert done.folder is None


def test_a_file_that_is_refused_keeps_no_other_from_running(folder) -> None:
    (folder / "all" / "wrong.yaml").write_text("services: {a: {worker: 1}}\nload: []\nduration: 60")
    (folder / "all" / "huge.yaml").write_text(
        SMALL.format(name="huge", p99="1s").replace("2s", "2000000s") + "warmup: auto\nkeep: histograms\n"
    )
    (folder / "all" / "manifest.yaml").write_text("apiVersion: v1")
    done = ms.batch([Path("all"), "nowhere.yaml"], jobs=1, out="out")
    assert status(done) == {
        "bad": "missed", "good": "ok", "huge": "refused", "other": "ok", "wrong": "refused",
        "nowhere": "refused",
    }  # fmt: skip
    assert [str(problem) for problem in done.entries[-1].problems] == ["nowhere.yaml: no such file"]
    assert len(done.entries[4].problems) >= 2
    assert [each.file for each in done.skipped] == ["all/manifest.yaml"]
    assert {path.name for path in Path("out").iterdir()} == {
        "batch.json",
        "batch.parquet",
        "bad",
        "good",
        "other",
    }
    assert {path.name for path in Path("out/good").iterdir()} == RUN


def test_a_run_that_can_not_be_made_is_told_by_its_file(folder, monkeypatch) -> None:
    def broken(scenario, **_):
        if scenario.name == "bad":
            raise MeshsimError("no memory; make it shorter")
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("meshsim.lab.batch.run", broken)
    done = ms.batch("all", jobs=1, out="out")
    assert status(done) == dict.fromkeys(("bad", "good", "other"), "refused")
    told = [str(entry.problems[0]) for entry in done.entries]
    assert told[0] == "all/bad.yaml: no memory (make it shorter)"
    assert (
        told[1]
        == "all/good.yaml: fails by a fault of meshsim (ZeroDivisionError: by zero) (please report it)"
    )
    assert {path.name for path in Path("out").iterdir()} == {"batch.json", "batch.parquet"}


def test_a_run_whose_process_dies_is_told_by_its_file() -> None:
    class Deadly:
        def summaries(self, tasks, *, stop, refused):
            refused(tasks[1], MeshsimError(f"{tasks[1].name}: was killed; lower its load"))
            yield 0, replace(tasks[0].entry, status="ok")

    entries = [Entry("a.yaml", "a"), Entry("b.yaml", "b")]
    tasks = [
        FileTask(number, None, 1, None, entry.file, entry=entry)  # type: ignore[arg-type]
        for number, entry in enumerate(entries)
    ]
    _fill(entries, Deadly(), tasks, Interrupt(), None)  # type: ignore[arg-type]
    assert [entry.status for entry in entries] == ["ok", "refused"]
    assert str(entries[1].problems[0]) == "b.yaml: was killed (lower its load)"


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_ctrl_c_keeps_what_has_finished(folder, jobs) -> None:
    for number in range(6):
        (folder / "all" / f"long{number}.yaml").write_text(
            SMALL.format(name="long", p99="1s").replace("duration: 2s", "duration: 3000s")
        )

    def press(finished: int, total: int) -> None:
        if finished == 1:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = ms.batch("all", jobs=jobs, out="out" if jobs == 1 else None, progress=press)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.partial
    assert 1 <= len(done.of("ok") + done.of("missed")) <= 2
    assert len(done.of("unfinished")) >= 7
    if jobs > 1:
        return
    folders = {path.name: {file.name for file in path.iterdir()} for path in Path("out").glob("*/")}
    assert folders == {entry.name: RUN for entry in done.entries if entry.summary is not None}
    kept = json.loads(Path("out/batch.json").read_text())
    assert kept["partial"]
    assert kept["counts"]["unfinished"] == len(done.of("unfinished"))


def test_the_table_has_a_row_a_file(folder) -> None:
    (folder / "all" / "wrong.yaml").write_text("services: {}\nload: []\n")
    done = ms.batch("all", jobs=1, out="out", csv=True)
    table = done.table.set_index("file")
    good = done.entries[1].summary
    assert good is not None
    assert table.loc["all/good.yaml", "latency_p99"] == good["latency"]["p99"]
    assert table.loc["all/good.yaml", "offered"] == good["requests"]["offered"]
    assert list(table.missed) == [1, 0, 0, 0]
    assert list(table.objectives) == [2, 2, 2, 0]
    assert np.isnan(table.loc["all/wrong.yaml", "offered"])
    assert table.loc["all/wrong.yaml", "seed"] == -1
    pd.testing.assert_frame_equal(pd.read_parquet("out/batch.parquet"), done.table)
    read = pd.read_csv("out/batch.csv", keep_default_na=False, na_values={"offered": [""]})
    assert list(read.columns) == list(done.table.columns)
    assert list(read.latency_p99[:3].astype(float)) == list(done.table.latency_p99[:3])


def test_verdicts_for_junit_are_one_a_file_and_one_an_objective(folder) -> None:
    (folder / "all" / "wrong.yaml").write_text("services: {}\nload: []\n")
    suites = ms.batch("all", jobs=1).suites()
    assert [(suite.name, len(suite.cases)) for suite in suites] == [
        ("all/bad.yaml", 3), ("all/good.yaml", 3), ("all/other.yaml", 3), ("all/wrong.yaml", 1),
    ]  # fmt: skip
    bad = suites[0].cases
    assert [case.name for case in bad] == ["scenario", "api: p99 ≤ 1 us", "api: mean ≤ 10 s, success ≥ 50 %"]
    assert bad[1].failure.startswith("p99 is ")
    assert bad[1].failure.endswith(", wanted ≤ 1 us")
    assert [bool(case.failure) for case in bad] == [False, True, False]
    assert "wrong.yaml" in suites[3].cases[0].error


def test_an_objective_on_an_endpoint_is_told_as_such(folder) -> None:
    objectives = "objectives=[{service: api, endpoint: slow, p99: 1us}]"
    endpoints = ["services.api.endpoints={slow: {}}", "load[0].endpoints={slow: 1}"]
    done = ms.batch("all/bad.yaml", jobs=1, overrides=[objectives, *endpoints])
    (row,) = batch.missed(done.entries).rows
    assert row[1:4] == ("api/slow", "p99", "≤ 1 us")
    assert [case.name for case in done.suites()[0].cases] == ["scenario", "api/slow: p99 ≤ 1 us"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "0 jobs do nothing"),
        ({"engine": "steam"}, "no engine 'steam'"),
        ({"replications": 0}, "0 replications make no run"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"dpi": 3, "out": "out"}, "3 dots per inch"),
        ({"csv": True}, "none are written"),
    ],
)
def test_arguments_that_are_wrong_for_all_are_told_once_and_before(folder, options, message) -> None:
    with pytest.raises(MeshsimError, match=message):
        ms.batch("all", **options)
    assert not Path("out").exists()
    with pytest.raises(MeshsimError, match="nothing to run; name scenario files"):
        ms.batch([])
