"""Sweeps: the table, the same luck at every point, and that nothing which has finished is lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import meshsim as ms
from meshsim.errors import MeshsimError, ScenarioError
from meshsim.lab import tidy
from meshsim.lab.jobs.journal import JOURNAL, TABLE, Journal, load
from meshsim.lab.sweep import Sweep, as_dict, sheet, sweep
from meshsim.scenario import loads

sys.path.insert(0, str(Path(__file__).parents[1]))
from processes import alive, eventually, members, workers

TEXT = """
name: small
duration: 5s
warmup: 1s
services:
  api: {workers: 2, queue: 5, time: {exponential: 10ms}, script: [{call: db}]}
  db: {time: 5ms}
load: [{to: api, rate: 50/s}]
"""
SMALL = loads(TEXT)
VARY = {"load[0].rate": "50/s:150/s:3", "services.api.workers": [1, 2]}
RUNS = 3 * 2 * 2


def run(**options) -> Sweep:
    return sweep(SMALL, VARY, replications=2, jobs=1, **options)


@pytest.fixture(scope="module")
def done() -> Sweep:
    return run()


@pytest.fixture(autouse=True)
def no_picture(request, monkeypatch) -> None:
    """Leaves the picture out where a test does not ask for it: drawing takes longer than the runs."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(Sweep, "_beside", lambda *_, **__: {})


def same(one: Sweep, other: Sweep) -> None:
    pd.testing.assert_frame_equal(one.table, other.table)


# ---- the table --------------------------------------------------------------------------------------


def test_the_table_has_a_row_a_point_replication_and_service(done) -> None:
    table = done.table
    assert list(table.columns)[:6] == [*VARY, "point", "replication", "seed", "service"]
    assert len(table) == RUNS * 3
    assert list(table.service[:3]) == ["client", "api", "db"]
    assert list(table.point) == sorted(table.point)
    assert sorted(set(table["load[0].rate"])) == [50.0, 100.0, 150.0]
    assert list(table.seed[table.point == 3].unique()) == [1, 2]
    assert table["services.api.workers"].dtype == np.int64


def test_numbers_are_those_of_the_runs(done) -> None:
    summary = ms.run(SMALL, seed=2, overrides={"load[0].rate": "100/s", "services.api.workers": 1}).summary
    rows = done.table[(done.table["load[0].rate"] == 100) & (done.table["services.api.workers"] == 1)]
    client, api, _ = (row for _, row in rows[rows.replication == 1].iterrows())
    assert client.requests == summary["requests"]["offered"]
    assert client.goodput == summary["requests"]["goodput"]
    assert client.latency_p99 == summary["latency"]["p99"]
    assert client.ok_latency_mean == summary["ok_latency"]["mean"]
    assert client.attempts == summary["attempts"]["total"]
    assert client.failures_503 == summary["failures"]["503"]
    part = summary["services"]["api"]
    assert api.utilisation == part["utilisation"]
    assert api.queue_mean == part["queue_mean"]
    assert api.latency_mean == part["latency"]["mean"]
    assert api.success_ratio == part["ok"] / (part["ok"] + part["failed"])
    assert api.goodput == part["ok"] / 4.0
    assert np.isnan(api.attempts)
    assert np.isnan(client.utilisation)


def test_every_point_meets_the_same_luck(done) -> None:
    client = done.table[done.table.service == "client"]
    for _, runs in client.groupby(["load[0].rate", "replication"]):
        assert runs.requests.nunique() == 1  # as many workers as you like, the arrivals are the same
    assert client.groupby("replication").requests.nunique().min() > 1


def test_any_number_of_processes_gives_the_same_table(done) -> None:
    same(sweep(SMALL, VARY, replications=2, jobs=2), done)


