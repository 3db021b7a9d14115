"""What a capacity search finds, as `capacity.json` has it: a class for each of its objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshsim.measure.intervals import Interval
from meshsim.measure.latency import QUANTILES
from meshsim.measure.result import LEFT_OUT, Result


@dataclass(frozen=True)
class Limit(Result):
    """One limit of an objective: seconds of ``p99``, ``mean``, …; the least share of ``success``.

    An endpoint is named after a ``/`` of its service. Recovery has one of its own, ``recovered``: the least
    share of runs that recover.
    """

    service: str
    key: str
    limit: float

    @property
    def least(self) -> float | None:
        """The share of requests that must be good, or within the limit; None where a value is asked."""
        return self.limit if self.key in ("success", "recovered") else QUANTILES.get(self.key)


@dataclass(frozen=True)
class Amount(Result):
    """One of the scenario's loads: a mean rate per second, or users."""

    to: str
    rate: float | None = field(default=None, metadata=LEFT_OUT)
    users: int | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class LoadLevel(Result):
    """All loads of the scenario times a factor."""

    factor: float
    label: str
    loads: Sequence[Amount]


@dataclass(frozen=True)
class EvaluatedLoad(LoadLevel):
    """A load level with what was decided about it; `fresh` if only with seeds made for verification."""

    verdict: str
    replications: int
    fresh: bool


@dataclass(frozen=True)
class CurvePoint(EvaluatedLoad):
    """A point of the load-latency curve; `measured` has a place for each limit."""

    unstable: int
    measured: Sequence[Interval | None]
    goodput: Interval | None
    latency_mean: Interval | None
    utilisation: Mapping[str, float]

    @property
    def busiest(self) -> Busiest | None:
        """The service with the highest utilisation; None where none has limited workers."""
        name = max(self.utilisation, key=self.utilisation.__getitem__, default=None)
        return None if name is None else Busiest(name, self.utilisation[name])


@dataclass(frozen=True)
class RecoveryPoint(EvaluatedLoad):
    """A load whose recovery was tried, and how many of its replications recovered."""

    recovered: int


@dataclass(frozen=True)
class Busiest(Result):
    """A service and its utilisation, 0-1."""

    service: str
    utilisation: float


@dataclass(frozen=True)
class Knee(Result):
    """Where power is greatest: the best load of the curve, and the range of loads that are as good."""

    best: LoadLevel
    low: LoadLevel
    high: LoadLevel
    inside: bool


@dataclass(frozen=True)
class Bracket(Result):
    """Between which loads the answer changes; `confirmed` is None before fresh seeds were asked."""

    meets: LoadLevel | None
    misses: LoadLevel | None
    confirmed: bool | None
    notes: Sequence[str]


@dataclass(frozen=True)
class LargestLoad(Bracket):
    """The largest load that meets the objectives, the knee, and the busiest service at that load."""

    knee: Knee | None
    busiest: Busiest | None
    curve: Sequence[CurvePoint]


@dataclass(frozen=True)
class LeastReplicas(Result):
    """The least replicas that meet the objectives, by pool; None if none are known.

    `bounds` are the fewest that could do the work if they were always busy; `removals` the verdict with one
    replica fewer, None for a pool at its minimum. `exact` says that all of the `cheaper_tried` combinations
    that cost less were tried, `confirmed` whether fresh seeds agreed (None before they were asked).
    """

    least: Mapping[str, int] | None
    own: Mapping[str, int]
    bounds: Mapping[str, int] | None
    costs: Mapping[str, float]
    cost: float | None
    cost_own: float
    removals: Mapping[str, str | None]
    exact: bool
    cheaper_tried: int | None
    confirmed: bool | None
    notes: Sequence[str]


@dataclass(frozen=True)
class Trial(Result):
    """When the trigger begins and ends, and from when on recovery is judged, s."""

    hit: float
    over: float
    looked: float


@dataclass(frozen=True)
class Recovery(Bracket):
    """Between which loads the mesh stops recovering from its trigger."""

    trial: Trial
    looked_at: Sequence[RecoveryPoint]


@dataclass(frozen=True)
class Cell(Result):
    """A cell of the map: how likely recovery is, 0-1, and Wilson's interval of it.

    One that was not run, and follows from its neighbours, has no interval and 0 replications. In a `hopeless`
    one half of the replications or more are `overloaded` without the trigger, too.
    """

    row: int
    column: int
    share: float
    low: float | None = None
    high: float | None = None
    replications: int = 0
    overloaded: int | None = None
    hopeless: bool = False


@dataclass(frozen=True)
class RecoveryMap(Result):
    """The probability of recovery over two keys, whose values are as in the file.

    The columns are `ordered` if they are a load. The `boundary` has for each row the last value at which
    recovery is likely, and the first at which it isn't.
    """

    down: str
    across: str
    rows: Sequence[str]
    columns: Sequence[str]
    ordered: bool
    cells: Sequence[Cell]
    boundary: Sequence[tuple[str | None, str | None]]
    trial: Trial


@dataclass(frozen=True)
class CapacityNumbers(Result):
    """All that a capacity search found; parts that were not asked about are None."""

    scenario: str
    version: str
    seed: int
    confidence: float
    resolution: float
    replications_most: int
    runs: int
    seeds: Sequence[int]
    partial: bool
    objectives: Sequence[Limit]
    load: LargestLoad | None
    replicas: LeastReplicas | None
    recovery: Recovery | None
    map: RecoveryMap | None
    provenance: Mapping[str, str]
