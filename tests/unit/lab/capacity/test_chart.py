import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.chart import Chart, Seen, draw, fill
from meshsim.lab.show import capacity as sheets
from meshsim.scenario import loads
from meshsim.scenario.load import load_grid

BASE = loads(
    "{duration: 40s, services: {a: {}}, load: [{to: a, rate: 50/s}], policies: {a: {retries: {attempts: 2}}}}"
)
RETRIES = "policies.a.retries.attempts"


def chart(**vary) -> Chart:
    return Chart.of(load_grid(BASE, vary={key.replace("load", "load[0].rate"): v for key, v in vary.items()}))


def filled(shares: list[float]) -> tuple[list[float], list[int]]:
    asked: dict[int, float] = {}

    def run(place: int) -> float:
        asked[place] = shares[place]
        return shares[place]

    return fill(run, len(shares)), sorted(asked)


@pytest.mark.parametrize("edge", range(10))
def test_a_sharp_line_is_found_by_bisection(edge) -> None:
    shares = [1.0] * edge + [0.0] * (9 - edge)
    found, asked = filled(shares)
    assert found == shares
    assert len(asked) <= 6


def test_around_the_line_all_that_chance_decides_is_run() -> None:
    shares = [1.0] * 6 + [0.75, 0.5, 0.25, 0.125] + [0.0] * 10
    found, asked = filled(shares)
    assert found == shares
    assert set(range(5, 11)) <= set(asked)
    assert len(asked) < 12


@pytest.mark.parametrize(
    "shares",
    [
        [1.0, 1.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 1.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 0.0, 0.0],
    ],
)
def test_what_is_not_in_order_is_run_as_a_whole_where_it_is_seen(shares) -> None:
    found, _ = filled(shares)
    assert found[2] == shares[2]
    assert (found[0], found[-1]) == (shares[0], shares[-1])


def test_the_load_goes_across_in_rising_order() -> None:
    found = chart(**{"load": ["0.5/ms", "20/s"], RETRIES: [0, 3]})
    assert (found.across, found.down) == ("load[0].rate", RETRIES)
    assert found.columns == ["20/s", "0.5/ms"]
    assert found.ordered
    assert sorted(found.points) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert found.label(1, 0) == f"load[0].rate=20/s, {RETRIES}=3"


def test_every_cell_is_the_point_that_its_label_says() -> None:
    grid = load_grid(BASE, vary={RETRIES: [0, 3, 1], "load[0].rate": ["90/s", "10/s"]})
    found = Chart.of(grid)
    for (row, column), number in found.points.items():
        scenario = grid.points[number].scenario
        assert scenario.load[0].rate == [10.0, 90.0][column]
        assert scenario.policies["a"].retries.attempts == [0, 3, 1][row]


def test_drawing_fills_all_cells_and_finds_the_boundary() -> None:
    found = chart(**{"load": "10/s:90/s:9", RETRIES: [0, 1, 2]})

    def look(row, column):
        rate = 10.0 * (column + 1)
        return Seen(8 if rate <= [95.0, 50.0, 5.0][row] else 0, 0, 8)

    draw(found, look, 0.025)
    assert len(found.cells) == 27
    assert found.boundary(0) == ("90/s", None)
    assert found.boundary(1) == ("50/s", "60/s")
    assert found.boundary(2) == (None, "10/s")
    run = found.cells[1, 4]
    assert run.low == pytest.approx(0.6756, abs=1e-3)  # Wilson: 8 / (8 + 1.96²)
    assert run.high == pytest.approx(1.0)
    assert sum(cell.seen is None for cell in found.cells.values()) > 10
    assert all(cell.low is None for cell in found.cells.values() if cell.seen is None)


def test_without_a_load_nothing_is_assumed() -> None:
    found = chart(**{"services.a.replicas": [1, 2, 3, 4], RETRIES: [0, 1]})
    draw(found, lambda row, column: Seen(8, 0, 8), 0.025)
    assert all(cell.seen is not None for cell in found.cells.values())


@pytest.mark.parametrize(
    "vary", [{"load": ["1/s", "2/s"]}, {"load": ["1/s"], RETRIES: [1], "duration": ["1s"]}]
)
def test_a_map_has_two_keys(vary) -> None:
    with pytest.raises(MeshsimError, match="a map has two keys"):
        chart(**vary)


@pytest.mark.parametrize(("overloaded", "star"), [(0, ""), (1, ""), (3, ""), (4, "*"), (8, "*")])
def test_a_cell_is_hopeless_if_half_its_twins_are_overloaded(overloaded, star) -> None:
    seen = Seen(0, overloaded, 8)
    cell = {"row": 0, "column": 0, "share": seen.share, "replications": 8, "hopeless": seen.hopeless}
    trial = {"hit": 5.0, "over": 10.0, "looked": 30.0}
    answer = {
        "map": {
            "rows": ["0"],
            "columns": ["1/s"],
            "down": "b",
            "across": "a",
            "cells": [cell],
            "trial": trial,
        }
    }
    assert sheets.chart(answer).rows == [("0", f"0 %{star}")]
    assert any("overloaded" in line for line in sheets.chart_notes(answer)) == bool(star)
