"""Traffic by weight, each request on its own: the binomial.

Source:
    Feller, An Introduction to Probability Theory and Its Applications I, VI-VII.
"""

from __future__ import annotations

from math import sqrt

from meshsim.random import normal_quantile


def share_sd(weight: float, n: int) -> float:
    """Standard deviation of the share that n requests show: √(w(1-w)/n). Source: binomial."""
    return sqrt(weight * (1.0 - weight) / n)


def share_interval(weight: float, n: int, confidence: float = 0.95) -> float:
    """Half width of the interval in which that share lies, by the normal limit.

    For 95 % it uses the customary factor 1.96.

    Source: de Moivre-Laplace.
    """
    z = 1.96 if confidence == 0.95 else normal_quantile(0.5 + 0.5 * confidence)
    return z * share_sd(weight, n)
