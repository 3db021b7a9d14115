"""Every run of a capacity study as one row of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshsim.lab.capacity.limits import Limit, Observation
from meshsim.measure.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One run, or of recovery one pair.

    Attributes:
        question: ``load``, ``replicas``, ``recovery`` or ``map``.
        candidate: what was tried, as text.
        factor: on the scenario's load; NaN where that is not what was tried.
        fresh: whether it was made to verify.
        limits: that were asked.
        observation: what came of it.
    """

    question: str
    candidate: str
    factor: float
    fresh: bool
    limits: tuple[Limit, ...]
    observation: Observation


def table(rows: Iterable[Row]) -> Table:
    """One row a run: what was tried, the seed, what each limit measured, and the numbers of the summary.

    Returns:
        Columns `question`, `candidate`, `factor`, `fresh`, `seed`, `unstable`; ``SERVICE.KEY`` and
        ``SERVICE.KEY.share`` of each limit; then the numbers by name. What does not exist is NaN.
    """
    listed = list(rows)
    columns: dict[str, Any] = {
        "question": np.array([row.question for row in listed], dtype=np.str_),
        "candidate": np.array([row.candidate for row in listed], dtype=np.str_),
        "factor": np.array([row.factor for row in listed], dtype=np.float64),
        "fresh": np.array([row.fresh for row in listed], dtype=np.bool_),
        "seed": np.array([row.observation.seed for row in listed], dtype=np.int64),
        "unstable": np.array([row.observation.unstable for row in listed], dtype=np.bool_),
    }
    numbers = [_numbers(row) for row in listed]
    for name in dict.fromkeys(name for each in numbers for name in each):
        columns[name] = np.array([each.get(name, np.nan) for each in numbers], dtype=np.float64)
    return columns


def _numbers(row: Row) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for limit, score in zip(row.limits, row.observation.scores, strict=True):
        found[f"{limit.service}.{limit.key}"] = score.measured
        found[f"{limit.service}.{limit.key}.share"] = score.share
    return {
        **{name: value for name, value in found.items() if value is not None},
        **row.observation.numbers,
    }
