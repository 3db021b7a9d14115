"""Rows of runs as a table, and back."""

import numpy as np
import pytest

from meshsim.lab import tidy
from meshsim.scenario import loads
from meshsim.scenario.load import load_grid
from meshsim.scenario.variation import kind

SCENARIO = loads("{duration: 2s, services: {a: {}}, load: [{to: a, rate: 9/s}]}")
GRID = load_grid(SCENARIO, vary={"load[0].rate": ["9/s", "1/m"]})


def row(service: str, **numbers) -> dict:
    counts = dict.fromkeys(tidy.COUNTS, 1)
    return {"service": service, "seed": 3, "engine": "by-hand", "unstable": False, **counts, **numbers}


def test_rows_become_columns_in_order_however_they_came() -> None:
    runs = {
        (1, 0): [row("client", rate=None, **{"failures_URX,UT": 2}), row("a", rate=1.5)],
        (0, 0): [row("client", rate=0.1), row("a")],
    }
    table = tidy.table(GRID, runs)
    assert table["load[0].rate"].tolist() == [9.0, 9.0, 1 / 60, 1 / 60]
    assert table["point"].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(table["rate"], [0.1, np.nan, np.nan, 1.5])
    np.testing.assert_array_equal(table["failures_URX,UT"], [0.0, np.nan, 2.0, np.nan])
    again = tidy.table(GRID, tidy.runs_of(table))
    assert list(again) == list(table)
    for name, column in table.items():
        np.testing.assert_array_equal(again[name], column)
        assert again[name].dtype == column.dtype


def test_no_runs_are_an_empty_table() -> None:
    table = tidy.table(GRID, {})
    assert {len(column) for column in table.values()} == {0}
    assert tidy.runs_of(table) == {}


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        ([1, 2, 8], "number", np.int64),
        ([1, 2.5], "number", np.float64),
        ([0, 1], "number", np.int64),
        ([0], "number", np.int64),
        (["5%", 0.1], "number", np.float64),
        (["1ms", "1s", 0], "duration", np.float64),
        (["1/s", "1/m"], "rate", np.float64),
        (["1/s", "1s"], "", np.str_),
        ([1, "unlimited"], "", np.str_),
        ([True, False], "", np.str_),
        ([{"a": 1}, "b"], "", np.str_),
    ],
)
def test_what_values_have_in_common(values, expected, dtype) -> None:
    assert kind(values) == expected
    assert tidy.column(values, values).dtype.type is dtype


def test_values_are_in_the_units_of_meshsim() -> None:
    assert tidy.column(["1ms", 0, "2m"], ["2m", "1ms", 0]).tolist() == [120.0, 0.001, 0.0]
    assert tidy.column(["6/m"], ["6/m"]).tolist() == [0.1]
    assert tidy.column([{"v1": 95}], [{"v1": 95}]).tolist() == ["{v1: 95}"]
    assert len(tidy.shown("x" * 100)) == 40
