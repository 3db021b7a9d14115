"""Parts that fail and are repaired, each independently.

Source:
    Barlow and Proschan, Statistical Theory of Reliability and Life Testing (1975).
"""

from __future__ import annotations

from math import comb, sqrt


def availability(mtbf: float, mttr: float) -> float:
    """Share of time a part is up. Source: Barlow and Proschan, ch. 7."""
    return mtbf / (mtbf + mttr)


def at_least(k: int, n: int, a: float) -> float:
    """P(at least k of n parts are up): k = n in series, k = 1 in parallel.

    Source: Barlow and Proschan, ch. 2.
    """
    return sum(comb(n, i) * a**i * (1.0 - a) ** (n - i) for i in range(k, n + 1))


def availability_sd(mtbf: float, mttr: float, duration: float) -> float:
    """Standard deviation of the share of `duration` seconds a part was up, both times exponential.

    Source: asymptotic variance of a two-state chain, 2λμ/((λ+μ)³t).
    """
    down, up = 1.0 / mtbf, 1.0 / mttr
    return sqrt(2.0 * down * up / ((down + up) ** 3 * duration))
