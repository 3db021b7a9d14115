"""Each point of a sweep in medians over its replications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meshsim.lab.tidy import COUNTS, FAILURES, NUMBERS
from meshsim.measure.intervals import Median, median
from meshsim.measure.result import plain
from meshsim.measure.table import Table
from meshsim.scenario.model import CLIENT


@dataclass(frozen=True)
class Digest:
    """One point: finished replications, how many are `unstable`, and medians by service and column."""

    point: int
    replications: int
    unstable: int
    numbers: dict[str, dict[str, Median]]

    def client(self, column: str) -> float | None:
        """The client's median of a column; None where no replication has one."""
        found = self.numbers[CLIENT].get(column)
        return None if found is None else found.median

    @property
    def busiest(self) -> tuple[str, float] | None:
        """The service whose workers are busiest, and how busy; None where all workers are unlimited."""
        found = ((name, numbers.get("utilisation")) for name, numbers in self.numbers.items())
        busy = [(name, utilisation.median) for name, utilisation in found if utilisation is not None]
        return max(busy, key=lambda entry: entry[1], default=None)

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        counts = {"point": self.point, "replications": self.replications, "unstable": self.unstable}
        services = plain(self.numbers)
        return {**counts, "client": services.pop(CLIENT), "services": services}


def digests(table: Table) -> list[Digest]:
    """The points that a table has rows of, in order."""
    names = [name for name in table if name in (*COUNTS, *NUMBERS) or name.startswith(FAILURES)]
    found = []
    ends = np.flatnonzero(np.diff(table["point"])) + 1
    for rows in np.split(np.arange(len(table["point"])), ends):
        if not len(rows):
            continue
        services = table["service"][rows]
        places = {str(service): rows[services == service] for service in dict.fromkeys(services)}
        client = places[CLIENT]
        numbers = {service: _medians(table, names, own) for service, own in places.items()}
        unstable = int(np.count_nonzero(table["unstable"][client]))
        found.append(Digest(int(table["point"][rows[0]]), len(client), unstable, numbers))
    return found


def _medians(table: Table, names: list[str], rows: Any) -> dict[str, Median]:
    columns = ((name, table[name][rows].astype(np.float64)) for name in names)
    known = ((name, values[~np.isnan(values)].tolist()) for name, values in columns)
    return {name: median(values) for name, values in known if values}
