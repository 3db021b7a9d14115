from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meshsim.measure import requests, spans
from meshsim.measure.grid import Floats, Ints
from meshsim.measure.records import Requests, Truths, Words
from meshsim.measure.table import frame, meanings, table_of


def test_requests_are_the_completed_ones_in_order(make_scenario, make_records) -> None:
    scenario = make_scenario()
    latency = np.full(100, 0.5)
    latency[7] = math.nan
    records = [make_records(scenario, np.arange(100.0), latency, seed=seed) for seed in (1, 2)]
    data = frame(requests.requests(records, scenario, start=10.0, end=100.0))
    assert tuple(data.columns) == tuple(requests.COLUMNS)
    assert len(data) == 198
    assert 7 not in set(data.id)
    assert (data.groupby("replication").id.diff().dropna() > 0).all()
    assert data[~data.measured].start.max() < 10.0 <= data[data.measured].start.min()
    assert set(data.entry) == {"api"}
    assert data.status.dtype == np.int64
    assert set(data.flag) == {""}


SPAN = {
    "trace_id": "0" * 31 + "1",
    "span_id": "0" * 15 + "2",
    "parent_id": "",
    "kind": "call",
    "service": "client",
    "peer": "api",
    "replica": "",
    "name": "client -> api",
    "start": 1.0,
    "end": 1.5,
    "status": 200,
    "flag": "",
    "attempt": 0,
    "endpoint": "",
    "attempt_kind": "first",
    "extra": False,
}


def test_spans_have_their_columns_with_and_without_rows(make_scenario, make_records) -> None:
    scenario = make_scenario()
    empty = spans.spans([make_records(scenario, [1.0])])
    full = spans.spans([make_records(scenario, [1.0]), make_records(scenario, [1.0], spans=[SPAN, SPAN])])
    assert tuple(empty) == tuple(full) == (*spans.COLUMNS, "replication")
    for name in empty:
        assert empty[name].dtype.kind == full[name].dtype.kind
    assert full["replication"].tolist() == [1, 1]
    assert frame(full).iloc[0].status == 200


def test_a_grid_meets_the_window(make_scenario, make_records) -> None:
    for duration, warmup in (
        ("100s", "10s"),
        ("7s", "0s"),
        ("121s", "13.7s"),
        ("2h", "90s"),
        ("50ms", "1ms"),
    ):
        scenario = make_scenario(duration=duration, warmup=warmup)
        grid = make_records(scenario, []).grid
        assert grid.origin <= 1e-9
        edges = grid.edges(grid.last)
        assert math.isclose(edges[grid.first], scenario.warmup, abs_tol=1e-9)
        assert math.isclose(edges[-1], scenario.duration, rel_tol=1e-12)
        assert grid.bin_at(scenario.duration) == grid.last
        assert 10 <= grid.last - grid.first <= 240


@dataclass
class Declared:
    load: Ints
    start: Floats
    flag: Words
    extra: Truths


def test_a_declared_column_that_a_body_does_not_know_is_empty() -> None:
    known = {"load": [1, 2]}
    found = table_of(Declared, lambda name, _: known.get(name), 2)
    assert found.load.tolist() == [1, 2]
    assert np.isnan(found.start).all()
    assert (found.flag.tolist(), found.extra.tolist()) == (["", ""], [False, False])


def test_what_is_declared_with_a_meaning_is_written() -> None:
    assert set(meanings(Requests)) < set(requests.COLUMNS)