def test_keys_become_numbers_or_words() -> None:
    found = sweep(
        SMALL,
        {
            "services.api.errors": ["0%", 0.5],
            "services.db.time": [0, "1ms"],
            "services.api.workers": [2, "unlimited"],
            "services.api.discipline": ["fifo", "lifo"],
        },
        jobs=1,
        overrides=["duration=2s"],
    ).table
    assert sorted(set(found["services.api.errors"])) == [0.0, 0.5]
    assert sorted(set(found["services.db.time"])) == [0.0, 0.001]
    assert sorted(set(found["services.api.workers"])) == ["2", "unlimited"]
    assert sorted(set(found["services.api.discipline"])) == ["fifo", "lifo"]


def test_the_scenario_may_say_what_is_swept(tmp_path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(TEXT + "sweep: {duration: [2s, 3s]}\n")
    found = sweep(file, jobs=1)
    assert [point.scenario.duration for point in found.grid.points] == [2.0, 3.0]
    assert next(iter(found.table.columns)) == "duration"


def test_nothing_runs_before_all_points_are_right(tmp_path) -> None:
    with pytest.raises(ScenarioError, match=r"--vary: services\.api\.workers: 'x' is no count"):
        sweep(SMALL, {"services.api.workers": [1, "x"]}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(MeshsimError, match="0 replications make no run"):
        sweep(SMALL, VARY, replications=0)
    with pytest.raises(MeshsimError, match="0 jobs do nothing"):
        sweep(SMALL, VARY, jobs=0)
    with pytest.raises(MeshsimError, match=r"^no engine 'x'; choose one of auto, fast"):
        sweep(SMALL, VARY, engine="x", jobs=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


HUGE = {"duration": ["10000000000000s", "1s", "2s"]}  # of which the first has too many rows for any memory


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_can_not_be_made_costs_no_other(tmp_path, jobs) -> None:
    with pytest.raises(MeshsimError) as caught:
        sweep(SMALL, HUGE, replications=2, overrides={"warmup": "0s"}, jobs=jobs, out=tmp_path)
    told = str(caught.value)
    assert told.startswith(f"2 of 6 runs can't be made (the others, 4, are kept in {tmp_path}); the first of")
    assert "duration=10000000000000s, seed " in told
    assert "--set keep=histograms" in told
    assert {path.name for path in tmp_path.iterdir()} == {TABLE}
    _, table = load(tmp_path / TABLE)
    assert set(zip(table["point"].tolist(), table["replication"].tolist(), strict=True)) == {
        (1, 0), (1, 1), (2, 0), (2, 1),
    }  # fmt: skip


def test_where_no_run_can_be_made_nothing_is_kept(tmp_path) -> None:
    with pytest.raises(MeshsimError, match=r"^1 of 1 runs can't be made: duration=10000000000000s, seed 1: "):
        sweep(SMALL, {"duration": HUGE["duration"][:1]}, jobs=1, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_for_people_and_for_machines(done) -> None:
    told = sheet(done)
    assert told.title == "small: 6 points, 12 runs, medians"
    assert told.rows[0][:2] == ("50/s", "1")
    assert len({len(row) for row in told.rows} | {len(told.columns)}) == 1
    plain = json.loads(json.dumps(as_dict(done), allow_nan=False))
    assert plain["points"][5]["values"] == {"load[0].rate": "150/s", "services.api.workers": 2}
    client = done.table[(done.table.point == 5) & (done.table.service == "client")]
    assert plain["points"][5]["client"]["goodput"]["median"] == pytest.approx(client.goodput.mean())
    assert plain["points"][5]["services"]["api"]["utilisation"]["replications"] == 2
    assert (plain["computed"], plain["resumed"], plain["partial"]) == (RUNS, 0, False)
    assert "small: 6 points" in done._repr_html_()


# ---- going on ---------------------------------------------------------------------------------------


def test_a_finished_sweep_is_one_file_and_its_picture(done, tmp_path) -> None:
    found = run(out=tmp_path)
    same(found, done)
    assert {path.name for path in tmp_path.iterdir()} == {TABLE, "sweep.png"}
    columns = pd.read_parquet(tmp_path / TABLE)
    pd.testing.assert_frame_equal(columns, done.table, check_dtype=False)
    header, table = load(tmp_path / TABLE)
    assert header["keys"]["load[0].rate"] == ["50/s", "100/s", "150/s"]
    assert list(table) == list(done.columns)


def test_a_finished_sweep_is_not_computed_again(tmp_path) -> None:
    first = run(out=tmp_path)
    before = (tmp_path / TABLE).read_bytes()
    again = run(out=tmp_path)
    assert (again.computed, again.resumed) == (0, RUNS)
    same(first, again)
    assert (tmp_path / TABLE).read_bytes() == before


def test_more_replications_add_to_those_there_are(tmp_path) -> None:
    run(out=tmp_path)
    more = sweep(SMALL, VARY, replications=3, jobs=1, out=tmp_path)
    assert (more.computed, more.resumed) == (6, RUNS)
    same(more, sweep(SMALL, VARY, replications=3, jobs=1))
    with pytest.raises(MeshsimError, match="with 3 replications, more than 2"):
        run(out=tmp_path)


def test_a_saved_sweep_with_its_picture_is_taken_up(done, tmp_path) -> None:
    assert [path.name for path in done.save(tmp_path)] == [TABLE, "sweep.png"]
    assert run(out=tmp_path).computed == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 5}, "its seed is 1, not 5"),
        ({"engine": "reference"}, "its engine is auto, not reference"),
        ({"overrides": ["services.db.time=6ms"]}, r"its scenario \(small\) says something else"),
    ],
)
def test_another_sweep_is_not_overwritten(tmp_path, change, words) -> None:
    run(out=tmp_path)
    before = (tmp_path / TABLE).read_bytes()
    with pytest.raises(MeshsimError, match=f"holds another sweep: {words}; choose .* --fresh"):
        run(out=tmp_path, **change)
    with pytest.raises(MeshsimError, match="it varies other keys or values"):
        sweep(SMALL, {"load[0].rate": ["50/s"]}, out=tmp_path)
    assert (tmp_path / TABLE).read_bytes() == before
    assert run(out=tmp_path, fresh=True, **change).computed == RUNS


