"""The same run kept as rows and as histograms: equal, and percentiles within the error that is stated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from meshsim.engine import Simulation, simulate
from meshsim.measure.grid import Window
from meshsim.measure.histograms import Histograms
from meshsim.measure.latency import QUANTILES
from meshsim.measure.measurements import Measurements
from meshsim.measure.records import Records
from meshsim.measure.series import series
from meshsim.measure.stability import LEAST_RISE, LEAST_RISE_RATIO, LEAST_STEP_RATIO
from meshsim.measure.summary import summarise
from meshsim.measure.window import measured
from meshsim.mesh.histogram import LEAST, RELATIVE_ERROR
from meshsim.scenario import load
from meshsim.scenario.model import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from scenarios import Document, scenarios

FOLDER = Path(__file__).parents[2] / "scenarios"
EXACT = 1e-12
"""Sums of the same numbers in another order, relative."""
PRESENT = 1e-6
"""How far numbers in flight may be off: from rows they are differences of sums of all times."""
LOOSE = ("notes", "in_flight", "reason")
"""What is not compared number by number: notes say what was kept; `unstable` is told from bins."""


def both(scenario: Scenario) -> tuple[Scenario, Scenario]:
    return tuple(scenario.model_copy(update={"keep": keep}) for keep in ("records", "histograms"))


def assert_same(rows: Any, counted: Any, where: str = "") -> None:
    """Asserts that two summaries tell the same, each number as near as it is meant to be."""
    last = where.rpartition(".")[2]
    if last in LOOSE:
        return
    if where.startswith(".ci.") and where.rpartition(".")[2] in QUANTILES:
        assert counted["mean"] == pytest.approx(rows["mean"], rel=RELATIVE_ERROR + EXACT), where
        return
    if isinstance(rows, dict):
        assert list(rows) == list(counted), where
        for key in rows:
            assert_same(rows[key], counted[key], f"{where}.{key}")
    elif isinstance(rows, list):
        assert len(rows) == len(counted), where
        for number, pair in enumerate(zip(rows, counted, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    elif isinstance(rows, float):
        tolerance = RELATIVE_ERROR + EXACT if last in QUANTILES else EXACT
        absolute = LEAST if last in QUANTILES else 0.0  # what is shorter counts as 0
        assert counted == pytest.approx(rows, rel=tolerance, abs=absolute), where
    else:
        assert rows == counted, where


def assert_same_series(rows: dict[str, Any], counted: dict[str, Any]) -> None:
    for name, column in rows.items():
        other = counted[name]
        if column.dtype.kind != "f":
            assert (column == other).all(), name
            continue
        relative = RELATIVE_ERROR + EXACT if name in QUANTILES else EXACT
        absolute = {"in_flight": PRESENT, **dict.fromkeys(QUANTILES, LEAST)}.get(name, 0.0)
        np.testing.assert_allclose(other, column, rtol=relative, atol=absolute, err_msg=name)


def compare(scenario: Scenario, seeds: tuple[int, ...] = (1,)) -> None:
    with_rows, without = both(scenario)
    rows = [simulate(with_rows, seed) for seed in seeds]
    counted = [simulate(without, seed) for seed in seeds]
    assert all(isinstance(run, Records) for run in rows)
    assert all(isinstance(run, Histograms) for run in counted)
    summary = summarise(rows, with_rows).as_dict()
    loose = {"objectives": []}  # near a limit 0.5 % may decide
    if any(may_be_either(*pair, with_rows) for pair in zip(rows, counted, strict=True)):
        loose["unstable"] = []
    assert_same({**summary, **loose}, {**summarise(counted, without).as_dict(), **loose})
    assert_same_series(series(rows, with_rows), series(counted, without))
    for one, other in zip(rows, counted, strict=True):
        assert sum(other.ejected.values()) == sum(time >= summary["warmup"] for time, _, _ in one.ejections)
        assert not other.ejections
        assert not other.spans
        assert_same_stability(one, other, with_rows)


def cut(counted: Histograms, window: Window) -> float:
    """By how much a quarter's mean can be off: two bins of it are cut."""
    return float(counted.client.present[0].max(initial=0.0)) * 8.0 / window.length


def may_be_either(rows: Measurements, counted: Histograms, scenario: Scenario) -> bool:
    """Whether requests in flight grow so nearly as much as makes a run unstable that bins may decide."""
    window = measured([rows], scenario)
    quarters = rows.in_flight(window)
    rise = quarters[-1] - quarters[0]
    least = max(LEAST_RISE, LEAST_RISE_RATIO * rows.requested(window))
    margin = min(np.diff(quarters).min() - LEAST_STEP_RATIO * rise, rise - least)
    return bool(abs(margin) <= (2.0 + 2.0 * LEAST_STEP_RATIO) * cut(counted, window))


