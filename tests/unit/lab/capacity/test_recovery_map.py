import itertools

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.recovery_map import MapSearch, seen
from meshsim.lab.search.verdict import Observation
from meshsim.lab.show import capacity as sheets
from meshsim.measure.capacity import RecoveryMap, Trial
from meshsim.scenario import loads
from meshsim.scenario.load import load_grid

BASE = loads(
    "{duration: 40s, services: {a: {}}, load: [{to: a, rate: 50/s}], policies: {a: {retries: {attempts: 2}}}}"
)
RETRIES = "policies.a.retries.attempts"


def chart(**vary) -> MapSearch:
    return MapSearch(
        load_grid(BASE, vary={key.replace("load", "load[0].rate"): v for key, v in vary.items()})
    )


def eight(recovered: int, overloaded: int) -> list[Observation]:
    """Pairs of a cell, so many of which recovered, and so many of whose twins are overloaded."""
    return [
        Observation(
            seed,
            (),
            numbers={"recovered": float(seed < recovered), "overloaded": float(seed < overloaded)},
        )
        for seed in range(8)
    ]


def test_the_load_goes_across_in_rising_order() -> None:
    found = chart(**{"load": ["0.5/ms", "20/s"], RETRIES: [0, 3]})
    assert (found.across, found.down) == ("load[0].rate", RETRIES)
    assert found.columns == ["20/s", "0.5/ms"]
    assert found.ordered
    assert found.label(1, 0) == f"load[0].rate=20/s, {RETRIES}=3"


def test_every_cell_is_the_point_that_its_label_says() -> None:
    found = MapSearch(load_grid(BASE, vary={RETRIES: [0, 3, 1], "load[0].rate": ["90/s", "10/s"]}))
    for row, column in itertools.product(range(3), range(2)):
        scenario = found.scenarios[row, column]
        assert scenario.load[0].rate == [10.0, 90.0][column]
        assert scenario.policies["a"].retries.attempts == [0, 3, 1][row]


def test_drawing_fills_all_cells_and_finds_the_boundary() -> None:
    found = chart(**{"load": "10/s:90/s:9", RETRIES: [0, 1, 2]})

    def look(row, column):
        rate = 10.0 * (column + 1)
        return eight(8 if rate <= [95.0, 50.0, 5.0][row] else 0, 0)

    found.run(look, 0.025)
    assert len(found.cells) == 27
    assert found.boundary(0) == ("90/s", None)
    assert found.boundary(1) == ("50/s", "60/s")
    assert found.boundary(2) == (None, "10/s")
    run = found.cells[1, 4]
    assert run.low == pytest.approx(0.6756, abs=1e-3)  # Wilson: 8 / (8 + 1.96²)
    assert run.high == pytest.approx(1.0)
    assert sum(not cell.replications for cell in found.cells.values()) > 10
    assert all(cell.low is None for cell in found.cells.values() if not cell.replications)


def test_without_a_load_nothing_is_assumed() -> None:
    found = chart(**{"services.a.replicas": [1, 2, 3, 4], RETRIES: [0, 1]})
    found.run(lambda row, column: eight(8, 0), 0.025)
    assert all(cell.replications for cell in found.cells.values())


@pytest.mark.parametrize(
    "vary", [{"load": ["1/s", "2/s"]}, {"load": ["1/s"], RETRIES: [1], "duration": ["1s"]}]
)
def test_a_map_has_two_keys(vary) -> None:
    with pytest.raises(MeshsimError, match="a map has two keys"):
        chart(**vary)


@pytest.mark.parametrize(("overloaded", "star"), [(0, ""), (1, ""), (3, ""), (4, "*"), (8, "*")])
def test_a_cell_is_hopeless_if_half_its_twins_are_overloaded(overloaded, star) -> None:
    cell = seen(0, 0, eight(0, overloaded), 0.025)
    found = RecoveryMap("b", "a", ["0"], ["1/s"], True, [cell], [(None, None)], Trial(5.0, 10.0, 30.0))
    assert sheets.map_sheet(found).rows == [("0", f"0 %{star}")]
    assert any("overloaded" in line for line in sheets.map_notes(found)) == bool(star)
