"""The least replicas that meet the objectives at the scenario's own load.

First replicas are doubled until utilisation is low. If that misses, replicas don't help. If it meets, it
shows how many workers the load needs, and fewer are never enough (the utilisation law). From there marginal
analysis goes up: the pool where one replica more brings the objectives closest, for its cost, gets it; what
is busiest is not always short, since callers are busy waiting for what they call. Then down: one replica of
each pool in turn is taken away, the most expensive first, while the objectives stay met. That is no proof
that nothing else is cheaper; where few enough combinations cost less, all of them are tried.

Source: Fox, Discrete Optimization via Marginal Analysis, Management Science 13 (1966). Denning and Buzen
(1978): the utilisation law.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product

from meshsim.lab.capacity import sample_size
from meshsim.lab.capacity.pools import Pools, Replicas
from meshsim.lab.search.inquiry import FEWEST, Inquiry
from meshsim.lab.search.verdict import Verdict, columns, excess
from meshsim.measure.capacity import LeastReplicas
from meshsim.measure.intervals import interval
from meshsim.units import UNLIMITED

BUSY = 0.5
"""Below this utilisation of every pool the mesh is ample."""
DOUBLINGS = 6
TRIED = 6
"""So many pools at most are tried at each step up, the busiest first."""
EXACT = 40
"""So many cheaper combinations at most are all tried."""


@dataclass(slots=True)
class ReplicasSearch:
    """Looks for the least replicas; attributes as in `meshsim.measure.capacity.LeastReplicas`."""

    inquiry: Inquiry[Replicas]
    pools: Pools
    least: Replicas | None = None
    bounds: Replicas | None = None
    removals: dict[str, Verdict | None] = field(default_factory=dict)
    exact: bool = False
    cheaper_tried: int | None = None
    confirmed: bool | None = None
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Searches, and verifies."""
        ample = self._ample()
        if ample is None:
            return
        self.bounds = self._lower_bounds(ample)
        assert self.least is not None
        found = self._down(self._up(self.bounds, self.least))
        found = self._all_cheaper(found, self.bounds)
        self.removals = {
            name: self.inquiry.ask(self.pools.changed(found, place, -1)).verdict
            if found[place] > self.pools.fewest[place]
            else None
            for place, name in enumerate(self.pools.names)
        }
        verdict = self.inquiry.fresh().ask(found).verdict
        self.confirmed = verdict is Verdict.MET
        if not self.confirmed:
            how = "is missed" if verdict is Verdict.MISSED else "is inconclusive"
            label = self.pools.label(found)
            self.notes.append(f"With fresh seeds {label} {how}: add a replica where it does most.")

    def _met(self, replicas: Replicas) -> bool:
        """Asks, and keeps the cheapest that is known to meet."""
        met = self.inquiry.ask(replicas).verdict is Verdict.MET
        if met and (self.least is None or self.pools.cost(replicas) < self.pools.cost(self.least)):
            self.least = replicas
        return met

    def _ample(self) -> Replicas | None:
        """Replicas that meet with room to spare, or the cheapest that meet; None if even many don't."""
        replicas = self.pools.own
        for doubling in range(DOUBLINGS + 1):
            met = self._met(replicas)
            if met and max(self._utilisation(replicas, place) for place in range(len(replicas))) < BUSY:
                return replicas
            undecided = self.inquiry.findings[replicas].verdict is Verdict.UNDECIDED
            if doubling == DOUBLINGS or (undecided and sample_size.hopeless(self.inquiry, replicas)):
                break
            replicas = tuple(2 * count for count in replicas)
        if self.least is None:
            self.notes.append(self._not_met(replicas, 2**doubling))
        return self.least

    def _not_met(self, replicas: Replicas, times: int) -> str:
        """Why there is no answer, after so many times the scenario's own replicas."""
        many = f"Even {times} times as many replicas" if times > 1 else "The replicas there are"
        many = f"{many} ({self.pools.label(replicas)})"
        if self.inquiry.findings[replicas].verdict is Verdict.MISSED:
            return f"{many} don't meet the objectives: it is not replicas that are short."
        return f"{many} are inconclusive. {sample_size.advice(self.inquiry, replicas)}"

    def _utilisation(self, replicas: Replicas, place: int) -> float:
        """Of a pool's workers; 0 where they are unlimited."""
        workers, busy = self.pools.workers(place), self._busy(replicas, place)
        return 0.0 if workers >= UNLIMITED else sum(busy) / len(busy) / workers / replicas[place]

    def _busy(self, replicas: Replicas, place: int) -> list[float]:
        key = f"busy_mean.{self.pools.names[place]}"
        return [each.numbers.get(key, 0.0) for each in self.inquiry.findings[replicas].observations]

    def _lower_bounds(self, ample: Replicas) -> Replicas:
        """Fewer replicas than this could not do the work if they never rested; sure to 95 %."""
        least = []
        for place, most in enumerate(ample):
            busy = self._busy(ample, place)
            low = interval(busy, 0.9).low if len(busy) > 1 else 0.0
            needed = math.ceil(low / self.pools.workers(place) - 1e-9)
            least.append(min(most, max(self.pools.fewest[place], needed)))
        return tuple(least)

    def _up(self, replicas: Replicas, least: Replicas) -> Replicas:
        """Adds replicas where one does most for its cost, until the objectives are met or nothing saved."""
        while self.pools.cost(replicas) < self.pools.cost(least):
            if self._met(replicas):
                return replicas
            replicas = self._best_addition(replicas)
        return least

    def _best_addition(self, replicas: Replicas) -> Replicas:
        """One replica more where it helps most for its cost; where none helps, at the busiest pool."""
        now = self._excess(replicas)
        busiest_first = sorted(range(len(replicas)), key=lambda place: -self._utilisation(replicas, place))
        gains = {
            place: (now - self._excess(self.pools.changed(replicas, place, 1))) / self.pools.costs[place]
            for place in busiest_first[:TRIED]
        }
        best = max(gains, key=gains.__getitem__)
        chosen = best if gains[best] > 0.0 else busiest_first[0]
        return self.pools.changed(replicas, chosen, 1)

    def _excess(self, replicas: Replicas) -> float:
        """By how much the limits are exceeded together, over the first replications; 0 where all are met."""
        finding = self.inquiry.look(replicas, FEWEST)
        scores = columns(finding.observations[:FEWEST])
        return sum(max(0.0, excess(*pair)) for pair in zip(self.inquiry.limits, scores, strict=True))

    def _down(self, replicas: Replicas) -> Replicas:
        """Takes replicas away, the most expensive first, while the objectives stay met."""
        costliest_first = sorted(range(len(replicas)), key=lambda place: -self.pools.costs[place])
        while True:
            fewer = (
                self.pools.changed(replicas, place, -1)
                for place in costliest_first
                if replicas[place] > self.pools.fewest[place]
            )
            found = next(filter(self._met, fewer), None)
            if found is None:
                return replicas
            replicas = found

    def _all_cheaper(self, replicas: Replicas, bounds: Replicas) -> Replicas:
        """Tries every combination that costs less, the cheapest first, if there are few."""
        cost = self.pools.cost(replicas)
        combinations = list(islice(cheaper(bounds, self.pools.costs, cost), EXACT + 1))
        if len(combinations) > EXACT:
            return replicas
        self.cheaper_tried = len(combinations)
        found = next(filter(self._met, sorted(combinations, key=self.pools.cost)), replicas)
        self.exact = True
        return found

    def result(self) -> LeastReplicas:
        """What is known so far."""
        pools, least, bounds = self.pools, self.least, self.bounds
        return LeastReplicas(
            least=None if least is None else pools.by_name(least),
            own=pools.by_name(pools.own),
            bounds=None if bounds is None else pools.by_name(bounds),
            costs=pools.by_name(pools.costs),
            cost=None if least is None else pools.cost(least),
            cost_own=pools.cost(pools.own),
            removals={name: None if each is None else str(each) for name, each in self.removals.items()},
            exact=self.exact,
            cheaper_tried=self.cheaper_tried,
            confirmed=self.confirmed,
            notes=self.notes,
        )


def cheaper(bounds: Replicas, costs: tuple[float, ...], cost: float) -> Iterator[Replicas]:
    """Every combination of at least `bounds` that costs less than `cost`."""
    room = cost - sum(count * each for count, each in zip(bounds, costs, strict=True))
    if room <= 0.0:
        return
    ranges = [range(low, low + math.ceil(room / each)) for low, each in zip(bounds, costs, strict=True)]
    for candidate in product(*ranges):
        if sum(count * each for count, each in zip(candidate, costs, strict=True)) < cost - 1e-9:
            yield candidate
