"""A finished validation: its numbers, its tables, its picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from meshsim.lab import files
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.run import Run
from meshsim.lab.show import sheets as text
from meshsim.lab.show import validate as sheets
from meshsim.measure.agreement import Agreement, agreement
from meshsim.measure.grid import Floats, Window
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario

if TYPE_CHECKING:
    import pandas as pd

    from meshsim.plot import Picture


@dataclass(frozen=True, repr=False)
class Validation:
    """Theory, simulation and the live mesh, held against each other.

    Attributes:
        scenario: that was validated, overrides and seed included.
        simulation: the simulated run with the live run's draws; its scenario's links have the measured
            overhead.
        live: the live run.
        summary: the numbers, as `validation.json` has them.
    """

    scenario: Scenario
    simulation: Run
    live: Run
    summary: dict[str, Any]

    @property
    def verdict(self) -> str:
        """``pass``, ``fail`` or ``noisy``."""
        return str(self.summary["verdict"])

    @cached_property
    def pairs(self) -> Agreement:
        """The requests of both runs, one by one; none where all load is closed."""
        loads = [index for index, load in enumerate(self.scenario.load) if load.users is None]
        one, other = records_of(self.simulation), records_of(self.live)
        begin = self.simulation.summary["warmup"]
        return agreement(one, other, loads, Window(begin, begin + self.summary["measured"], 0, 0))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a number: theory, simulation, live, error, tolerance."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame(self.summary["metrics"])

    def latencies(self) -> tuple[Floats, Floats]:
        """Of the simulated and of the live run: measured latencies in order, s."""
        import numpy as np  # noqa: PLC0415

        found = []
        for run in (self.simulation, self.live):
            table = run.request_columns
            found.append(np.sort(np.asarray(table["latency"])[np.asarray(table["measured"], dtype=bool)]))
        return found[0], found[1]

    def plot(self) -> Picture:
        """The picture: three tails, residuals of each request, errors by their tolerances."""
        from meshsim.plot.validate import validate_figure  # noqa: PLC0415 - matplotlib is slow to import

        return validate_figure(self)

    def save(self, folder: str | Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Writes validation.json, the picture, and both runs' files in `simulation` and `live`.

        Args:
            folder: made if missing.
            options: `formats`, `dpi` and `csv`, see `meshsim.lab.output.OutputOptions`.

        Returns:
            The files, without those of the runs.

        Raises:
            MeshsimError: they can't be written.
        """
        form, path = output(options), files.prepare(folder)
        drawn = form.pictures(validation=self.plot())
        self.simulation.save(path / "simulation", **options)
        self.live.save(path / "live", **options)
        return files.write(path, {"validation.json": files.json_writer(self.summary), **drawn})

    def __repr__(self) -> str:
        said = f"{self.verdict} behind {self.summary['proxy']}"
        return text.line("Validation", self.scenario.name, said, *self.summary["reasons"][:1])

    def _repr_html_(self) -> str:
        return text.html(sheets.headline(self.summary), sheets.sentences(self.summary))


def records_of(run: Run) -> Records:
    """The rows of a run of one replication."""
    (records,) = run.records
    assert isinstance(records, Records)
    return records
