"""Where an answer changes along a load: bisection that lets a question stay open, and that of chances.

While verdicts are clear this is plain bisection. Where one is inconclusive, two boundaries are left to find:
how far it is surely met below, and from where it is surely missed above.
"""

from __future__ import annotations

from collections.abc import Callable

from meshsim.lab.search.verdict import Verdict

Ask = Callable[[float], Verdict]
Middle = Callable[[float, float], float | None]
"""A load well between two others, or None where they are close enough."""


def bracket(ask: Ask, meets: float, misses: float, middle: Middle) -> tuple[float, float]:
    """Narrows two loads with the answer between: the largest known to meet, the smallest known to miss.

    Clear answers are monotone, from MET to MISSED; between the two there may be loads that are inconclusive.
    """
    while (load := middle(meets, misses)) is not None:
        verdict = ask(load)
        if verdict is Verdict.UNDECIDED:
            meets, _ = _boundary(ask, meets, load, middle, {Verdict.MET})
            _, misses = _boundary(ask, load, misses, middle, {Verdict.MET, Verdict.UNDECIDED})
            break
        meets, misses = (load, misses) if verdict is Verdict.MET else (meets, load)
    return meets, misses


def _boundary(ask: Ask, low: float, high: float, middle: Middle, below: set[Verdict]) -> tuple[float, float]:
    """Narrows to the boundary between loads with the verdicts `below` and those with others."""
    while (load := middle(low, high)) is not None:
        low, high = (load, high) if ask(load) in below else (low, load)
    return low, high


def geometric(resolution: float) -> Middle:
    """The geometric middle, until the ends differ by no more than this ratio (0.02: 2 %)."""

    def middle(low: float, high: float) -> float | None:
        return float((low * high) ** 0.5) if high / low > 1.0 + resolution else None

    return middle


def chances(run: Callable[[int], float], count: int) -> list[float]:
    """The chance of success at each of some loads, in rising order, most of which need not be run.

    The ends are, and the loads around the boundary, where chance decides; all, if their order is not falling.
    """
    if count < 3:
        return [run(place) for place in range(count)]
    asked = {place: run(place) for place in (0, count - 1)}
    low, high = 0, count - 1
    if (asked[low] >= 0.5) == (asked[high] >= 0.5):
        middle = count // 2
        asked[middle] = run(middle)
        if (asked[middle] >= 0.5) != (asked[low] >= 0.5):
            return [run(place) for place in range(count)]
        low = high = 0 if asked[low] < 0.5 else count - 1
    while high - low > 1:
        middle = (low + high) // 2
        asked[middle] = run(middle)
        low, high = (middle, high) if asked[middle] >= 0.5 else (low, middle)
    for settled, places in ((1.0, range(low, -1, -1)), (0.0, range(high, count))):
        for place in places:  # away from the boundary, until one where chance has no part
            asked[place] = run(place)
            if asked[place] == settled:
                break
    seen = [asked[place] for place in sorted(asked)]
    if seen != sorted(seen, reverse=True):
        return [run(place) for place in range(count)]
    return [asked.get(place, 1.0 if place <= low else 0.0) for place in range(count)]
