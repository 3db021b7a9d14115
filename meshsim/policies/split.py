"""Weighted split: which version a call goes to, once for all its tries.

The basis of canaries: 5 % of calls see the new version. The choice is random per call, so a share of n calls
has a standard deviation of sqrt(w(1-w)/n): at 5 % of 2,000 calls, half a percent.

Source: Envoy, weighted_clusters: cumulative weights against one random number a request.
"""

from __future__ import annotations

from typing import final


@final
class WeightedSplit:
    """Versions by weight; without any, everything goes to choice 0."""

    upper: list[float]

    def __init__(self, weights: list[float]) -> None:
        total = sum(weights)
        below = 0.0
        self.upper = []
        for weight in weights:
            below += weight / total
            self.upper.append(below)

    def choose(self, u: float) -> int:
        """The index of the choice for a uniform u on [0, 1)."""
        last = len(self.upper) - 1
        i = 0
        while i < last and u >= self.upper[i]:
            i += 1
        return i
