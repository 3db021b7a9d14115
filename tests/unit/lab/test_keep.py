"""Runs that keep histograms: what they have, what they say they have not; and when rows are refused."""

import json

import numpy as np
import pytest

from meshsim.errors import MeshsimError, ScenarioError
from meshsim.lab.jobs import memory
from meshsim.lab.live import run_live
from meshsim.lab.run import run
from meshsim.measure.histograms import Histograms
from meshsim.measure.window import measured
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario

TEXT = """
name: small
duration: 5s
warmup: 1s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
objectives: [{service: api, p99: 10s}]
"""


@pytest.fixture
def scenario():
    return loads(TEXT)


def test_the_same_numbers_without_rows(scenario) -> None:
    rows, counted = run(scenario), run(scenario, keep="histograms")
    assert (rows.has_rows, counted.has_rows) == (True, False)
    assert counted.summary["requests"] == rows.summary["requests"]
    assert counted.summary["latency"]["p99"] == pytest.approx(rows.summary["latency"]["p99"], rel=0.005)
    assert len(counted.series) == len(rows.series)
    assert any("within 0.5 %" in note for note in counted.summary["notes"])
    assert not any("within 0.5 %" in note for note in rows.summary["notes"])
    assert len(counted.plot().axes) == 4


def test_what_is_not_kept_is_said_with_the_remedy(scenario) -> None:
    counted = run(scenario, keep="histograms")
    for ask, what in ((lambda: counted.requests, "requests"), (lambda: counted.spans, "spans")):
        with pytest.raises(MeshsimError, match=f"kept histograms and no {what}.*keep: records"):
            ask()


def test_files_are_those_that_there_are(scenario, tmp_path) -> None:
    run(scenario, out=tmp_path)
    assert (tmp_path / "requests.parquet").exists()
    (tmp_path / "notes.txt").write_text("mine")
    counted = run(scenario, keep="histograms", out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "summary.json", "series.parquet", "run.png", "metrics.prom", "scenario.yaml", "notes.txt",
    }  # fmt: skip
    assert json.loads((tmp_path / "summary.json").read_text()) == counted.summary
    again = run(tmp_path / "scenario.yaml")
    assert not again.has_rows
    assert again.summary["latency"] == counted.summary["latency"]


def test_replications_have_intervals(scenario) -> None:
    counted = run(scenario, overrides={"load[0].rate": "100/s"}, keep="histograms", replications=3)
    assert counted.summary["ci"]["latency.p99"]["half_width"] > 0
    assert counted.summary["requests"]["offered"] > 900


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": "histogram"}, "did you mean histograms"),
        ({"keep": "histograms", "overrides": ["warmup=auto"]}, "give the warm-up as a duration"),
        ({"keep": "histograms", "engine": "reference"}, "the reference model keeps records only"),
    ],
)
def test_what_does_not_go_together(scenario, arguments, message) -> None:
    with pytest.raises(MeshsimError, match=message):
        run(scenario, **arguments)


def test_a_model_made_in_python_is_refused_too() -> None:
    document = {"duration": "2s", "warmup": "auto", "keep": "histograms", "services": {"a": {}},
                "load": [{"to": "a", "rate": "50/s"}]}  # fmt: skip
    with pytest.raises(MeshsimError, match="warmup: auto looks at every request"):
        run(Scenario.model_validate(document))


def test_a_file_that_contradicts_itself_is_told_by_its_line() -> None:
    with pytest.raises(ScenarioError) as error:
        loads(TEXT.replace("warmup: 1s", "warmup: auto\nkeep: histograms"))
    (problem,) = error.value.problems
    assert (problem.key, problem.line) == ("warmup", 4)


def test_spans_that_were_asked_for_are_missed(scenario) -> None:
    notes = run(scenario, keep="histograms", overrides=["tracing.sampling=10%"]).summary["notes"]
    assert any(note.startswith("tracing has no effect") for note in notes)


# ---- memory -----------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_are_refused_before_the_run(scenario, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    with pytest.raises(MeshsimError, match=r"some 750 rows .*\(--set keep=histograms"):
        run(scenario)
    assert run(scenario, keep="histograms").summary["requests"]["offered"] > 0
    assert run(scenario, keep="records").has_rows, "who insists may try"
    monkeypatch.setattr(memory, "available", lambda: None)
    assert run(scenario).has_rows, "a machine that does not tell"


def test_replications_count(scenario, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 200 * 1000)
    run(scenario)
    with pytest.raises(MeshsimError, match="some 1,500 rows"):
        run(scenario, replications=2)


