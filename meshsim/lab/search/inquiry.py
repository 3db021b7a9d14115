"""Adding replications of a candidate until the answer is clear: in looks, each twice as large as the last.

Testing growing data until the first clear answer is wrong more often than the stated error. So the looks are
few and fixed in advance, and each gets an equal part of the error (Bonferroni's bound, which holds whatever
the looks have in common). What is undecided after the last look is inconclusive: too near the limit. All
candidates get the same seeds (common random numbers), so differences show with fewer replications.

Source: Law (2015), 9.4.1 and 11.2: sequential sampling, common random numbers. Kim and Nelson, A Fully
Sequential Procedure for Indifference-Zone Selection in Simulation, ACM TOMACS 11 (2001): differences that do
not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from meshsim.errors import MeshsimError
from meshsim.lab.search.verdict import Observation, Verdict, judge
from meshsim.measure.capacity import Limit

Candidate = TypeVar("Candidate", bound=Hashable)

FEWEST = 4


class StoppedError(Exception):
    """The user pressed Ctrl-C: what is known so far is all there will be."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How sure (`confidence`, 0-1) a verdict is to be, from at most `most` replications of a candidate."""

    confidence: float = 0.95
    most: int = 32
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1.0:
            raise MeshsimError(
                f"a confidence of {self.confidence:g} is out of range; choose one from 50% to below 100%"
            )
        if self.most < FEWEST:
            raise MeshsimError(f"{self.most} replications are too few to decide; allow at least {FEWEST}")

    @property
    def looks(self) -> tuple[int, ...]:
        """How many replications there are at each look."""
        sizes = [FEWEST]
        while 2 * sizes[-1] < self.most:
            sizes.append(2 * sizes[-1])
        return (*sizes, self.most) if self.most > FEWEST else (FEWEST,)

    @property
    def error(self) -> float:
        """Of one look."""
        return (1.0 - self.confidence) / len(self.looks)

    def fresh(self, candidates: int = 1) -> Plan:
        """The same with unused seeds: to verify what was chosen for looking good.

        At most `candidates` are asked, one after the other, until one holds. Each gets an equal part of the
        error, so the one that holds has the confidence of a single one (Bonferroni).
        """
        return Plan(1.0 - (1.0 - self.confidence) / candidates, self.most, self.seed + self.most)

    def is_fresh(self, seed: int) -> bool:
        """Whether a seed is one of those."""
        return seed >= self.seed + self.most


@dataclass(slots=True)
class Finding(Generic[Candidate]):
    """What is known about a candidate: observations in order of their seeds, and the verdict after them."""

    candidate: Candidate
    observations: list[Observation] = field(default_factory=list)
    verdict: Verdict = Verdict.UNDECIDED

    def means(self, prefix: str) -> dict[str, float]:
        """The mean of each number whose name begins so, by the rest of its name."""
        seen = self.observations
        names = dict.fromkeys(name for each in seen for name in each.numbers if name.startswith(prefix))
        return {
            name.removeprefix(prefix): sum(each.numbers.get(name, 0.0) for each in seen) / len(seen)
            for name in names
        }


Observe = Callable[[Candidate, Sequence[int]], list[Observation]]
"""Runs a candidate once with each of some seeds; raises `StoppedError` after Ctrl-C."""


@dataclass(slots=True)
class Inquiry(Generic[Candidate]):
    """Asks about candidates and remembers the findings; `on_look` gets the finding after each look."""

    observe: Observe[Candidate]
    limits: Sequence[Limit]
    plan: Plan
    on_look: Callable[[Finding[Candidate]], None] | None = None
    findings: dict[Candidate, Finding[Candidate]] = field(default_factory=dict)

    def fresh(self, candidates: int = 1) -> Inquiry[Candidate]:
        """One that has no findings yet and asks with fresh seeds (`Plan.fresh`)."""
        return Inquiry(self.observe, self.limits, self.plan.fresh(candidates), self.on_look)

    def ask(self, candidate: Candidate) -> Finding[Candidate]:
        """Adds replications until it is decided, or there are no more: inconclusive."""
        for size in self.plan.looks:
            finding = self.look(candidate, size)
            if finding.verdict is not Verdict.UNDECIDED:
                break
        return finding

    def look(self, candidate: Candidate, size: int = FEWEST) -> Finding[Candidate]:
        """Makes sure of so many replications at least; what is already decided is not judged anew."""
        finding = self.findings.setdefault(candidate, Finding(candidate))
        have = len(finding.observations)
        if have < size:
            seeds = range(self.plan.seed + have, self.plan.seed + size)
            finding.observations += self.observe(candidate, seeds)
            if finding.verdict is Verdict.UNDECIDED:
                finding.verdict = judge(self.limits, finding.observations, self.plan.error)
            if self.on_look is not None:
                self.on_look(finding)
        return finding
