"""A second try beside a slow first one: min(S₁, d + S₂), exponential service without queueing.

Source:
    Dean and Barroso, The Tail at Scale, CACM 56 (2013); the minimum of independent exponentials.
"""

from __future__ import annotations

from math import exp, log


def hedge_extra(mean: float, after: float) -> float:
    """Second tries per request: P(S > d). Source: the exponential's tail."""
    return exp(-after / mean)


def hedge_mean(mean: float, after: float) -> float:
    """Mean latency, s: E[min(S, d)] + P(S > d)·mean/2. Source: after d two memoryless tries race."""
    late = exp(-after / mean)
    return mean * (1.0 - late) + late * 0.5 * mean


def hedge_quantile(p: float, mean: float, after: float) -> float:
    """Quantile of the latency, s. Source: P(latency > t) = e^{-t/m} before d, e^{-(2t-d)/m} after."""
    alone = -mean * log(1.0 - p)
    return alone if alone <= after else 0.5 * (alone + after)
