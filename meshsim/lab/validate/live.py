"""The live run, as `validate` needs it; tests put a simulated one in its place."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple, Protocol

from meshsim.errors import MeshsimError
from meshsim.lab.engines import Progress
from meshsim.measure.evidence import Evidence
from meshsim.measure.records import Records
from meshsim.scenario.model import Scenario


class LiveRun(NamedTuple):
    """What came of a live run: its rows, and what it saw of the machine."""

    records: Records
    evidence: Evidence


class Live(Protocol):
    """What runs a scenario for real."""

    def __call__(self, scenario: Scenario, *, proxy: str, progress: Progress | None = None) -> LiveRun:
        """Runs a scenario behind the sidecars of one kind, from its start until all is answered.

        Args:
            scenario: with its seed.
            proxy: ``meshsim`` or ``envoy``.
            progress: is told how much of it has passed, s.
        """


def on_this_machine(scenario: Scenario, *, proxy: str, progress: Progress | None = None) -> LiveRun:
    """The real mesh.

    Raises:
        MeshsimError: it can't run here, or not this scenario.
    """
    try:
        live = import_module("meshsim.lab.live")
    except ImportError as error:
        raise MeshsimError(f"the live mesh can't run: {error}; pip install 'meshsim[live]'") from error
    records = live.run_live(scenario, proxy=proxy, progress=progress)
    return LiveRun(records, Evidence.of(records.evidence))
