"""The questions, asked one after the other on real runs; what is known is kept when they are stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from meshsim import version
from meshsim.errors import MeshsimError
from meshsim.lab.capacity import sample_size
from meshsim.lab.capacity.largest_load import OBJECTIVES, STEPS, LoadSearch
from meshsim.lab.capacity.least_replicas import ReplicasSearch
from meshsim.lab.capacity.objectives import observe, required
from meshsim.lab.capacity.pools import Pools
from meshsim.lab.capacity.recovery import RECOVERED, compare, trial, twins
from meshsim.lab.capacity.recovery_map import MapSearch
from meshsim.lab.capacity.runs import Row, Runner
from meshsim.lab.capacity.scaling import Scaling
from meshsim.lab.search.inquiry import FEWEST, Candidate, Finding, Inquiry, Plan, StoppedError
from meshsim.lab.search.knee import Knee, draw_curve, find_knee
from meshsim.lab.search.verdict import Observation, Verdict, columns, excess
from meshsim.lab.show.capacity import VERDICTS, reading
from meshsim.measure import capacity as results
from meshsim.measure.capacity import Limit
from meshsim.scenario import config
from meshsim.scenario.grid import Grid
from meshsim.scenario.model import Scenario

LOAD, REPLICAS, RECOVERY, MAP = "load", "replicas", "recovery", "map"
TRIGGER = {
    Verdict.MET: "recovers from its trigger",
    Verdict.MISSED: "does not recover from its trigger",
    Verdict.UNDECIDED: "is inconclusive",
}
CELL = 2 * FEWEST
"""Pairs of runs in a cell of the map."""

Say = Callable[[str], None]


@dataclass
class Study:
    """Asks, and holds what is known; parts that were not asked about, or not yet, are None.

    `window` is how long before the end of arrivals recovery is judged, s (None: a third of what is left);
    `partial` says whether Ctrl-C ended it. MeshsimError: what is asked can't be answered of this scenario.
    """

    scenario: Scenario
    find: Collection[str]
    plan: Plan
    resolution: float
    runner: Runner
    costs: Mapping[str, float] | None = None
    grid: Grid | None = None
    window: float | None = None
    say: Say | None = None
    load: LoadSearch | None = None
    knee: Knee | None = None
    replicas: ReplicasSearch | None = None
    recovery: LoadSearch | None = None
    rows: list[Row] = field(default_factory=list)
    partial: bool = False

    def __post_init__(self) -> None:
        if not 1e-4 <= self.resolution <= 1.0:
            raise MeshsimError(
                f"a resolution of {self.resolution:g} is out of range; choose one from 0.01% to 100%"
            )
        self.map = MapSearch(self.grid) if self.grid is not None else None
        self.limits = required(self.scenario) if {LOAD, REPLICAS} & set(self.find) else ()
        sample_size.refuse(self.scenario, self.limits, self.plan.fresh(STEPS if LOAD in self.find else 1))
        self.scaling = Scaling(self.scenario) if {LOAD, RECOVERY} & set(self.find) else None
        self.pools = Pools(self.scenario, self.costs) if REPLICAS in self.find else None
        judged = RECOVERY in self.find or self.grid is not None
        self.trial = trial(self.scenario, self.window) if judged else None

    def run(self) -> None:
        """Answers what can be answered until Ctrl-C."""
        try:
            if LOAD in self.find:
                self.load = self._load_search(LOAD, self.limits, OBJECTIVES)
                self.load.run()
                meets, misses, nearest = self.load.meets, self.load.misses, self.load.scaling.nearest
                if meets is not None and misses is not None:
                    draw_curve(self.load.inquiry, misses, nearest)
                    self.knee = find_knee(self.load.inquiry, nearest)
            if self.pools is not None:
                asked = self._inquiry(REPLICAS, self.pools.at, self.pools.label, self.limits)
                self.replicas = ReplicasSearch(asked, self.pools)
                self.replicas.run()
            if RECOVERY in self.find:
                self.recovery = self._load_search(RECOVERY, RECOVERED, TRIGGER)
                self.recovery.run()
            if self.map is not None:
                self.map.run(self._cell, (1.0 - self.plan.confidence) / 2.0)
        except StoppedError:
            self.partial = True

    def numbers(self) -> results.CapacityNumbers:
        """Everything that is known, as `capacity.json` has it."""
        plan, seeds = self.plan, [row.observation.seed for row in self.rows]
        return results.CapacityNumbers(
            scenario=self.scenario.name,
            version=version.VERSION,
            seed=plan.seed,
            confidence=plan.confidence,
            resolution=self.resolution,
            replications_most=plan.most,
            runs=len(self.rows) + sum(row.question in (RECOVERY, MAP) for row in self.rows),
            seeds=[min(seeds), max(seeds)] if seeds else [],
            partial=self.partial,
            objectives=self.limits,
            load=None if self.load is None else self.load.largest_load(self.knee),
            replicas=None if self.replicas is None else self.replicas.result(),
            recovery=None if self.recovery is None else self._recovery(self.recovery),
            map=None if self.map is None or self.trial is None else self.map.result(self.trial),
            provenance={"scenario": config.text(self.scenario)},
        )

    def _recovery(self, search: LoadSearch) -> results.Recovery:
        assert self.trial is not None
        points = [
            results.RecoveryPoint(
                **search.evaluated(finding),
                recovered=sum(each.scores[0].measured == 1.0 for each in finding.observations),
            )
            for finding in search.seen()
        ]
        return results.Recovery(**search.bracket(), trial=self.trial, looked_at=points)

    def _load_search(self, what: str, limits: Sequence[Limit], words: Mapping[Verdict, str]) -> LoadSearch:
        scaling = self.scaling
        assert scaling is not None
        asked = self._inquiry(what, scaling.at, scaling.label, limits)
        return LoadSearch(asked, scaling, self.resolution, words)

    def _inquiry(
        self,
        what: str,
        at: Callable[[Candidate], Scenario],
        label: Callable[[Candidate], str],
        limits: Sequence[Limit],
    ) -> Inquiry[Candidate]:
        """Asks by runs, or by pairs of them where it is about recovery."""
        prefix = "" if what == REPLICAS else "load "
        runs = self._pairs if what == RECOVERY else self._runs

        def observed(candidate: Candidate, seeds: Sequence[int]) -> list[Observation]:
            name, factor = label(candidate), candidate if isinstance(candidate, float) else math.nan
            found = runs(at(candidate), seeds, prefix + name)
            fresh = self.plan.is_fresh(seeds[0])
            self.rows += [Row(what, name, factor, fresh, limits, each) for each in found]
            return found

        def on_look(finding: Finding[Candidate]) -> None:
            if self.say is not None:
                self.say(progress(prefix + label(finding.candidate), finding, limits))

        return Inquiry(observed, limits, self.plan, on_look)

    def _runs(self, scenario: Scenario, seeds: Sequence[int], label: str) -> list[Observation]:
        found = self.runner.summaries([(scenario, seed, f"{label}, seed {seed}") for seed in seeds])
        return [observe(summary, seed) for summary, seed in zip(found, seeds, strict=True)]

    def _pairs(self, scenario: Scenario, seeds: Sequence[int], label: str) -> list[Observation]:
        """A run and its twin without the trigger for each seed, compared."""
        # a cell of the map may have its own times
        hit, twin = twins(scenario, trial(scenario, self.window))
        found = self.runner.summaries(
            [
                (each, seed, f"{label}, seed {seed}{without}")
                for seed in seeds
                for each, without in ((hit, ""), (twin, ", without its events"))
            ]
        )
        return [compare(found[2 * place], found[2 * place + 1], seed) for place, seed in enumerate(seeds)]

    def _cell(self, row: int, column: int) -> list[Observation]:
        assert self.map is not None
        label, first = self.map.label(row, column), self.plan.seed
        found = self._pairs(self.map.scenarios[row, column], range(first, first + CELL), label)
        self.rows += [Row(MAP, label, math.nan, False, RECOVERED, each) for each in found]
        if self.say is not None:
            recovered = sum(each.numbers["recovered"] == 1.0 for each in found)
            self.say(f"{label}: {recovered} of {len(found)} recovered")
        return found


def progress(label: str, finding: Finding[Candidate], limits: Sequence[Limit]) -> str:
    """How a candidate does by its worst limit: ``412/s: 8 replications, p99 231 ± 12 ms, inconclusive``."""
    seen = finding.observations
    limit, scores = max(zip(limits, columns(seen), strict=True), key=lambda pair: excess(*pair))
    unstable = sum(each.unstable for each in seen)
    notes = f", {unstable} unstable" if unstable else ""
    measured = reading(limit, [score.measured for score in scores])
    return f"{label}: {len(seen)} replications, {limit.key} {measured}{notes}, {VERDICTS[finding.verdict]}"
