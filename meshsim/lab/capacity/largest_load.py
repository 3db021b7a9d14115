"""The largest load that meets the objectives.

The ends come first: where even the lowest load misses, no search helps. The upper end follows from the
utilisation law: workers busy a share U of the time at the low end are always busy at 1/U times its load,
retries aside. Bisection on the logarithm narrows what lies between.

What was selected for good results looks better than it is. So the answer is verified with fresh seeds, which
had no part in the selection; the stated confidence rests on these. Where they disagree, the load is taken
back a step and verified again, a few times at most, which share the error.

Source: Denning and Buzen, The Operational Analysis of Queueing Network Models, ACM Computing Surveys 10
(1978): the utilisation law. Law (2015), 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshsim.lab.capacity import sample_size
from meshsim.lab.capacity.scaling import Scaling
from meshsim.lab.search.bisection import bracket
from meshsim.lab.search.inquiry import Finding, Inquiry
from meshsim.lab.search.knee import Knee
from meshsim.lab.search.verdict import Verdict, columns
from meshsim.measure import capacity as results
from meshsim.measure.capacity import Limit
from meshsim.measure.intervals import Interval, interval
from meshsim.measure.latency import VERY_LATE

REQUESTS_BEYOND = 5.0
"""At the low end a run has requests enough for so many beyond a percentile that is asked for."""
REQUESTS_LEAST = 200.0
FACTOR_LEAST = 1e-3
HIGHER = 2.0
DISORDER = "more load is not always worse here, so there may be more lines than the one that is given."
STEPS = 5
"""So often at most an answer that does not stand up to fresh seeds is taken back."""


OBJECTIVES = {
    Verdict.MET: "meets the objectives",
    Verdict.MISSED: "misses the objectives",
    Verdict.UNDECIDED: "is inconclusive",
}


@dataclass(slots=True)
class LoadSearch:
    """Looks for the largest load, as a factor on the scenario's own; what is known can be read at any time.

    `meets` is the largest factor known to meet, `misses` the smallest known to miss; `confirmed` says whether
    fresh seeds agreed, at once or after a step (None before they were asked); `resolution` is a ratio.
    """

    inquiry: Inquiry[float]
    scaling: Scaling
    resolution: float
    words: Mapping[Verdict, str] = field(default_factory=lambda: OBJECTIVES)
    meets: float | None = None
    misses: float | None = None
    confirmed: bool | None = None
    notes: list[str] = field(default_factory=list)
    verifier: Inquiry[float] = field(init=False)

    def __post_init__(self) -> None:
        self.verifier = self.inquiry.fresh(STEPS)

    def run(self) -> None:
        """Searches, and verifies."""
        low = self._low_end()
        if low is None:
            return
        high = self._high_end(low)
        if high is not None:
            self._narrow(high)
        self._note_disorder()
        self._verify()

    def _verdict(self, factor: float) -> Verdict:
        """Asks, and keeps what is known so far."""
        verdict = self.inquiry.ask(factor).verdict
        if verdict is Verdict.MISSED and (self.misses is None or factor < self.misses):
            self.misses = factor
        if verdict is Verdict.MET and (self.meets is None or factor > self.meets):
            self.meets = factor
        return verdict

    def _low_end(self) -> float | None:
        """A load that meets: as low as runs of this length can show, or lower, or the scenario's own."""
        lowest = factor = lowest_factor(self.inquiry.limits, self.scaling)
        while (verdict := self._verdict(factor)) is Verdict.MISSED:
            lower = self.scaling.nearest(factor / 4.0)
            if lower >= factor or lower < FACTOR_LEAST or lower * (self.scaling.requests or 1e9) < 50.0:
                break
            lowest = factor = lower
        if verdict is Verdict.MET:
            return factor
        if lowest != 1.0 and self._verdict(1.0) is Verdict.MET:
            self.misses = None  # what is missed below is no end of what is met above
            if verdict is Verdict.MISSED:
                self._note_lines(lowest, 1.0)
            return 1.0
        label, said = self.scaling.label(lowest), self.words[verdict]
        even = f"Even {label}, as little load as these runs can tell of, {said}"
        self.notes.append(
            f"{even}: more load is not what it fails of."
            if verdict is Verdict.MISSED
            else f"{even}. {sample_size.advice(self.inquiry, lowest)}"
        )
        return None

    def _high_end(self, low: float) -> float | None:
        """A load that misses, from the one at which the busiest workers have no time left."""
        guess = max(1.1 * saturation(self.inquiry.findings[low], low), HIGHER * low)
        factor = self.scaling.nearest(guess)
        while (verdict := self._verdict(factor)) is not Verdict.MISSED:
            higher = self.scaling.nearest(HIGHER * factor)
            if higher > self.scaling.highest:
                none = f"No load up to {self._said(factor, Verdict.MISSED)}"
                self.notes.append(
                    f"{none}: nothing here limits it."
                    if verdict is Verdict.MET
                    else f"{none} for sure; that is inconclusive. {sample_size.advice(self.inquiry, factor)}"
                )
                return None
            factor = higher
        return factor

    def _narrow(self, high: float) -> None:
        """Bisects; the scenario's own load first, since everybody wants to know about it."""
        low = self.meets
        assert low is not None
        own = self._verdict(1.0) if low < 1.0 < high else Verdict.UNDECIDED
        low = 1.0 if own is Verdict.MET else low
        high = 1.0 if own is Verdict.MISSED else high
        self.meets, self.misses = bracket(self._verdict, low, high, self.scaling.middle(self.resolution))

    def _note_disorder(self) -> None:
        """Says so if a load was missed below one that was met."""
        found = self.inquiry.findings.values()
        met = [finding.candidate for finding in found if finding.verdict is Verdict.MET]
        missed = [finding.candidate for finding in found if finding.verdict is Verdict.MISSED]
        if met and missed and min(missed) < max(met) and not self.notes:
            self._note_lines(min(missed), max(met))

    def _note_lines(self, missed: float, met: float) -> None:
        below, above = self._said(missed, Verdict.MISSED), self._said(met, Verdict.MET)
        self.notes.append(f"{below} and {above}: {DISORDER}")

    def _verify(self) -> None:
        sure = [True, True]
        if self.meets is not None:
            self.meets, sure[0] = self._confirmed(self.meets, Verdict.MET, -1)
        if self.misses is not None:
            self.misses, sure[1] = self._confirmed(self.misses, Verdict.MISSED, +1)
        self.confirmed = all(sure)

    def _confirmed(self, factor: float, wanted: Verdict, way: int) -> tuple[float, bool]:
        """The load nearest to the found one of which fresh seeds say the same, and whether there is one."""
        for step in range(STEPS):
            candidate = self.scaling.apart(factor, self.resolution, way * step)
            verdict = self.verifier.ask(candidate).verdict
            if verdict is wanted:
                return candidate, True
            self.notes.append(f"With fresh seeds {self._said(candidate, verdict)}.")
        return candidate, False

    def _said(self, factor: float, verdict: Verdict) -> str:
        return f"{self.scaling.label(factor)} {self.words[verdict]}"

    def bracket(self) -> dict[str, Any]:
        """The fields of a `results.Bracket`, as far as known."""
        found = {"meets": self.meets, "misses": self.misses}
        levels = {name: None if load is None else self.scaling.level(load) for name, load in found.items()}
        return {**levels, "confirmed": self.confirmed, "notes": self.notes}

    def largest_load(self, knee: Knee | None) -> results.LargestLoad:
        """What is known, with the curve."""
        curve = [self._point(finding) for finding in self.seen()]
        level = self.scaling.level
        return results.LargestLoad(
            **self.bracket(),
            knee=None
            if knee is None
            else results.Knee(level(knee.best), level(knee.low), level(knee.high), knee.inside),
            busiest=next((point.busiest for point in curve if point.factor == self.meets), None),
            curve=curve,
        )

    def seen(self) -> list[Finding[float]]:
        """What was seen at each load, in order; with fresh seeds only where it was not looked at before."""
        both = [*self.verifier.findings.items(), *self.inquiry.findings.items()]
        found = {load: finding for load, finding in both if finding.observations}
        return [found[load] for load in sorted(found)]

    def evaluated(self, finding: Finding[float]) -> dict[str, Any]:
        """The fields of a `results.EvaluatedLoad`."""
        return {
            **vars(self.scaling.level(finding.candidate)),
            "verdict": str(finding.verdict),
            "replications": len(finding.observations),
            "fresh": self.inquiry.plan.is_fresh(finding.observations[0].seed),
        }

    def _point(self, finding: Finding[float]) -> results.CurvePoint:
        seen = finding.observations
        return results.CurvePoint(
            **self.evaluated(finding),
            unstable=sum(each.unstable for each in seen),
            measured=[_mean([score.measured for score in scores]) for scores in columns(seen)],
            goodput=_mean([each.numbers.get("goodput") for each in seen]),
            latency_mean=_mean([each.numbers.get("latency.mean") for each in seen]),
            utilisation=finding.means("utilisation."),
        )


def _mean(values: Sequence[float | None]) -> Interval | None:
    """A mean over replications with its 95 % interval; None where a replication has no number."""
    known = [value for value in values if value is not None and value < VERY_LATE]
    return interval(known) if len(known) >= max(2, len(values)) else None


def lowest_factor(limits: Sequence[Limit], scaling: Scaling) -> float:
    """The lowest load of which runs of this length can show anything: fewer requests show no percentile."""
    if scaling.requests is None:
        return scaling.nearest(0.0)
    tails = [REQUESTS_BEYOND / (1.0 - limit.least) for limit in limits if limit.least is not None]
    return min(1.0, max(REQUESTS_LEAST, *tails, 0.0) / scaling.requests)


def saturation(finding: Finding[float], factor: float) -> float:
    """The load at which the busiest workers never rest, by the utilisation law; 0 if none are limited."""
    busiest = max(finding.means("utilisation.").values(), default=0.0)
    return factor / busiest if busiest > 0.0 else 0.0
