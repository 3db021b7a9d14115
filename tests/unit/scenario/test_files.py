"""Arrival traces and measured times, read next to the scenario."""

import os

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import load, loads

TRACE = "duration: 10s\nservices: {a: {}}\nload:\n- {to: a, arrivals: {trace: {file: arrivals.csv}}}\n"
MEASURED = (
    "duration: 10s\nload: [{to: a, rate: 1/s}]\nservices:\n  a: {time: {empirical: {file: times.txt}}}\n"
)


def problems(text, folder):
    with pytest.raises(ScenarioError) as caught:
        loads(text, "s.yaml", folder=folder)
    return caught.value.problems


def test_a_trace_is_read(tmp_path):
    (tmp_path / "arrivals.csv").write_text("id, time ,x\n1,0,a\n2,1e-3\n\n3,2.5,c\n4,2.5,d\n")
    (tmp_path / "s.yaml").write_text(TRACE)
    trace = load(tmp_path / "s.yaml").load[0].arrivals.trace
    assert trace.times == (0.0, 0.001, 2.5, 2.5)
    assert trace.file == "arrivals.csv"


def test_files_are_looked_for_in_the_working_directory_without_a_folder(tmp_path, monkeypatch):
    (tmp_path / "arrivals.csv").write_text("time\n1\n")
    monkeypatch.chdir(tmp_path)
    assert loads(TRACE).load[0].arrivals.trace.times == (1.0,)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("", 1, "has no column time"),
        ("Time\n1\n", 1, "has no column time (did you mean Time?)"),
        ("x" * 200_000, 1, "not CSV"),
        ("time\n", 1, "has no arrivals"),
        ("time\n1\nx\n", 3, "what stands there is not a valid time (write seconds from the start"),
        ("time\n1\n-1\n", 3, "'-1' is not a valid time"),
        ("time\nnan\n", 2, "'nan' is not a valid time"),
        ("time\ninf\n", 2, "'inf' is not a valid time"),
        ("time\n1_0\n", 2, "what stands there is not a valid time"),
        ("time\n\u0661\n", 2, "what stands there is not a valid time"),
        ("time\r2\r1\r", 3, "'1' comes after '2'"),
        ("a,time\n1\n", 2, "the time is missing"),
        ("time\n1\n3\n2\n", 4, "'2' comes after '3' (sort the lines by time)"),
        ("time,id,time\n1,2,3\n", 1, "has 2 columns time (rename all but one)"),
        ("time\n1,25\n1,5\n", 2, "has 2 cells, and the first line 1 (write 1.25 with a point"),
        ('time\n"1\n', None, "not CSV"),
    ],
)
def test_traces_that_are_wrong(tmp_path, content, line, words):
    (tmp_path / "arrivals.csv").write_text(content)
    (problem,) = problems(TRACE, tmp_path)
    assert problem.file == "arrivals.csv"
    assert line in (None, problem.line)
    assert words in str(problem)


@pytest.mark.parametrize("first", ["1732790000", "1732790000123", "10"])
def test_a_trace_that_begins_after_the_end(tmp_path, first):
    (tmp_path / "arrivals.csv").write_text(f"time\n{first}\n1732790001000\n")
    (problem,) = problems(TRACE, tmp_path)
    assert (problem.file, problem.line, problem.key) == ("s.yaml", 4, "load[0].arrivals.trace.file")
    assert f"the first request is due at {first} s, and the run ends at 10 s (times are" in str(problem)


def test_files_that_can_not_be_read(tmp_path):
    (problem,) = problems(TRACE, tmp_path)
    assert (problem.file, problem.line, problem.key) == ("s.yaml", 4, "load[0].arrivals.trace.file")
    assert f"'arrivals.csv': no such file (files are looked for in {tmp_path})" in str(problem)
    (tmp_path / "arrivals.csv").write_bytes(b"time\n\xff\n")
    assert "not UTF-8" in str(problems(TRACE, tmp_path)[0])
    (tmp_path / "arrivals.csv").unlink()
    (tmp_path / "arrivals.csv").mkdir()
    assert "not an ordinary file" in str(problems(TRACE, tmp_path)[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "times.txt")
    (problem,) = problems(MEASURED, tmp_path)
    assert "not an ordinary file" in str(problem)


def test_measured_times_have_a_unit_or_are_seconds(tmp_path):
    (tmp_path / "times.txt").write_text("5ms\n0.25\n\n 1e-3 \n1 s\n")
    time = loads(MEASURED, folder=tmp_path).services["a"].time
    assert time.empirical.values == (0.005, 0.25, 0.001, 1.0)
    assert time.build() is not None


def test_measured_times_wherever_a_time_stands(tmp_path):
    (tmp_path / "t").write_text("0.5\n")
    time = "{empirical: {file: t}}"
    text = """\
duration: 10s
load: [{to: a, users: 1, think: TIME}]
services: {a: {time: {mixture: [{weight: 1, empirical: {file: t}}]}, script: [[{sleep: TIME}]]}}
mesh: {proxy: {time: TIME}}
links: {default: {latency: TIME}}
events: [{at: 1s, set: {policies.a.fault: {delay: {time: TIME}}}}]
"""
    scenario = loads(text.replace("TIME", time), folder=tmp_path)
    assert scenario.load[0].think.empirical.values == (0.5,)
    assert scenario.services["a"].time.mixture[0].time.empirical.values == (0.5,)
    assert scenario.services["a"].script[0][0].sleep.empirical.values == (0.5,)
    assert scenario.mesh.proxy.time.empirical.values == (0.5,)
    assert scenario.links["default"].latency.empirical.values == (0.5,)
    assert scenario.policies_after(0).policies["a"].fault.delay.time.empirical.values == (0.5,)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("", 1, "has no values"),
        ("5ms\nx\n", 2, "what stands there is not a valid duration (write one a line"),
        ("-1\n", 1, "'-1' is not a valid duration"),
        ("nan\n", 1, "'nan' is not a valid duration"),
        ("5\n1732790000\n", 2, "longer than a run can be (without a unit it is seconds)"),
    ],
)
def test_measured_times_that_are_wrong(tmp_path, content, line, words):
    (tmp_path / "times.txt").write_text(content)
    (problem,) = problems(MEASURED, tmp_path)
    assert (problem.file, problem.line) == ("times.txt", line)
    assert words in str(problem)


def test_overridden_files_are_blamed_on_the_set(tmp_path):
    (tmp_path / "times.txt").write_text("1\n")
    with pytest.raises(ScenarioError) as caught:
        loads(MEASURED, "s.yaml", ["services.a.time.empirical.file=nope"], tmp_path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == ("--set", "services.a.time.empirical.file")
