"""The map of recovery over two keys: where the mesh comes back, where it doesn't, and the boundary between.

More load is harder to recover from, so along a load only the ends and the cells around the boundary are run
(see `chances`); the others follow from their neighbours. Without a load among the keys nothing is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from meshsim.errors import MeshsimError
from meshsim.lab.search.bisection import chances
from meshsim.lab.search.verdict import Observation, wilson
from meshsim.measure.capacity import Cell, RecoveryMap, Trial
from meshsim.scenario.grid import Grid, text
from meshsim.scenario.variation import quantity

LOAD = re.compile(r"load\[\d+\]\.(rate|users)")


class MapSearch:
    """Fills a map; `scenarios` and, as far as known, `cells` are by row and column. A load goes across."""

    def __init__(self, grid: Grid) -> None:
        if len(grid.keys) != 2:
            raise MeshsimError(
                f"a map has two keys, not {len(grid.keys)}; give --map twice, such as"
                ' --map "load[0].rate=20/s:100/s:9" --map policies.cart.retries.attempts=0,1,2,3'
            )
        first, second = grid.keys
        self.down, self.across = (second, first) if LOAD.fullmatch(first) else (first, second)
        self.ordered = LOAD.fullmatch(self.across) is not None
        self.rows, self.columns = list(grid.keys[self.down]), list(grid.keys[self.across])
        if self.ordered:
            self.columns.sort(key=_size)
        row, column = (list(grid.keys).index(key) for key in (self.down, self.across))
        self.scenarios = {
            (self.rows.index(point.values[row]), self.columns.index(point.values[column])): point.scenario
            for point in grid.points
        }
        self.cells: dict[tuple[int, int], Cell] = {}

    def label(self, row: int, column: int) -> str:
        """A cell for people."""
        return f"{self.across}={text(self.columns[column])}, {self.down}={text(self.rows[row])}"

    def run(self, look: Callable[[int, int], list[Observation]], error: float) -> None:
        """Fills the map by `look`, which runs a cell; each end of its interval is wrong with this error."""
        count = len(self.columns)
        for row in range(len(self.rows)):

            def chance(column: int, row: int = row) -> float:
                if (row, column) not in self.cells:
                    self.cells[row, column] = seen(row, column, look(row, column), error)
                return self.cells[row, column].share

            known = chances(chance, count) if self.ordered else [chance(each) for each in range(count)]
            for column, share in enumerate(known):
                self.cells.setdefault((row, column), Cell(row, column, share))

    def boundary(self, row: int) -> tuple[str | None, str | None]:
        """The last value across at which recovery is likely (half or more), and the first at which it isn't.

        None where there is no such value, or where the row is not known or not in order.
        """
        names = [text(value) for value in self.columns]
        cells = [self.cells[row, column] for column in range(len(names)) if (row, column) in self.cells]
        likely = [cell.share >= 0.5 for cell in cells]
        if len(likely) < len(names) or likely != sorted(likely, reverse=True):
            return None, None
        count = sum(likely)
        return (names[count - 1] if count else None, names[count] if count < len(names) else None)

    def result(self, when: Trial) -> RecoveryMap:
        """What is known so far."""
        rows, columns = [text(value) for value in self.rows], [text(value) for value in self.columns]
        cells = [cell for _, cell in sorted(self.cells.items())]
        boundary = [self.boundary(row) for row in range(len(rows))]
        return RecoveryMap(self.down, self.across, rows, columns, self.ordered, cells, boundary, when)


def seen(row: int, column: int, found: list[Observation], error: float) -> Cell:
    """A cell that was run."""
    count = len(found)
    share = sum(each.numbers["recovered"] == 1.0 for each in found) / count
    overloaded = sum(each.numbers["overloaded"] == 1.0 for each in found)
    low, high = wilson(share, count, error)
    return Cell(row, column, share, low, high, count, overloaded, 2 * overloaded >= count)


def _size(value: object) -> float:
    found = quantity(value)
    return found.value if found is not None else 0.0
