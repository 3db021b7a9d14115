"""The runs of a capacity search: made on a pool of processes until Ctrl-C, each noted as a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from meshsim.errors import MeshsimError, halves
from meshsim.lab.jobs import memory
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.jobs.pool import Pool, Task
from meshsim.lab.search.inquiry import StoppedError
from meshsim.lab.search.verdict import Observation
from meshsim.measure.capacity import Limit
from meshsim.measure.summary import Summary
from meshsim.measure.table import Table, columns
from meshsim.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class Runner:
    """Makes runs until the user wants an end; an engine of None takes the scenario's."""

    pool: Pool[Summary]
    stop: Interrupt
    engine: str | None = None

    def summaries(self, runs: Sequence[tuple[Scenario, int, str]]) -> list[Summary]:
        """Summaries of runs (scenario, seed, label), in order; StoppedError at Ctrl-C, else MeshsimError."""
        tasks = [
            Task(number, _in_order(scenario, label), seed, self.engine, label)
            for number, (scenario, seed, label) in enumerate(runs)
        ]
        found = dict(self.pool.summaries(tasks, stop=self.stop))
        if len(found) < len(tasks):
            self.stop.give_up_if_pressed_twice()
            raise StoppedError
        return [found[task.number] for task in tasks]


def _in_order(scenario: Scenario, label: str) -> Scenario:
    """The scenario keeping records: how much its requests depend on each other shows in their order."""
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


class Row(NamedTuple):
    """One run, or of recovery one pair; a `factor` of NaN where the load is not what was tried."""

    question: str
    candidate: str
    factor: float
    fresh: bool
    limits: Sequence[Limit]
    observation: Observation


KINDS = {"question": str, "candidate": str, "factor": float, "fresh": bool, "seed": int, "unstable": bool}


def table(rows: Sequence[Row]) -> Table:
    """One row a run: what was tried, the seed, what each limit measured, and the numbers of the summary.

    Columns `question`, `candidate`, `factor`, `fresh`, `seed`, `unstable`; ``SERVICE.KEY`` and
    ``SERVICE.KEY.share`` of each limit; then the numbers by name. What does not exist is NaN.
    """
    named = [
        {**row._asdict(), "seed": row.observation.seed, "unstable": row.observation.unstable, **_numbers(row)}
        for row in rows
    ]
    numbers = dict.fromkeys(name for row in rows for name in _numbers(row))
    return columns(named, KINDS | dict.fromkeys(numbers, float))


def _numbers(row: Row) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for limit, score in zip(row.limits, row.observation.scores, strict=True):
        name = f"{limit.service}.{limit.key}"
        found |= {name: score.measured, f"{name}.share": score.share}
    known = {name: value for name, value in found.items() if value is not None}
    return {**known, **row.observation.numbers}
