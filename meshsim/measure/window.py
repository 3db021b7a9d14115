"""Which part of a run is measured."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.errors import MeshsimError
from meshsim.measure import warmup
from meshsim.measure.grid import Window
from meshsim.measure.histograms import Histograms
from meshsim.measure.measurements import Measurements
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario


def interrupted(record: Measurements, scenario: Scenario) -> bool:
    """Whether the user ended the run: it says so, or it ended before its arrivals did."""
    return record.interrupted or (not record.complete and record.end < scenario.duration)


def measured(records: Sequence[Measurements], scenario: Scenario) -> Window:
    """From the warm-up's end to `duration`.

    A run that was interrupted before is measured to its last whole bin; one that kept histograms to its end,
    since what has been counted can't be taken out again.

    MeshsimError: histograms were kept, but the warm-up is to be found from rows.
    """
    grid, begin = records[0].grid, _begin(records, scenario)
    cut_short = [record for record in records if interrupted(record, scenario)]
    stopped = min((record.end for record in cut_short), default=scenario.duration)
    if stopped >= scenario.duration:
        end, last = scenario.duration, grid.last
    elif isinstance(records[0], Histograms):
        assert len(records) == 1, "what has been counted beyond another's end can't be taken out"
        end, last = stopped, max(grid.bins_until(stopped), begin.bins)
    else:
        last = max(grid.bin_at(stopped), begin.bins)
        end = grid.origin + last * grid.width
    return Window(begin.time, max(end, begin.time), begin.bins, last, begin.found)


def _begin(records: Sequence[Measurements], scenario: Scenario) -> warmup.Warmup:
    if scenario.warmup != "auto":
        return warmup.Warmup(records[0].grid.first, float(scenario.warmup), True)
    rows = [record for record in records if isinstance(record, Records)]
    if len(rows) < len(records):
        raise MeshsimError(
            "warmup: auto looks at every request, and this run keeps histograms; give warmup as a duration"
        )
    return warmup.find(rows, scenario.duration)