def test_processes_that_do_not_fit_are_refused_before_the_first_is_started(scenario, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 20_000_000)
    one = "{duration: 1s, load: [{to: a, rate: 1/s}], services: {a: {replicas: %d}}}"
    memory.check_live(loads(one % 1), "meshsim")
    with pytest.raises(MeshsimError, match=r"3,000 replicas, each a process.* 51 GB, and 0.02 GB"):
        run_live(loads(one % 3_000))
    with pytest.raises(MeshsimError, match="has 1 replicas"):
        memory.check_live(loads(one % 1), "envoy")


def rows_of(text: str) -> float:
    return memory.expected_rows(loads(text))


def test_rows_are_told_from_load_and_scripts() -> None:
    services = (
        "services: {a: {script: [{call: b}, [{call: b, probability: 50%}, {sleep: 1ms}]]},"
        " b: {time: 1s, versions: {v1: {replicas: 3}, v2: {script: [{call: c}]}}}, c: {}}"
    )
    calls = 1 + 1.5 * (1 + 0.25)
    assert rows_of(f"{{duration: 10s, {services}, load: [{{to: a, rate: 20/s}}]}}") == pytest.approx(
        200 * (1 + 2 * calls)
    )
    for load, requests in {
        "{to: c, profile: [{at: 0s, rate: 10/s}, {at: 2s, rate: 30/s, ramp: 4s}]}": 20 + 80 + 120,
        "{to: c, profile: [{at: 5s, rate: 10/s}, {at: 8s, rate: 30/s, ramp: 4s}]}": 30 + 2 * 15,
        "{to: c, profile: [{at: 0s, rate: 40/s, ramp: 8s}, {at: 4s, rate: 0/s}]}": 40,
        "{to: c, arrivals: {mmpp: {rates: [10/s, 50/s], mean_times: [3s, 1s]}}}": 200,
        "{to: b, users: 4, think: {exponential: 1s}}": 20,
        "{to: c, users: 4}": 0,
    }.items():
        found = rows_of(f"{{duration: 10s, {services}, load: [{load}]}}")
        each = 3 if "to: c" in load else 1 + 2 * 1.25
        assert found == pytest.approx(requests * each, rel=1e-9), load


def test_rows_are_told_from_what_endpoints_call() -> None:
    services = (
        "services: {a: {script: [{call: b}], endpoints: {home: {script: [{call: b/get, repeat: 3}]},"
        " ping: {script: []}}}, b: {script: [{call: c}], endpoints:"
        " {get: {script: [{call: c, probability: 50%}]}}}, c: {}}"
    )
    load = "load: [{to: a, rate: 20/s, endpoints: {home: 3, ping: 1}}, {to: a, rate: 1/s}]"
    expected = 150 * (1 + 2 * (1 + 3 * 1.5)) + 50 * 3 + 10 * (1 + 2 * 3)
    assert rows_of(f"{{duration: 10s, {services}, {load}}}") == pytest.approx(expected)
    users = "load: [{to: a, users: 4, think: 1s, endpoints: {home: 1}}]"
    timed = services.replace("home: {", "home: {time: 1s, ")
    assert rows_of(f"{{duration: 10s, {timed}, {users}}}") == pytest.approx(20 * (1 + 2 * 5.5))


def test_connections_that_are_soon_spent_have_rows_too() -> None:
    text = (
        "{duration: 10s, services: {a: {script: [{call: b}]}, b: {}}, load: [{to: a, rate: 50/s}],"
        " policies: {a: {connection: {max_requests: 4}}, b: {connection: {max_requests: 1}}}}"
    )
    assert rows_of(text) == pytest.approx(500 * (1 + (2 + 2 / 4) + (2 + 2)))
    record = run(loads(text)).records[0]
    tables = record.requests.start, record.calls.start, record.attempts.sent, record.connections
    assert sum(map(len, tables)) == pytest.approx(rows_of(text), rel=0.2)


def test_the_estimate_is_near_what_is_kept(scenario) -> None:
    record = run(scenario).records[0]
    kept = sum(len(table.start) for table in (record.requests, record.calls)) + len(record.attempts.sent)
    expected = memory.expected_rows(scenario)
    assert abs(kept - expected) < 4 * 3 * np.sqrt(expected / 3)  # Poisson: four standard deviations


def test_this_machine_tells_what_is_free() -> None:
    free = memory.available()
    assert free is None or free > 1_000_000


def test_an_interrupted_run_that_counts_can_not_be_pooled_with_longer_ones(scenario) -> None:
    counted = [run(scenario, keep="histograms", seed=seed).records[0] for seed in (1, 2)]
    assert all(isinstance(each, Histograms) for each in counted)
    counted[0].interrupted, counted[0].end = True, 3.0
    with pytest.raises(AssertionError):
        measured(counted, scenario)
