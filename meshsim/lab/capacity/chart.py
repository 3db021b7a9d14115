"""The map of recovery over two keys: where the mesh comes back, where it doesn't, and the line between.

More load is harder to recover from, so along a load the line is found by bisection, and only the cells
around it, where chance decides, are run; the others follow from their neighbours. The ends of each row are
run in any case, and where what is seen is not in that order, all of the row is. Without a load among the
keys nothing is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.evidence import wilson
from meshsim.scenario.grid import Grid, text
from meshsim.scenario.variation import quantity

LOAD = re.compile(r"load\[\d+\]\.(rate|users)")


@dataclass(frozen=True, slots=True)
class Seen:
    """What runs of a cell showed.

    Attributes:
        recovered: how many.
        overloaded: how many would have been overloaded without a trigger, too.
        count: of all.
    """

    recovered: int
    overloaded: int
    count: int

    @property
    def share(self) -> float:
        """How likely recovery is, 0-1."""
        return self.recovered / self.count

    @property
    def hopeless(self) -> bool:
        """Whether there is likely (half or more) nothing to return to: overloaded without a trigger, too."""
        return 2 * self.overloaded >= self.count


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the map.

    Attributes:
        share: how likely recovery is, 0-1.
        low, high: where it lies; None for a cell that was not run and follows from its neighbours.
        seen: what was run.
    """

    share: float
    low: float | None = None
    high: float | None = None
    seen: Seen | None = None


@dataclass(slots=True)
class Chart:
    """The map.

    Attributes:
        down, across: its keys; across is the load's, if there is one.
        rows, columns: their values as written, those of a load in rising order.
        cells: by row and column, as far as they are known.
        ordered: whether the columns are a load.
        points: of the grid, by row and column.
    """

    down: str
    across: str
    rows: list[object]
    columns: list[object]
    ordered: bool
    points: dict[tuple[int, int], int]
    cells: dict[tuple[int, int], Cell] = field(default_factory=dict)

    @classmethod
    def of(cls, grid: Grid) -> Chart:
        """An empty map of a grid's points.

        Raises:
            MeshsimError: the grid has not two keys.
        """
        if len(grid.keys) != 2:
            raise MeshsimError(
                f"a map has two keys, not {len(grid.keys)}; give --map twice, such as"
                ' --map "load[0].rate=20/s:100/s:9" --map policies.cart.retries.attempts=0,1,2,3'
            )
        first, second = grid.keys
        down, across = (second, first) if LOAD.fullmatch(first) else (first, second)
        ordered = LOAD.fullmatch(across) is not None
        rows, columns = list(grid.keys[down]), list(grid.keys[across])
        if ordered:
            columns.sort(key=_size)
        places = {
            (
                rows.index(point.values[list(grid.keys).index(down)]),
                columns.index(point.values[list(grid.keys).index(across)]),
            ): number
            for number, point in enumerate(grid.points)
        }
        return cls(down, across, rows, columns, ordered, places)

    def label(self, row: int, column: int) -> str:
        """A cell for people."""
        return f"{self.across}={text(self.columns[column])}, {self.down}={text(self.rows[row])}"

    def boundary(self, row: int) -> tuple[object | None, object | None]:
        """The last value across at which recovery is likely (half or more), and the first at which it isn't.

        None where there is no such value; both are None where the row is not known or not in order.
        """
        cells = [self.cells.get((row, column)) for column in range(len(self.columns))]
        likely = [cell.share >= 0.5 for cell in cells if cell is not None]
        if len(likely) < len(self.columns) or likely != sorted(likely, reverse=True):
            return None, None
        count = sum(likely)
        return (
            self.columns[count - 1] if count else None,
            self.columns[count] if count < len(self.columns) else None,
        )


def _size(value: object) -> float:
    found = quantity(value)
    return found.value if found is not None else 0.0


def draw(chart: Chart, look: Callable[[int, int], Seen], error: float) -> None:
    """Fills a map, row by row.

    Args:
        chart: filled as far as this comes.
        look: runs a cell.
        error: of each end of a cell's interval.
    """
    for row in range(len(chart.rows)):

        def run(column: int, row: int = row) -> float:
            if (row, column) not in chart.cells:
                seen = look(row, column)
                low, high = wilson(seen.share, seen.count, error)
                chart.cells[row, column] = Cell(seen.share, low, high, seen)
            return chart.cells[row, column].share

        known = (
            fill(run, len(chart.columns))
            if chart.ordered
            else [run(each) for each in range(len(chart.columns))]
        )
        for column, share in enumerate(known):
            chart.cells.setdefault((row, column), Cell(share))


def fill(run: Callable[[int], float], count: int) -> list[float]:
    """The chance of recovery at each of some loads, most of which need not be run.

    Args:
        run: one of them; remembers.
        count: how many, in rising order of load.
    """
    if count < 3:
        return [run(place) for place in range(count)]
    asked = {place: run(place) for place in (0, count - 1)}
    low, high = 0, count - 1
    if (asked[low] >= 0.5) == (asked[high] >= 0.5):
        middle = count // 2
        asked[middle] = run(middle)
        if (asked[middle] >= 0.5) != (asked[low] >= 0.5):
            return [run(place) for place in range(count)]
        low = high = 0 if asked[low] < 0.5 else count - 1
    while high - low > 1:
        middle = (low + high) // 2
        asked[middle] = run(middle)
        low, high = (middle, high) if asked[middle] >= 0.5 else (low, middle)
    _explore(run, asked, range(low, -1, -1), 1.0)
    _explore(run, asked, range(high, count), 0.0)
    if list(_shares(asked)) != sorted(_shares(asked), reverse=True):
        return [run(place) for place in range(count)]
    return [asked.get(place, 1.0 if place <= low else 0.0) for place in range(count)]


def _explore(
    run: Callable[[int], float], asked: dict[int, float], places: Sequence[int], settled: float
) -> None:
    """Runs cells away from the line until one where chance has no part."""
    for place in places:
        asked[place] = run(place)
        if asked[place] == settled:
            return


def _shares(asked: dict[int, float]) -> list[float]:
    return [asked[place] for place in sorted(asked)]
