"""A finished validation: its numbers, its tables, its picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from meshsim.lab import files
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.run import Run
from meshsim.lab.show import sheets as text
from meshsim.lab.show import validate as sheets
from meshsim.measure.grid import Floats
from meshsim.measure.records import Records
from meshsim.measure.request_pairs import Agreement
from meshsim.measure.validation import ValidationNumbers
from meshsim.scenario.model import Scenario

if TYPE_CHECKING:
    import pandas as pd

    from meshsim.plot import Picture


@dataclass(frozen=True, repr=False)
class Validation:
    """Theory, simulation and the live mesh, held against each other.

    `simulation` has the live run's draws, and the measured overhead on its links; `pairs` are the requests of
    both runs, one by one, none where all load is closed.
    """

    scenario: Scenario
    simulation: Run
    live: Run
    pairs: Agreement
    numbers: ValidationNumbers

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers as plain values, as `validation.json` has them."""
        return self.numbers.as_dict()

    @property
    def verdict(self) -> str:
        """``pass``, ``fail`` or ``noisy``."""
        return self.numbers.verdict

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a number: theory, simulation, live, error, tolerance."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.summary["metrics"])

    def latencies(self) -> tuple[Floats, Floats]:
        """Of the simulated and of the live run: measured latencies in order, s."""
        found = []
        for run in (self.simulation, self.live):
            table = run.request_columns
            found.append(np.sort(np.asarray(table["latency"])[np.asarray(table["measured"], dtype=bool)]))
        return found[0], found[1]

    def plot(self) -> Picture:
        """The picture: three tails, residuals of each request, errors as shares of their tolerances."""
        from meshsim.plot.validate import validate_figure  # noqa: PLC0415 - matplotlib is slow to import

        return validate_figure(self.numbers, self.scenario.description, self.pairs, self.latencies())

    def save(self, folder: str | Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Saves validation.json, the picture, and (not returned) both runs in `simulation` and `live`."""
        form, path = output(options), files.prepare(folder)
        drawn = form.pictures(validation=self.plot())
        self.simulation.save(path / "simulation", **options)
        self.live.save(path / "live", **options)
        return files.write(path, {"validation.json": files.json_text(self.summary), **drawn})

    def __repr__(self) -> str:
        said = f"{self.verdict} behind {self.numbers.proxy}"
        return text.line("Validation", self.scenario.name, said, *self.numbers.reasons[:1])

    def _repr_html_(self) -> str:
        return text.html(sheets.headline(self.numbers), [*self.numbers.reasons, *self.numbers.notes])


def records_of(run: Run) -> Records:
    """The rows of a run of one replication."""
    (records,) = run.records
    assert isinstance(records, Records)
    return records
