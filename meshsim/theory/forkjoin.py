"""Fan-out: a request that waits for the slowest of several calls.

Sources:
    Order statistics of exponentials. Nelson and Tantawi, Approximate Analysis of Fork/Join Synchronization
    in Parallel Queues, IEEE Trans. Computers 37 (1988); exact for two branches (Flatto and Hahn 1984). Dean
    and Barroso, The Tail at Scale, CACM 56 (2013).
"""

from __future__ import annotations

from math import log


def harmonic(n: int) -> float:
    """1 + 1/2 + … + 1/n. Source: order statistics."""
    return sum(1.0 / k for k in range(1, n + 1))


def max_mean(n: int, mean: float) -> float:
    """Mean of the largest of n independent exponentials, s: H(n)·mean. Source: order statistics."""
    return harmonic(n) * mean


def max_quantile(p: float, n: int, mean: float) -> float:
    """Quantile of the largest of n independent exponentials, s: -mean·ln(1 - p^(1/n)).

    Source: order statistics.
    """
    return -mean * log(1.0 - p ** (1.0 / n))


def fork_join_sojourn(lam: float, mu: float, n: int) -> float:
    """Mean time, s, until all of n M/M/1 branches have answered, each served by a queue of its own.

    Exact for n <= 2, approximate to a few per cent up to 32.

    Source: Nelson and Tantawi 1988, eq. 10.
    """
    rho = lam / mu
    if n == 1:
        return 1.0 / (mu - lam)
    two = (12.0 - rho) / 8.0 / (mu - lam)
    ratio = harmonic(n) / harmonic(2)
    return (ratio + 4.0 / 11.0 * (1.0 - ratio) * rho) * two


def any_slow(p: float, n: int) -> float:
    """P(at least one of n calls is slow), each with probability p.

    Source: Dean and Barroso 2013: 1 - (1-p)ⁿ.
    """
    return 1.0 - (1.0 - p) ** n
