"""Runs for a search: on a pool of processes, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meshsim.errors import MeshsimError, halves
from meshsim.lab.capacity.inquiry import StoppedError
from meshsim.lab.capacity.limits import Limit, Observation, observe
from meshsim.lab.jobs import memory
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.jobs.pool import Pool, Task
from meshsim.measure.summary import Summary
from meshsim.scenario.model import Scenario


@dataclass(slots=True)
class Runner:
    """Makes runs.

    Attributes:
        pool: of processes.
        stop: whether the user wants an end.
        engine: None takes the scenario's.
    """

    pool: Pool[Summary]
    stop: Interrupt
    engine: str | None = None

    def observe(
        self, scenario: Scenario, seeds: Sequence[int], limits: Sequence[Limit], label: str
    ) -> list[Observation]:
        """One run for each seed, in their order.

        Raises:
            StoppedError: the user pressed Ctrl-C.
            MeshsimError: a run can't be made; the label says which.
        """
        summaries = self.summaries([(scenario, seed, f"{label}, seed {seed}") for seed in seeds])
        return [observe(summary, limits, seed) for summary, seed in zip(summaries, seeds, strict=True)]

    def summaries(self, runs: Sequence[tuple[Scenario, int, str]]) -> list[dict[str, Any]]:
        """The summaries of runs (scenario, seed, label), in their order; raises as `observe`."""
        tasks = [
            Task(number, _in_order(scenario, label), seed, self.engine, label)
            for number, (scenario, seed, label) in enumerate(runs)
        ]
        found = dict(self.pool.summaries(tasks, stop=self.stop))
        if len(found) < len(tasks):
            self.stop.give_up_if_pressed_twice()
            raise StoppedError
        return [found[task.number].as_dict() for task in tasks]


def _in_order(scenario: Scenario, label: str) -> Scenario:
    """The scenario keeping records: how much its requests depend on each other shows in their order.

    Raises:
        MeshsimError: it does not ask for them itself, and they would not fit into memory.
    """
    if scenario.keep != "records":
        scenario = scenario.model_copy(update={"keep": "records"})
        scenario.model_fields_set.discard("keep")  # or it would pass for the user's own wish
    memory.check_mesh(scenario)
    try:
        memory.check(scenario, 1)
    except MeshsimError as error:
        raise MeshsimError(
            f"{label}: {halves(error)[0]}; a search needs them, since their order shows how much requests"
            " depend on each other: make the duration shorter, or insist with --set keep=records"
        ) from None
    return scenario
