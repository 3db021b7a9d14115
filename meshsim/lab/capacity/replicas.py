"""The least replicas that meet the objectives at the scenario's own load.

First the ample mesh: replicas are doubled until nobody is busy. If that misses, replicas don't help, and
that is the answer. If it meets, it shows how many workers the load itself needs, and fewer are never enough
(the utilisation law). From there marginal analysis goes up: each pool is tried with one replica more, and the
one that brings the objectives closest, for its cost, gets it. What is busiest is not always what is short:
callers are busy waiting for what they call. Then down again: one replica of each pool in turn is taken away,
the dearest first, for as long as the objectives stay met.

So no single replica can be taken away from the answer; that is no proof that nothing else is cheaper. Where
few enough combinations cost less, all of them are tried, and then nothing is, down to those bounds.

Source:
    Fox, Discrete Optimization via Marginal Analysis, Management Science 13 (1966). Denning and Buzen (1978).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from meshsim.lab.capacity import shortage
from meshsim.lab.capacity.evidence import Verdict, excess
from meshsim.lab.capacity.inquiry import FEWEST, Finding, Inquiry
from meshsim.lab.capacity.pools import Pools, Replicas
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
class ReplicasAnswer:
    """The least replicas.

    Attributes:
        least: by pool; None if none are known that meet the objectives.
        bounds: fewer than this are always busy.
        removals: by pool, the verdict with one replica less; None where it is at its minimum.
        exact: whether every cheaper combination above the bounds was tried.
        cheaper: how many of them there are.
        confirmed: whether fresh seeds agreed; None before they were asked.
        notes: what else was found, in sentences.
    """

    least: Replicas | None = None
    bounds: Replicas | None = None
    removals: dict[str, Verdict | None] = field(default_factory=dict)
    exact: bool = False
    cheaper: int | None = None
    confirmed: bool | None = None
    notes: list[str] = field(default_factory=list)


class ReplicasSearch:
    """Looks for the least replicas.

    Attributes:
        inquiry: about replicas.
        verifier: the same with fresh seeds.
        pools: whose replicas they are.
        answer: as far as it is known, at any time.
    """

    def __init__(self, inquiry: Inquiry[Replicas], verifier: Inquiry[Replicas], pools: Pools) -> None:
        self.inquiry = inquiry
        self.verifier = verifier
        self.pools = pools
        self.answer = ReplicasAnswer()

    def run(self) -> ReplicasAnswer:
        """Searches, and verifies."""
        ample = self._ample()
        if ample is None:
            return self.answer
        self.answer.bounds = bounds = self._bounds(self.inquiry.findings[ample], ample)
        assert self.answer.least is not None
        found = self._up(bounds, self.answer.least)
        found = self._down(found)
        found = self._all_cheaper(found, bounds)
        self.answer.removals = self._removals(found)
        self._verify(found)
        return self.answer

    def _met(self, replicas: Replicas) -> bool:
        """Asks, and keeps the cheapest that is known to meet."""
        met = self.inquiry.ask(replicas).verdict is Verdict.MET
        least = self.answer.least
        if met and (least is None or self.pools.cost(replicas) < self.pools.cost(least)):
            self.answer.least = replicas
        return met

    # ---- more than enough ---------------------------------------------------------------------------

    def _ample(self) -> Replicas | None:
        """Replicas that meet with room to spare, or the cheapest that meet; None if even many don't."""
        replicas = self.pools.own
        for doubling in range(DOUBLINGS + 1):
            met = self._met(replicas)
            finding = self.inquiry.findings[replicas]
            if met and self._busiest(finding, replicas) < BUSY:
                return replicas
            undecided = finding.verdict is Verdict.UNDECIDED
            if doubling == DOUBLINGS or (undecided and shortage.hopeless(self.inquiry, replicas)):
                break
            replicas = tuple(2 * count for count in replicas)
        if self.answer.least is None:
            self.answer.notes.append(self._not_met(replicas, 2**doubling))
        return self.answer.least

    def _not_met(self, replicas: Replicas, times: int) -> str:
        """Why there is no answer, after so many times the scenario's own replicas."""
        label = self.pools.label(replicas)
        many = (
            f"Even {times} times as many replicas ({label})"
            if times > 1
            else f"The replicas there are ({label})"
        )
        if self.inquiry.findings[replicas].verdict is Verdict.MISSED:
            return f"{many} don't meet the objectives: it is not replicas that are short."
        return f"{many} are inconclusive. {shortage.told(self.inquiry, replicas)}"

    def _busiest(self, finding: Finding[Replicas], replicas: Replicas) -> float:
        return max((self._busy(finding, place) / count for place, count in enumerate(replicas)), default=0.0)

    def _busy(self, finding: Finding[Replicas], place: int) -> float:
        """How many replicas' workers are busy on average; 0 where they are unlimited."""
        workers = self.pools.workers(place)
        if workers >= UNLIMITED:
            return 0.0
        return sum(self._busy_values(finding, place)) / len(finding.observations) / workers

    def _busy_values(self, finding: Finding[Replicas], place: int) -> list[float]:
        key = f"busy_mean.{self.pools.names[place]}"
        return [each.numbers.get(key, 0.0) for each in finding.observations]

    def _bounds(self, finding: Finding[Replicas], ample: Replicas) -> Replicas:
        """Fewer replicas than this could not do the work if they never rested; sure to 95 %."""
        least = []
        for place, most in enumerate(ample):
            values = self._busy_values(finding, place)
            low = interval(values, 0.9).low if len(values) > 1 else 0.0
            needed = math.ceil(low / self.pools.workers(place) - 1e-9)
            least.append(min(most, max(self.pools.fewest[place], needed)))
        return tuple(least)

    # ---- up -----------------------------------------------------------------------------------------

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
        busiest_first = sorted(
            range(len(replicas)),
            key=lambda place: -self._busy(self.inquiry.findings[replicas], place) / replicas[place],
        )

        def gain(place: int) -> float:
            changed = self.pools.changed(replicas, place, 1)
            return (now - self._excess(changed)) / self.pools.costs[place]

        gains = {place: gain(place) for place in busiest_first[:TRIED]}
        best = max(gains, key=lambda place: gains[place])
        chosen = best if gains[best] > 0.0 else busiest_first[0]
        return self.pools.changed(replicas, chosen, 1)

    def _excess(self, replicas: Replicas) -> float:
        """By how much the limits are exceeded together, over the first replications; 0 where all are met."""
        finding = self.inquiry.look(replicas, FEWEST)
        seen = finding.observations[:FEWEST]
        columns = [[each.scores[place] for each in seen] for place in range(len(self.inquiry.limits))]
        return sum(
            max(0.0, excess(limit, column))
            for limit, column in zip(self.inquiry.limits, columns, strict=True)
        )

    # ---- down ---------------------------------------------------------------------------------------

    def _down(self, replicas: Replicas) -> Replicas:
        """Takes replicas away, the dearest first, while the objectives stay met."""
        dearest_first = sorted(range(len(replicas)), key=lambda place: -self.pools.costs[place])
        while True:
            fewer = (
                self.pools.changed(replicas, place, -1)
                for place in dearest_first
                if replicas[place] > self.pools.fewest[place]
            )
            found = next((candidate for candidate in fewer if self._met(candidate)), None)
            if found is None:
                return replicas
            replicas = found

    def _all_cheaper(self, replicas: Replicas, bounds: Replicas) -> Replicas:
        """Tries every combination that costs less, the cheapest first, if there are few."""
        cost = self.pools.cost(replicas)
        combinations = list(_first(cheaper(bounds, self.pools.costs, cost), EXACT + 1))
        if len(combinations) > EXACT:
            return replicas
        self.answer.cheaper = len(combinations)
        for candidate in sorted(combinations, key=self.pools.cost):
            if self._met(candidate):
                replicas = candidate
                break
        self.answer.exact = True
        return replicas

    def _removals(self, replicas: Replicas) -> dict[str, Verdict | None]:
        """What becomes of the objectives with one replica less, pool by pool."""
        return {
            name: self.inquiry.ask(self.pools.changed(replicas, place, -1)).verdict
            if replicas[place] > self.pools.fewest[place]
            else None
            for place, name in enumerate(self.pools.names)
        }

    def _verify(self, replicas: Replicas) -> None:
        """Asks fresh seeds about the answer."""
        verdict = self.verifier.ask(replicas).verdict
        self.answer.confirmed = verdict is Verdict.MET
        if verdict is not Verdict.MET:
            how = "is missed" if verdict is Verdict.MISSED else "is inconclusive"
            self.answer.notes.append(
                f"With fresh seeds {self.pools.label(replicas)} {how}: add a replica where it does most."
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


def _first(candidates: Iterator[Replicas], count: int) -> Iterator[Replicas]:
    """So many of them at most."""
    for _, candidate in zip(range(count), candidates, strict=False):
        yield candidate
