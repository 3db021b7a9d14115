"""What a comparison finds, as `compare.json` has it: a class for each of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from meshsim.measure.differences import Difference
from meshsim.measure.precision import Until
from meshsim.measure.request_pairs import AllRequestPairs
from meshsim.measure.result import LEFT_OUT, Result
from meshsim.measure.summary import Provenance


@dataclass(frozen=True)
class UnstableRuns(Result):
    """In how many runs work piled up, and why the first of them is unstable."""

    replications: int
    reason: str


@dataclass(frozen=True)
class Side(Result):
    """A or B: what ran, its measured time of each run, s, and its label."""

    scenario: str
    engine: str
    measured: float
    unstable: UnstableRuns | Literal[False]
    provenance: Provenance
    label: str


@dataclass(frozen=True)
class Jointly(Result):
    """All metrics together: how many, how many differ significantly, and at which confidence each."""

    metrics: int
    told: int
    confidence_each: float


@dataclass(frozen=True)
class ObjectiveRuns(Result):
    """One limit of an objective of B, and the runs of each side that met it; A may lack the service."""

    objective: str
    limit: float | None
    met_a: int | None
    met_b: int


@dataclass(frozen=True)
class ComparisonNumbers(Result):
    """What differs between A and B; `cost` is attempts per second and busy workers.

    `requests` is None where they can't be paired; `until` where no precision was asked for.
    """

    version: str
    engine: str
    seeds: Sequence[int]
    replications: int
    partial: bool
    confidence: float
    metric: str
    a: Side
    b: Side
    differences: Sequence[Difference]
    jointly: Jointly
    cost: Sequence[Difference]
    objectives: Sequence[ObjectiveRuns]
    requests: AllRequestPairs | None
    until: Until | None = field(metadata=LEFT_OUT)
    notes: Sequence[str]
    verdict: str

    @property
    def by_metric(self) -> dict[str, Difference]:
        """The differences by the paths of their metrics."""
        return {each.metric: each for each in self.differences}
