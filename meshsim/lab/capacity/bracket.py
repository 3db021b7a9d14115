"""Between which loads an answer changes: bisection that lets a question stay open.

While verdicts are clear this is plain bisection on the logarithm. Where one is too close to call, two lines
are left to find: how far it is surely met below, and from where it is surely missed above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshsim.lab.capacity.evidence import Verdict

Ask = Callable[[float], Verdict]
Middle = Callable[[float, float], float | None]
"""A load well between two others, or None where they are close enough."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two loads with the answer between them.

    Attributes:
        meets: the largest known to meet.
        misses: the smallest known to miss.
    """

    meets: float
    misses: float


def bracket(ask: Ask, meets: float, misses: float, middle: Middle) -> Bracket:
    """Narrows a bracket.

    Args:
        ask: about a load between; clear answers are monotone, from MET to MISSED.
        meets: a load that is met.
        misses: a higher one that is missed.
        middle: where to ask next; ends the search.

    Returns:
        The narrowest that was found; between its ends there may be loads that are too close to call.
    """
    undecided = None
    while (load := middle(meets, misses)) is not None:
        verdict = ask(load)
        if verdict is Verdict.UNDECIDED:
            undecided = load
            break
        if verdict is Verdict.MET:
            meets = load
        else:
            misses = load
    if undecided is None:
        return Bracket(meets, misses)
    meets, _ = _line(ask, meets, undecided, middle, {Verdict.MET})
    _, misses = _line(ask, undecided, misses, middle, {Verdict.MET, Verdict.UNDECIDED})
    return Bracket(meets, misses)


def _line(ask: Ask, low: float, high: float, middle: Middle, below: set[Verdict]) -> tuple[float, float]:
    """Narrows to the line between loads with the verdicts `below` and those with others."""
    while (load := middle(low, high)) is not None:
        if ask(load) in below:
            low = load
        else:
            high = load
    return low, high


def geometric(resolution: float) -> Middle:
    """The geometric middle, until the ends differ by no more than this ratio (0.02: 2 %)."""

    def middle(low: float, high: float) -> float | None:
        return float((low * high) ** 0.5) if high / low > 1.0 + resolution else None

    return middle