def test_another_version_is_not_gone_on_with(tmp_path, monkeypatch) -> None:
    run(out=tmp_path)
    monkeypatch.setattr("meshsim.version.VERSION", "99.0")
    with pytest.raises(MeshsimError, match=r"it was made by meshsim \S+, this is 99\.0"):
        run(out=tmp_path)


def test_a_strange_file_is_not_overwritten(tmp_path) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / TABLE)
    with pytest.raises(MeshsimError, match="is not a table of a sweep by meshsim"):
        run(out=tmp_path)
    (tmp_path / TABLE).write_text("no Parquet")
    with pytest.raises(MeshsimError, match="is not a table of a sweep by meshsim"):
        run(out=tmp_path)


def test_two_sweeps_do_not_share_a_folder(done, tmp_path) -> None:
    with Journal(tmp_path, done.header), pytest.raises(MeshsimError, match="another sweep is writing to"):
        run(out=tmp_path)
    assert run(out=tmp_path).computed == RUNS


@pytest.mark.parametrize("tail", [b"", b'5a0c {"run":[0,', b"\x00\x00\x00"])
def test_a_torn_last_line_costs_its_run_only(done, tmp_path, tail) -> None:
    runs = tidy.runs_of(done.columns)
    with Journal(tmp_path, done.header) as journal:
        for each in [(0, 0), (4, 1), (2, 0)]:
            journal.add(each, runs[each])
    with (tmp_path / JOURNAL).open("ab") as out:
        out.write(tail)
    found = run(out=tmp_path)
    assert (found.computed, found.resumed) == (RUNS - 3, 3)
    same(found, done)


