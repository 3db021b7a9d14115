"""Whether replications show that limits are met, that one is missed, or neither yet.

Bounds of a share come twice, and the wider count: Student's over replications, because requests of one run
are not independent; and Wilson's over all requests, each worth as much less as their correlation says: near
the limit most short runs have nothing late, so without any spread Student would be sure after four runs,
wrongly in a third of all cases. All limits must be met, so each is tested at the full error (an
intersection-union test); one missed limit is enough to miss, so there the error is shared.

Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, J. Am. Stat. Assoc. 22
(1927). Berger, Multiparameter Hypothesis Testing and Acceptance Sampling, Technometrics 24 (1982). Law
(2015), 9.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist

from meshsim.measure.capacity import Limit
from meshsim.measure.intervals import interval
from meshsim.measure.latency import VERY_LATE

MOST_EXCESS = 10.0
FAR_BEYOND = 10.0


class Verdict(StrEnum):
    """What is known about a candidate."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Score:
    """How a run did by one limit: `measured` is the latency or success itself, None where not known.

    `share` is of `count` requests, good or within the limit, None if a value is judged; as many as
    `independent` requests without correlation carry the same information.
    """

    measured: float | None
    share: float | None = None
    count: int = 0
    independent: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One run, as far as a search needs it: a score for each limit, and numbers by name.

    One that is `unstable`, since its work piled up, has missed every limit.
    """

    seed: int
    scores: tuple[Score, ...]
    unstable: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)


def columns(observations: Sequence[Observation]) -> list[list[Score]]:
    """The scores of each limit, one a replication."""
    return [list(column) for column in zip(*(each.scores for each in observations), strict=True)]


def judge(limits: Sequence[Limit], observations: Sequence[Observation], error: float) -> Verdict:
    """What replications show about limits; `error` is how often MET, and how often MISSED, may be wrong."""
    if len(observations) < 2:
        return Verdict.UNDECIDED
    pairs = list(zip(limits, columns(observations), strict=True))
    if all(_judge(limit, scores, error) is Verdict.MET for limit, scores in pairs):
        return Verdict.MET
    if any(_judge(limit, scores, error / len(limits)) is Verdict.MISSED for limit, scores in pairs):
        return Verdict.MISSED
    return Verdict.UNDECIDED


def _judge(limit: Limit, scores: Sequence[Score], error: float) -> Verdict:
    low, high = bounds(limit, scores, error)
    if scores[0].share is None:
        met, missed = high <= limit.limit, low > limit.limit
    else:
        assert limit.least is not None, "only limits that ask for a share are scored with shares"
        met, missed = low >= limit.least, high < limit.least
    return Verdict.MET if met else Verdict.MISSED if missed else Verdict.UNDECIDED


def bounds(limit: Limit, scores: Sequence[Score], error: float) -> tuple[float, float]:
    """Between which values the mean share, or the mean value, lies; each end is wrong with this error."""
    shares = [score.share for score in scores if score.share is not None]
    found = interval(shares or _values(limit, scores), 1.0 - 2.0 * error)
    if not shares:
        return found.low, found.high
    low, high = wilson(found.mean, independent(scores), error)
    return min(low, found.low), max(high, found.high)


def independent(scores: Sequence[Score]) -> float:
    """How many independent requests would say as much as all of these.

    What one run says about it is rough, so the runs' inflations of the variance are averaged first.
    """
    count = sum(score.count for score in scores)
    inflated = sum(score.count * score.count / max(score.independent, 1.0) for score in scores)
    return count * count / inflated if inflated else 0.0


def _values(limit: Limit, scores: Sequence[Score]) -> list[float]:
    """The values; an unstable run's counts as far beyond the limit and all others, yet not as infinite.

    Infinity would hide the others: where half the runs are unstable and half far too slow, all have missed.
    """
    values = [VERY_LATE if score.measured is None else score.measured for score in scores]
    most = max([FAR_BEYOND * limit.limit, *(value for value in values if value < VERY_LATE)])
    return [min(value, most) for value in values]


def excess(limit: Limit, scores: Sequence[Score]) -> float:
    """By how much a limit is exceeded on average, as a logarithm: 0 at the limit, negative where it is met.

    A latency is compared with its limit, a success by its failures: both say which limit is worst, and
    whether a change helps where nothing is met yet.
    """
    values = [score.measured for score in scores if score.measured is not None]
    if len(values) < len(scores):
        return MOST_EXCESS
    mean = math.fsum(values) / len(values)
    ratio = (1.0 - mean) / (1.0 - limit.limit) if limit.key == "success" else mean / max(limit.limit, 1e-9)
    return math.log(min(max(ratio, math.exp(-MOST_EXCESS)), math.exp(MOST_EXCESS)))


def wilson(share: float, count: float, error: float) -> tuple[float, float]:
    """Wilson's bounds of a share seen in `count` independent draws, each end with this error."""
    if not count:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf(1.0 - error) ** 2
    middle = share + z2 / (2.0 * count)
    half = math.sqrt(z2 * (share * (1.0 - share) / count + z2 / (4.0 * count * count)))
    scale = 1.0 + z2 / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def requests_needed(least: float, error: float) -> float:
    """How many independent requests, all of them good, show by `wilson` that at least this share is good."""
    z2 = NormalDist().inv_cdf(1.0 - error) ** 2
    return float(z2 * least / (1.0 - least)) if least < 1.0 else math.inf
