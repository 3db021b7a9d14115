"""When there are enough replications: the sequential procedure behind ``--until 1%``.

Make some, look how wide the interval is, and make more until it is narrow enough. The trap: it is also
narrow when the first replications happen to be alike, and who looks after every one stops at the first such
coincidence, with an interval that misses the truth more often than it says. So there is no look before
`LEAST` replications; there are few, each with a quarter more replications than the last, or as many as the
spread so far asks for; and the interval is Student's t. Coverage tends to the nominal one as the asked
precision gets finer (Chow and Robbins), and is a little short of it before: docs/guides/comparing.md has
the figures.

Source:
    Chow and Robbins, On the asymptotic theory of fixed-width sequential confidence intervals for the mean,
    Annals of Mathematical Statistics 36 (1965). Law, Simulation Modeling and Analysis, 5th ed. (2015),
    9.4.1: obtaining a specified precision, and not beginning with fewer than 10 replications. Singham and
    Schruben, Finite-sample performance of absolute precision stopping rules, INFORMS Journal on Computing 24
    (2012): how much coverage early stopping costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from meshsim.errors import MeshsimError
from meshsim.measure.intervals import Interval, replications_for, t_quantile
from meshsim.measure.result import Result
from meshsim.units import ratio, ratio_text

LEAST = 10
"""Replications before the first look."""
GROWTH = 1.25
"""At least so many times the replications at each look as at the one before."""
LEAP = 2.0
"""And at most so many times, since the spread, on which the forecast rests, is itself uncertain."""
AT_MOST = 200
"""Replications, where nobody says."""


@dataclass(frozen=True, slots=True)
class Until(Result):
    """The precision that was asked for, and how near to it an interval over all replications so far comes.

    Attributes:
        ratio: asked half width, by the size of what it is measured against.
        precision: half width likewise, 0-1 and above; None where that size is 0.
        reached: whether it is as narrow as asked.
        forecast: how many replications it would take in all by the spread so far; None if no number would do.
    """

    metric: str
    ratio: float
    at_most: int
    replications: int
    precision: float | None
    reached: bool
    forecast: int | None

    @property
    def to(self) -> int:
        """How many replications to have at the next look; as many as there are if there is none."""
        if self.reached:
            return self.replications
        leap = math.floor(LEAP * self.replications)
        wanted = leap if self.forecast is None else min(self.forecast, leap)
        return min(self.at_most, max(math.ceil(GROWTH * self.replications), wanted))

    def describe(self, base: str = "the mean") -> str:
        """In a sentence; `base` is what the half width is measured against."""
        if self.reached and self.precision is None:  # every replication says 0
            return (
                f"{self.metric}: the interval is 0 wide after {self.replications} replications;"
                f" {ratio_text(self.ratio)} of {base} was asked."
            )
        precision = "more than any share" if self.precision is None else ratio_text(self.precision)
        asked = f"{self.metric}: the interval's half width is {precision} of {base} after"
        asked += f" {self.replications} replications; {ratio_text(self.ratio)} was asked"
        if self.reached:
            return f"{asked}."
        if self.forecast is None:
            return f"{asked}, and no number of replications would do."
        return f"{asked}, which would take about {self.forecast:,} of them by the spread so far."


Looked = Callable[[Until], None]
"""Called at each look."""


def refuse_limit(at_most: int | None) -> None:
    """Refuses --at-most without a goal, where it would do nothing: MeshsimError."""
    if at_most is not None:
        how = "add --until 1%, or use --replications"
        raise MeshsimError(f"--at-most {at_most} is a limit of --until; {how}")


@dataclass(frozen=True, slots=True)
class Goal:
    """When to stop: at a half width of `ratio` of the metric's size, or at `at_most` replications in all.

    The first look has `least` replications.
    """

    metric: str
    ratio: float
    least: int = LEAST
    at_most: int = AT_MOST

    @classmethod
    def of(cls, until: object, metric: str, replications: int, at_most: int | None = None) -> Goal:
        """A goal as users give it: until ``"1%"`` or 0.01; MeshsimError if it can't be used.

        Fewer `replications` to begin with than `LEAST` become `LEAST`.
        """
        try:
            wanted = ratio(until)
        except ValueError as error:
            raise MeshsimError(f"--until: {error}") from None
        if wanted <= 0.0:
            raise MeshsimError("--until 0: no interval gets that narrow; ask for one such as 1%")
        least, at_most = max(LEAST, replications), AT_MOST if at_most is None else at_most
        if at_most < least:
            raise MeshsimError(
                f"at most {at_most} replications are too few: the first look is after {least};"
                " raise --at-most"
            )
        return cls(metric, wanted, least, at_most)

    def look(self, interval: Interval, size: float) -> Until:
        """Looks at the metric's interval; `size` is the mean, or in a comparison that of A."""
        count, wanted = interval.replications, self.ratio * abs(size)
        precision = interval.half_width / abs(size) if size else None
        forecast: int | None = count
        reached = interval.half_width <= wanted
        if not reached:
            quantile = t_quantile(0.5 + interval.confidence / 2.0, count - 1)
            deviation = interval.half_width * math.sqrt(count) / quantile
            forecast = replications_for(wanted, deviation, lambda n: n - 1, interval.confidence)
        return Until(self.metric, self.ratio, self.at_most, count, precision, reached, forecast)