def damage(data: bytes) -> bytes:
    """With one bit flipped."""
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (lambda lines: [*lines[:2], damage(lines[2]), lines[3]], r"sweep.journal:3: it is damaged: .*delete"),
        (
            lambda lines: [*lines, b"7\n"],
            r"sweep.journal:5: it is damaged: .*delete this line",
        ),
        (lambda lines: [damage(lines[0]), *lines[1:]], r"sweep.journal:1: it is damaged: .*--fresh"),
        (lambda lines: lines[1:], r"sweep.journal:1: it does not begin with the line .*; .*--fresh"),
        (
            lambda lines: [b'{"format":1}\n', *lines[1:]],
            r"sweep.journal:1: an earlier version of meshsim",
        ),
    ],
)
def test_a_damaged_journal_is_refused_and_left_as_it_is(done, tmp_path, damaged, message) -> None:
    runs = tidy.runs_of(done.columns)
    with Journal(tmp_path, done.header) as journal:
        for each in [(0, 0), (4, 1), (2, 0)]:
            journal.add(each, runs[each])
    written = b"".join(damaged((tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)))
    (tmp_path / JOURNAL).write_bytes(written)
    with pytest.raises(MeshsimError, match=message):
        run(out=tmp_path)
    assert (tmp_path / JOURNAL).read_bytes() == written
    same(run(out=tmp_path, fresh=True), done)


def test_without_its_damaged_line_a_journal_goes_on(done, tmp_path) -> None:
    runs = tidy.runs_of(done.columns)
    with Journal(tmp_path, done.header) as journal:
        for each in [(0, 0), (4, 1), (2, 0)]:
            journal.add(each, runs[each])
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:2], *lines[3:]]))
    found = run(out=tmp_path)
    assert found.resumed == 2
    same(found, done)


def test_a_table_without_its_digest_is_refused(done, tmp_path) -> None:
    import pyarrow.parquet as pq

    done.save(tmp_path)
    table = pq.read_table(tmp_path / TABLE)
    said = {key: value for key, value in table.schema.metadata.items() if key != b"meshsim.sha256"}
    pq.write_table(table.replace_schema_metadata(said), tmp_path / TABLE)
    with pytest.raises(MeshsimError, match=r"sweep.parquet: an earlier version of meshsim wrote it"):
        run(out=tmp_path)


def test_a_journal_without_a_whole_line_is_none(done, tmp_path) -> None:
    (tmp_path / JOURNAL).write_bytes(b'{"format":1,')
    same(run(out=tmp_path), done)