def assert_same_stability(rows: Measurements, counted: Histograms, scenario: Scenario) -> None:
    """Requests in flight by quarters are exact but for the bins that a quarter's edge cuts."""
    window = measured([rows], scenario)
    most = cut(counted, window)
    np.testing.assert_allclose(counted.in_flight(window), rows.in_flight(window), rtol=0, atol=most + PRESENT)


SHIPPED = {
    "bookinfo": ["duration=15s"],
    "canary": ["duration=12s", "warmup=2s", "events=[]"],
    "hedge": ["duration=10s", "warmup=1s", "events=[]"],
    "one-bad-host": ["duration=8s", "warmup=1s", "events=[]"],
    "retry-storm": ["duration=45s"],
    "shop": ["duration=10s", "warmup=1s"],
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_tell_the_same_either_way(name: str) -> None:
    compare(load(FOLDER / f"{name}.yaml", SHIPPED[name]))


def test_replications_are_pooled_alike() -> None:
    compare(load(FOLDER / "mmc.yaml", ["duration=30s", "warmup=5s"]), seeds=(1, 2, 3))


def generated(examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def property_(document: Document) -> None:
        compare(Scenario.model_validate(document))

    property_()


def test_generated_scenarios_tell_the_same_either_way() -> None:
    generated(40)


@pytest.mark.long
def test_hundreds_of_generated_scenarios_tell_the_same_either_way() -> None:
    generated(400)


def test_arrivals_and_ends_on_the_edges_of_bins_are_in_the_same_bins() -> None:
    document = {
        "duration": "12s",
        "warmup": "2s",
        "services": {"api": {"time": "250ms"}},
        "load": [{"to": "api", "rate": "8/s", "arrivals": "constant"}],
    }
    compare(Scenario.model_validate(document))


def test_a_load_that_ends_early_leaves_the_later_bins_empty() -> None:
    document = {
        "duration": "30s",
        "warmup": "20s",  # 240 bins, half of which time never reaches
        "services": {"api": {"time": {"exponential": "20ms"}}},
        "load": [{"to": "api", "profile": [{"at": "0s", "rate": "200/s"}, {"at": "2s", "rate": "0/s"}]}],
    }
    compare(Scenario.model_validate(document))


def test_a_drain_far_longer_than_the_run_ends_in_the_last_bin() -> None:
    document = {
        "duration": "20ms",
        "drain": "60s",
        "services": {"api": {"workers": 1, "time": "900ms"}},
        "load": [{"to": "api", "rate": "1000/s", "arrivals": "constant"}],
    }
    compare(Scenario.model_validate(document))


# ---- cut short --------------------------------------------------------------------------------------


def stopped(scenario: Scenario, at: float) -> Measurements:
    """A run that the user ends when it is so far."""

    def press(now: float) -> None:
        if now >= at:
            raise KeyboardInterrupt

    return Simulation(scenario).run(press)


@pytest.mark.parametrize("at", [0.5, 3.01, 7.3, 14.0])
def test_an_interrupted_run_is_measured_up_to_where_it_came(at: float) -> None:
    scenario = load(FOLDER / "shop.yaml", ["duration=12s", "warmup=2s", "tracing.sampling=0%"])
    with_rows, without = both(scenario)
    rows, counted = stopped(with_rows, at), stopped(without, at)
    assert rows.end == counted.end
    window = measured([counted], without)
    assert window.end == max(2.0, min(12.0, counted.end))
    summary = summarise([counted], without).as_dict()
    assert summary["partial"] is (at < 14.0 or not counted.complete)
    assert summary["requests"]["offered"] == rows.sample(window).requests.arrived
    assert summary["services"]["cart"]["busy_mean"] == (
        None if window.length == 0.0 else pytest.approx(busy(rows, "cart", window.end) / window.length)
    )
    assert_same_series(series([rows], with_rows), series([counted], without))


def busy(rows: Measurements, service: str, end: float) -> float:
    """Worker-seconds from the end of the warm-up to a time."""
    first, last = rows.grid.first, rows.grid.bins_until(end)
    return float(rows.busy[rows.members(service), first:last].sum())


def test_results_may_be_looked_at_before_the_end() -> None:
    scenario = load(FOLDER / "shop.yaml", ["duration=6s", "warmup=1s", "keep=histograms"])
    undisturbed, watched = Simulation(scenario), Simulation(scenario)
    watched.run(lambda now: watched.records() and None)
    expected = undisturbed.run()
    assert summarise([watched.records()], scenario).as_dict() == summarise([expected], scenario).as_dict()
    assert_same_series(series([expected], scenario), series([watched.records()], scenario))
