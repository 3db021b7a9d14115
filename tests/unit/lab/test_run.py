import json
import signal

import numpy as np
import pandas as pd
import pytest

import meshsim
from meshsim.errors import MeshsimError, ScenarioError
from meshsim.forms import FORM
from meshsim.lab import engines
from meshsim.lab.jobs import interrupt
from meshsim.lab.run import Run, run
from meshsim.measure import requests, series, spans
from meshsim.scenario import loads

FILES = {
    "summary.json",
    "requests.parquet",
    "series.parquet",
    "spans.parquet",
    "run.png",
    "metrics.prom",
    "scenario.yaml",
}

TEXT = """
name: small
duration: 5s
warmup: 1s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
objectives: [{service: api, p99: 10s}]
tracing: {sampling: 50%}
"""


@pytest.fixture
def scenario():
    return loads(TEXT)


class Engine:
    """Answers with records made by hand; can be stopped by Ctrl-C at a time."""

    def __init__(self, make_records, *, press_at=None, presses=1, press_in=0):
        self.make_records, self.press_at, self.presses, self.press_in = (
            make_records,
            press_at,
            presses,
            press_in,
        )
        self.seeds = []

    def __call__(self, scenario, seed=None, *, progress=None):
        self.seeds.append(seed)
        now = 0.0
        try:
            while now < scenario.duration:
                now += scenario.duration / 20
                if self.press_at is not None and now >= self.press_at and len(self.seeds) > self.press_in:
                    for _ in range(self.presses):
                        signal.raise_signal(signal.SIGINT)
                progress(now)
        except KeyboardInterrupt:
            start = np.arange(0.0, now, 0.1)
            return self.make_records(scenario, start, 0.01, seed=seed, end=now, complete=False)
        return self.make_records(
            scenario, np.arange(0.0, scenario.duration, 0.1), 0.01 + 0.001 * seed, seed=seed
        )


@pytest.fixture
def by_hand(monkeypatch, make_records):
    """Replaces the engines by one that is stopped as asked for."""

    def replace(**how):
        engine = Engine(make_records, **how)
        monkeypatch.setattr(engines, "engine", lambda *_: engine)
        return engine

    return replace


def test_a_run_has_its_tables(scenario) -> None:
    result = run(scenario)
    assert isinstance(result, Run)
    assert result.summary["engine"] == ("fast" if FORM.compiled else "simpy")
    assert tuple(result.requests.columns) == tuple(requests.COLUMNS)
    assert tuple(result.series.columns) == tuple(series.COLUMNS)
    assert tuple(result.spans.columns) == (*spans.COLUMNS, "replication")
    assert len(result.spans) > 0
    measured = result.requests[result.requests.measured]
    assert len(measured) == result.summary["requests"]["completed"]
    assert measured.latency.quantile(0.99) == pytest.approx(result.summary["latency"]["p99"], rel=1e-12)
    assert result.summary["objectives"][0]["met"]


def test_the_summary_can_be_computed_from_the_files(scenario, tmp_path) -> None:
    result = run(scenario, out=tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == FILES
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == result.summary
    table = pd.read_parquet(folder / "requests.parquet")
    assert tuple(table.columns) == tuple(requests.COLUMNS)
    assert summary["requests"]["goodput"] == pytest.approx((table[table.measured].status < 400).sum() / 4.0)
    bins = pd.read_parquet(folder / "series.parquet")
    inside = bins[(bins.kind == "client") & (bins.time >= 1.0 - 1e-9) & (bins.time < 5.0 - 1e-9)]
    assert inside.offered.sum() == summary["requests"]["offered"]


def test_the_same_seed_gives_the_same_bytes(scenario, tmp_path) -> None:
    run(scenario, seed=3, out=tmp_path / "a")
    run(scenario, seed=3, out=tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_what_ran_can_be_run_again(scenario, tmp_path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    first = run(path, seed=11, overrides=["load[0].rate=80/s"], out=tmp_path)
    second = run(tmp_path / "scenario.yaml")
    for key in ("requests", "latency", "seed", "services"):
        assert first.summary[key] == second.summary[key]
    provenance = first.summary["provenance"]
    assert provenance["meshsim"] == meshsim.__version__
    assert provenance["python"]
    assert provenance["platform"]
    assert provenance["scenario"] == (tmp_path / "scenario.yaml").read_text()


def test_overrides_of_a_loaded_scenario(scenario) -> None:
    assert run(scenario, overrides={"load[0].rate": "100/s"}).summary["requests"]["rate"] > 70.0
    with pytest.raises(ScenarioError, match="lod"):
        run(scenario, overrides=["lod=1"])


def test_replications_count_on_from_the_seed(scenario, by_hand) -> None:
    engine = by_hand()
    result = run(scenario, seed=7, replications=3)
    assert engine.seeds == [7, 8, 9]
    assert result.summary["replications"] == 3
    assert result.summary["seed"] == 7
    assert result.summary["ci"]["latency.mean"]["half_width"] > 0
    assert set(result.requests.replication) == {0, 1, 2}


def test_progress_goes_through_all_replications(scenario, by_hand) -> None:
    by_hand()
    told = []
    run(scenario, replications=2, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(10.0)


def test_ctrl_c_keeps_what_was_measured(scenario, by_hand, tmp_path) -> None:
    by_hand(press_at=3.0)
    before = signal.getsignal(signal.SIGINT)
    result = run(scenario, out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert result.summary["partial"]
    assert result.summary["measured"] == pytest.approx(2.0)
    assert json.loads((tmp_path / "summary.json").read_text())["partial"]


def test_ctrl_c_leaves_the_unfinished_replication_out(scenario, by_hand) -> None:
    by_hand(press_at=3.0, press_in=2)
    result = run(scenario, replications=5)
    assert result.summary["partial"]
    assert result.summary["replications"] == 2
    assert result.summary["measured"] == pytest.approx(4.0)
    assert "Interrupted after 2 of 5 replications." in result.summary["notes"]


def test_ctrl_c_twice_gives_up(scenario, by_hand, monkeypatch) -> None:
    monkeypatch.setattr(interrupt, "TOGETHER", 0.0)
    by_hand(press_at=3.0, presses=2)
    with pytest.raises(KeyboardInterrupt):
        run(scenario)


def test_a_signal_to_process_and_group_is_one_press(scenario, by_hand) -> None:
    told: list[str] = []
    by_hand(press_at=3.0, presses=2)
    assert run(scenario, interrupted=lambda: told.append("noticed")).summary["partial"]
    assert told == ["noticed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replications": 0}, "at least 1"),
        ({"seed": -1}, "out of range"),
        ({"seed": (1 << 63) - 1, "replications": 2}, "out of range"),
        ({"engine": "quick"}, "no engine 'quick'"),
    ],
)
def test_bad_arguments_have_one_clear_message(scenario, arguments, message) -> None:
    with pytest.raises(MeshsimError, match=message):
        run(scenario, **arguments)


def test_a_folder_that_cannot_be_written_is_told_before_the_run(scenario, by_hand, tmp_path) -> None:
    engine = by_hand()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MeshsimError, match=r"can't write to .*file"):
        run(scenario, out=tmp_path / "file" / "below")
    assert engine.seeds == []


def test_a_notebook_shows_a_small_table(scenario, by_hand) -> None:
    by_hand()
    shown = run(scenario)._repr_html_()
    assert "<table>" in shown
    assert "goodput" in shown
    assert "small:" in shown


def test_a_plot_is_a_figure_of_its_own(scenario, by_hand) -> None:
    by_hand()
    figure = run(scenario).plot()
    assert len(figure.axes) == 4