def test_a_folder_that_is_a_file(tmp_path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(MeshsimError, match=r"can't write to .*out"):
        run(out=tmp_path / "out")


def test_ctrl_c_keeps_what_has_finished(done, tmp_path) -> None:
    pressed = []

    def press(finished: int, total: int) -> None:
        assert total == RUNS
        if finished == 5:
            signal.raise_signal(signal.SIGINT)

    found = run(out=tmp_path, progress=press, interrupted=lambda: pressed.append(True))
    assert found.partial
    assert found.computed == 5
    assert pressed == [True]
    assert {path.name for path in tmp_path.iterdir()} == {TABLE}
    rest = run(out=tmp_path)
    assert (rest.computed, rest.resumed, rest.partial) == (RUNS - 5, 5, False)
    same(rest, done)


def press_at(count: int):
    """What presses Ctrl-C when so many runs are finished."""

    def press(finished: int, total: int) -> None:
        if finished == count:
            signal.raise_signal(signal.SIGINT)

    return press


def test_no_picture_of_what_the_table_was_before_stays(tmp_path) -> None:
    run(out=tmp_path)
    assert (tmp_path / "sweep.png").exists()
    more = sweep(SMALL, VARY, replications=3, jobs=1, out=tmp_path, progress=press_at(RUNS + 1))
    assert more.partial
    assert {path.name for path in tmp_path.iterdir()} == {TABLE}
    sweep(SMALL, VARY, replications=3, jobs=1, out=tmp_path)
    assert (tmp_path / "sweep.png").exists()
    assert run(out=tmp_path, fresh=True, progress=press_at(0)).computed == 0
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_during_a_run_leaves_that_run_out(tmp_path, monkeypatch) -> None:
    from meshsim.lab.run import _Replications

    def pressed(replications, now, report=_Replications.report) -> None:
        if now > 100.0 and not replications.stop.pressed:
            signal.raise_signal(signal.SIGINT)
        report(replications, now)

    monkeypatch.setattr(_Replications, "report", pressed)
    endless = {"duration": "200000s", "engine": "simpy"}
    found = sweep(
        SMALL, {"load[0].rate": [f"{rate}/s" for rate in (50, 60)]}, overrides=endless, jobs=1, out=tmp_path
    )
    assert (found.computed, found.partial) == (0, True)
    assert found.digests == []
    assert list(tmp_path.iterdir()) == []  # a table of nothing would help nobody


def test_a_table_that_can_not_be_written_keeps_the_journal(done, tmp_path) -> None:
    runs = tidy.runs_of(done.columns)
    with Journal(tmp_path, done.header) as journal:
        journal.add((0, 0), runs[0, 0])
        (tmp_path / TABLE).mkdir()
        with pytest.raises(MeshsimError, match="the results are not saved, but finished runs are kept"):
            journal.fold(done.columns, {})
    (tmp_path / TABLE).rmdir()
    assert run(out=tmp_path).resumed == 1


def test_the_table_says_how_to_make_it_again(done, tmp_path) -> None:
    done.save(tmp_path)
    header, _ = load(tmp_path / TABLE)
    again = sweep(loads(header["text"]), replications=header["replications"], seed=header["seed"], jobs=1)
    same(again, done)


# ---- killed -----------------------------------------------------------------------------------------

SLOW = TEXT.replace("5s", "30s")
RATES, ALL = "50/s:150/s:3", 9


def start(folder: Path, **options) -> subprocess.Popen[str]:
    """The program, with its own process group, as a terminal starts it."""
    (folder / "scenario.yaml").write_text(SLOW)
    words = [
        "sweep",
        "scenario.yaml",
        "--vary",
        f"load[0].rate={RATES}",
        "--replications",
        "3",
        "--out",
        "out",
    ]
    words += ["--engine", "simpy", "--jobs", "2", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "meshsim", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        **options,
    )


def finish(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


def lines(folder: Path) -> int:
    """How many runs the journal holds."""
    try:
        return (folder / "out" / JOURNAL).read_bytes().count(b' {"run":')
    except OSError:
        return 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> bytes:
    """The table of a sweep that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "s.yaml").write_text(SLOW)
    sweep(folder / "s.yaml", {"load[0].rate": RATES}, replications=3, engine="simpy", jobs=1, out=folder)
    return (folder / TABLE).read_bytes()


def test_kill_9_of_the_parent_and_of_a_worker_lose_nothing_that_has_finished(tmp_path, undisturbed) -> None:
    with start(tmp_path) as process:
        assert eventually(lambda: lines(tmp_path) >= 2)
        process.kill()
    assert eventually(lambda: not members(process.pid)), "a process has outlived the sweep"
    kept = lines(tmp_path)
    assert 2 <= kept < ALL
    with start(tmp_path) as process:
        assert eventually(lambda: lines(tmp_path) > kept)
        victim = workers(process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        found = finish(process)
    assert not alive(victim)
    assert (found["resumed"], found["computed"]) == (kept, ALL - kept)
    assert (tmp_path / "out" / TABLE).read_bytes() == undisturbed
    assert not (tmp_path / "out" / JOURNAL).exists()


def test_a_full_disk_and_ctrl_c_keep_what_has_finished(tmp_path, undisturbed) -> None:
    size = 6_000  # of any file: two runs or three

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    process = start(tmp_path, preexec_fn=limit)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "can't write out/sweep.journal: File too large; finished runs are kept: make room" in err
    assert "Traceback" not in err
    kept = lines(tmp_path)
    assert 0 < kept < ALL
    with start(tmp_path) as process:
        assert eventually(lambda: lines(tmp_path) > kept)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted after" in err
    assert "the same command resumes" in err
    assert "Traceback" not in err
    assert eventually(lambda: not members(process.pid))
    found = finish(start(tmp_path))
    assert kept < found["resumed"] < ALL
    assert found["computed"] == ALL - found["resumed"]
    assert (tmp_path / "out" / TABLE).read_bytes() == undisturbed
