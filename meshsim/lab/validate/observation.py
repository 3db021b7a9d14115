"""The live run, as `validate` needs it; tests put a simulated one in its place."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from meshsim.errors import MeshsimError
from meshsim.lab.engines import Progress
from meshsim.lab.run import Run
from meshsim.measure.disturbance import Evidence
from meshsim.scenario.model import Scenario


class Observation(NamedTuple):
    """What came of a live run, and what it saw of the machine."""

    run: Run
    evidence: Evidence


class Live(Protocol):
    """What runs a scenario for real."""

    def __call__(self, scenario: Scenario, *, proxy: str, progress: Progress | None = None) -> Observation:
        """Runs a scenario behind the sidecars of one kind, from its start until all is answered."""


def on_this_machine(scenario: Scenario, *, proxy: str, progress: Progress | None = None) -> Observation:
    """The real mesh; MeshsimError if it can't run here, or not this scenario."""
    try:
        from meshsim.lab.live import run_live, troubles  # noqa: PLC0415 - only a live run needs what it imports
        from meshsim.live.troubles import OWN_ERROR  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise MeshsimError(f"the live mesh can't run: {error}; pip install 'meshsim[live]'") from error
    watch = None if progress is None else (lambda mesh: progress(max(mesh.now, 0.0)))
    run = run_live(scenario, proxy=proxy, watch=watch)
    found = run.numbers.live
    assert found is not None
    machine, said = found.machine, troubles(found.troubles)
    seen = Evidence(
        load_lag=found.lag,
        service_lag=found.timer_lag,
        cpu_busy=None if machine is None else machine.busy,
        cpu_steal=None if machine is None else machine.stolen,
        troubles=tuple(each for each in said if OWN_ERROR not in each),
        errors=tuple(each for each in said if OWN_ERROR in each),
    )
    return Observation(run, seen)
