"""The questions, asked one after the other on real runs; what is known is kept when they are stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from meshsim.lab.capacity import chart, shortage, words
from meshsim.lab.capacity.chart import Chart, Seen
from meshsim.lab.capacity.inquiry import (
    FEWEST,
    Candidate,
    Finding,
    Inquiry,
    Plan,
    StoppedError,
    Told,
)
from meshsim.lab.capacity.knee import Knee, draw_curve, find_knee
from meshsim.lab.capacity.limits import Limit, Observation, required
from meshsim.lab.capacity.load import STEPS, LoadAnswer, LoadSearch, Words
from meshsim.lab.capacity.pools import Pools, Replicas
from meshsim.lab.capacity.recovery import RECOVERED, Trial, compare
from meshsim.lab.capacity.replicas import ReplicasAnswer, ReplicasSearch
from meshsim.lab.capacity.runner import Runner
from meshsim.lab.capacity.scaling import Scaling
from meshsim.lab.capacity.table import Row
from meshsim.scenario.grid import Grid
from meshsim.scenario.model import Scenario

LOAD, REPLICAS, RECOVERY, MAP = "load", "replicas", "recovery", "map"
CELL = 2 * FEWEST
"""Pairs of runs in a cell of the map."""

Say = Callable[[str], None]
"""Is told a line of progress."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        scenario: of what.
        find: ``load``, ``replicas``, ``recovery``.
        plan: how hard to look.
        resolution: how near the ends of a bracket of loads are to be.
        costs: of a replica, by service or version.
        grid: of the map of recovery, or None.
        window: how long before the end of arrivals recovery is judged, s; None takes a third of what is left.
    """

    scenario: Scenario
    find: tuple[str, ...]
    plan: Plan
    resolution: float
    costs: Mapping[str, float] = field(default_factory=dict)
    grid: Grid | None = None
    window: float | None = None


class Study:
    """Asks, and holds what is known; parts that were not asked about, or not yet, are None.

    Attributes:
        question: what is asked.
        scaling: the loads of the scenario.
        pools: its replicas.
        limits: its objectives' limits; empty if only recovery is asked about.
        trial: when it is hit and looked at; None if recovery is not asked about.
        load, knee, replicas, recovery, map: the answers.
        loads: the inquiries about loads, the one with fresh seeds last; their findings make the curve.
        recoveries: likewise, about recovery.
        rows: every run.
        partial: whether Ctrl-C ended it.

    Raises:
        MeshsimError: what is asked can't be answered of this scenario.
    """

    def __init__(self, question: Question, runner: Runner, say: Say | None = None) -> None:
        self.question = question
        self.runner = runner
        self.say = say
        scenario, find = question.scenario, question.find
        self.map = Chart.of(question.grid) if question.grid is not None else None
        self.limits = required(scenario) if {LOAD, REPLICAS} & set(find) else ()
        shortage.refuse(scenario, self.limits, question.plan.fresh(STEPS if LOAD in find else 1))
        self.scaling = Scaling(scenario) if {LOAD, RECOVERY} & set(find) else None
        self.pools = Pools(scenario, question.costs) if REPLICAS in find else None
        recovery = RECOVERY in find or question.grid is not None
        self.trial = Trial.of(scenario, question.window) if recovery else None
        self.load: LoadAnswer | None = None
        self.knee: Knee | None = None
        self.replicas: ReplicasAnswer | None = None
        self.recovery: LoadAnswer | None = None
        self.loads: tuple[Inquiry[float], ...] = ()
        self.recoveries: tuple[Inquiry[float], ...] = ()
        self.rows: list[Row] = []
        self.partial = False

    def run(self) -> None:
        """Answers what can be answered until Ctrl-C."""
        try:
            if LOAD in self.question.find:
                self._find_load()
            if REPLICAS in self.question.find:
                self._find_replicas()
            if RECOVERY in self.question.find:
                self._find_recovery()
            if self.map is not None:
                self._draw_map()
        except StoppedError:
            self.partial = True

    # ---- the questions ------------------------------------------------------------------------------

    def _find_load(self) -> None:
        inquiry, verifier = self.loads = tuple(self._of_load(plan) for plan in self._plans(STEPS))
        assert self.scaling is not None
        search = LoadSearch(inquiry, verifier, self.scaling, self.question.resolution)
        self.load = search.answer
        search.run()
        if self.load.meets is not None and self.load.misses is not None:
            draw_curve(inquiry, self.load.misses, self.scaling.nearest)
            self.knee = find_knee(inquiry, self.scaling.nearest)

    def _find_replicas(self) -> None:
        inquiry, verifier = (self._of_replicas(plan) for plan in self._plans(1))
        assert self.pools is not None
        search = ReplicasSearch(inquiry, verifier, self.pools)
        self.replicas = search.answer
        search.run()

    def _find_recovery(self) -> None:
        inquiry, verifier = self.recoveries = tuple(self._of_recovery(plan) for plan in self._plans(STEPS))
        assert self.scaling is not None
        words_ = Words("recovers from its trigger", "does not recover from its trigger")
        search = LoadSearch(inquiry, verifier, self.scaling, self.question.resolution, words_)
        self.recovery = search.answer
        search.run()

    def _draw_map(self) -> None:
        assert self.map is not None
        chart.draw(self.map, self._cell, (1.0 - self.question.plan.confidence) / 2.0)

    def _plans(self, verified: int) -> tuple[Plan, Plan]:
        """Of the search, and of the verification, which asks about so many candidates at most."""
        return self.question.plan, self.question.plan.fresh(verified)

    # ---- the runs behind them -----------------------------------------------------------------------

    def _of_load(self, plan: Plan) -> Inquiry[float]:
        scaling = self.scaling
        assert scaling is not None

        def observe(factor: float, seeds: Sequence[int]) -> list[Observation]:
            label = f"load {scaling.label(factor)}"
            found = self.runner.observe(scaling.at(factor), seeds, self.limits, label)
            return self._kept(LOAD, scaling.label(factor), factor, plan, self.limits, found)

        return Inquiry(observe, self.limits, plan, self._teller(self._load_label))

    def _of_replicas(self, plan: Plan) -> Inquiry[Replicas]:
        pools = self.pools
        assert pools is not None

        def observe(replicas: Replicas, seeds: Sequence[int]) -> list[Observation]:
            label = pools.label(replicas)
            found = self.runner.observe(pools.at(replicas), seeds, self.limits, label)
            return self._kept(REPLICAS, label, math.nan, plan, self.limits, found)

        return Inquiry(observe, self.limits, plan, self._teller(pools.label))

    def _of_recovery(self, plan: Plan) -> Inquiry[float]:
        scaling = self.scaling
        assert scaling is not None

        def observe(factor: float, seeds: Sequence[int]) -> list[Observation]:
            found = self._pairs(scaling.at(factor), seeds, f"load {scaling.label(factor)}")
            return self._kept(RECOVERY, scaling.label(factor), factor, plan, RECOVERED, found)

        return Inquiry(observe, RECOVERED, plan, self._teller(self._load_label, RECOVERED))

    def _load_label(self, factor: float) -> str:
        assert self.scaling is not None
        return f"load {self.scaling.label(factor)}"

    def _cell(self, row: int, column: int) -> Seen:
        assert self.map is not None
        assert self.question.grid is not None
        label, plan = self.map.label(row, column), self.question.plan
        scenario = self.question.grid.points[self.map.points[row, column]].scenario
        found = self._pairs(scenario, range(plan.seed, plan.seed + CELL), label)
        self._kept(MAP, label, math.nan, plan, RECOVERED, found)
        seen = Seen(
            sum(each.scores[0].measured == 1.0 for each in found),
            sum(each.numbers["overloaded"] == 1.0 for each in found),
            len(found),
        )
        if self.say is not None:
            self.say(f"{label}: {seen.recovered} of {seen.count} recovered")
        return seen

    def _pairs(self, scenario: Scenario, seeds: Sequence[int], label: str) -> list[Observation]:
        """A run and its twin without the trigger for each seed, compared."""
        trial = Trial.of(scenario, self.question.window)  # a cell of the map may have its own
        hit, twin = trial.twins(scenario)
        runs = [
            (each, seed, f"{label}, seed {seed}{without}")
            for seed in seeds
            for each, without in ((hit, ""), (twin, ", without its events"))
        ]
        found = self.runner.summaries(runs)
        return [compare(found[2 * place], found[2 * place + 1], seed) for place, seed in enumerate(seeds)]

    def _kept(
        self,
        question: str,
        candidate: str,
        factor: float,
        plan: Plan,
        limits: tuple[Limit, ...],
        found: list[Observation],
    ) -> list[Observation]:
        """Notes runs down."""
        fresh = plan.seed != self.question.plan.seed
        self.rows += [Row(question, candidate, factor, fresh, limits, each) for each in found]
        return found

    def _teller(
        self, label: Callable[[Candidate], str], limits: tuple[Limit, ...] | None = None
    ) -> Told[Candidate]:
        """Says how a candidate looks after each look."""

        def told(finding: Finding[Candidate]) -> None:
            if self.say is not None:
                self.say(words.progress(label(finding.candidate), finding, limits or self.limits))

        return told
