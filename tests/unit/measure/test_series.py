import sys

import numpy as np
import pytest

import meshsim as ms
from meshsim.measure import records
from meshsim.measure.series import COLUMNS, series
from meshsim.measure.table import frame
from meshsim.scenario.model import Scenario


@pytest.fixture
def table(make_scenario, make_records):
    scenario = make_scenario()
    start = np.arange(0.0, 100.0, 0.1)
    bad = (start >= 50.0) & (start < 60.0)
    record = make_records(
        scenario,
        start,
        np.where(bad, 0.9, 0.2),
        status=np.where(bad, 504, 200),
        tries=np.where(bad, 3, 1),
        queued=2.0,
    )
    return series([record], scenario), record


def test_columns_are_as_documented_and_equally_long(table) -> None:
    columns, _ = table
    assert tuple(columns) == tuple(COLUMNS)
    assert len({len(values) for values in columns.values()}) == 1
    assert dict.fromkeys(columns["kind"].tolist()) == {"client": None, "service": None, "edge": None}


def test_totals_are_the_records(table) -> None:
    data, record = frame(table[0]), table[1]
    client = data[data.kind == "client"]
    assert client.offered.sum() == client.completed.sum() == 1000
    assert client.failed.sum() == 100
    assert client.attempts.sum() == 1200
    assert client.retries.sum() == 200
    assert (client.in_flight * client.width).sum() == pytest.approx(
        np.sum(record.requests.end - record.requests.start)
    )
    assert np.diff(client.time) == pytest.approx(record.grid.width)


def test_what_a_dashboard_shows(table) -> None:
    data = frame(table[0])
    client = data[data.kind == "client"].set_index("time")
    before, during = client.loc[30.0], client.loc[55.0]
    assert (before.rate, before.goodput, before.amplification) == pytest.approx((10.0, 10.0, 1.0))
    assert (before.p50, before.p99, before["mean"]) == pytest.approx((0.2, 0.2, 0.2))
    assert (during.goodput, during.amplification, during.p50) == pytest.approx((0.0, 3.0, 0.9))
    assert client.iloc[-1].offered == 0
    assert np.isnan(client.utilisation).all()


def test_services_have_workers_and_edges_calls(table) -> None:
    data = frame(table[0])
    service = data[data.kind == "service"].set_index("time").loc[30.0]
    assert (service["name"], service.utilisation, service.queue_mean) == (
        "api",
        pytest.approx(0.125),
        pytest.approx(4.0),
    )
    edge = data[data.kind == "edge"].set_index("time").loc[55.0]
    assert (edge["name"], edge.offered, edge.attempts) == ("client -> api", 10, 30)


def test_replications_add_up_and_rates_do_not(make_scenario, make_records) -> None:
    scenario = make_scenario()
    start = np.arange(0.0, 100.0, 0.1)
    records = [make_records(scenario, start, 0.1, end=100.0), make_records(scenario, start, 0.3, end=130.0)]
    data = frame(series(records, scenario))
    row = data[data.kind == "client"].set_index("time").loc[30.0]
    assert row.offered == 20
    assert row.rate == pytest.approx(10.0)
    assert row["mean"] == pytest.approx(0.2)
    service = data[data.kind == "service"].set_index("time")
    assert service.loc[30.0].utilisation == pytest.approx(0.125)
    assert service.loc[120.0].utilisation == pytest.approx(0.125 / 2)


def test_unlimited_workers_have_no_utilisation(make_scenario, make_records) -> None:
    scenario = make_scenario(api={"workers": "unlimited"})
    data = frame(series([make_records(scenario, np.arange(0.0, 100.0))], scenario))
    assert np.isnan(data.utilisation).all()


def test_a_first_bin_that_begins_before_the_run(make_scenario, make_records) -> None:
    scenario = make_scenario(warmup="10.3s")
    data = frame(series([make_records(scenario, np.arange(0.0, 100.0, 0.1))], scenario))
    client = data[data.kind == "client"]
    assert client.time.iloc[0] == 0.0
    assert client.width.iloc[0] < client.width.iloc[1]
    assert client.offered.sum() == 1000
    assert client.rate.iloc[0] == pytest.approx(10.0, rel=0.25)


@pytest.mark.parametrize("keep", ["records", "histograms"])
def test_joined_bins_hold_what_theirs_hold(keep) -> None:
    """Counts, times and means are those of the narrow bins; percentiles those of all requests together."""
    scenario = Scenario.model_validate(
        {
            "duration": "20s", "warmup": "3s", "keep": keep,
            "services": {"api": {"workers": 2, "queue": 5, "time": {"exponential": "60ms"}}},
            "load": [{"to": "api", "rate": "30/s"}],
        }
    )  # fmt: skip
    run = ms.run(scenario)
    narrow, wide = run.series, frame(series(run.records, run.scenario, requests=125))
    assert len(narrow) > 2 * len(wide)
    assert {3.0, 20.0} <= set(wide.time.round(9))
    within = wide[(wide.kind == "client") & (wide.time >= 3.0) & (wide.time < 20.0)]
    assert len(within) >= 24
    for kind in ("client", "service", "edge"):
        few, many = wide[wide.kind == kind], narrow[narrow.kind == kind]
        for column in ("offered", "completed", "ok", "failed", "attempts"):
            assert few[column].sum() == many[column].sum()
        for column in ("width", "in_flight", "queue_mean", "utilisation", "rate"):
            weights = 1.0 if column == "width" else few.width, 1.0 if column == "width" else many.width
            assert (few[column] * weights[0]).sum() == pytest.approx((many[column] * weights[1]).sum())
    one = within.iloc[3]
    if keep == "records":
        ended = run.requests.start + run.requests.latency
        done = run.requests[(ended >= one.time) & (ended < one.time + one.width)]
        assert one.p90 == pytest.approx(done.latency.quantile(0.9))


def test_each_kind_is_taken_before_the_next_is_made(make_scenario, make_records, monkeypatch) -> None:
    """Of many rows one kind takes as much memory as it must; all three at once need not be there."""
    scenario, steps = make_scenario(), []
    runs = [make_records(scenario, np.arange(0.0, 100.0), 0.2) for _ in range(2)]
    for module, name in ((records, "_binned"), (sys.modules[series.__module__], "_part")):
        true = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, true=true, name=name: (steps.append(name), true(*given))[1]
        )
    series(runs, scenario)
    assert steps == ["_binned", "_binned", "_part"] * 3
