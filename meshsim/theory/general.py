"""Queues with general service or arrivals: mean waits from first and second moments.

``scv`` is a squared coefficient of variation: variance / mean². ``ca2`` is that of the gaps between arrivals,
``cs2`` that of service times.

Sources:
    Pollaczek 1930, Khinchine 1932: exact for M/G/1. Kingman, The Single Server Queue in Heavy Traffic
    (1961): approximate, and an upper bound in its first form. Allen, Probability, Statistics and Queueing
    Theory (1978), after Cunneen; for Poisson arrivals Lee and Longton (1959). Kleinrock, Queueing Systems II
    (1976), ch. 4: processor sharing.
"""

from __future__ import annotations

from math import inf

from meshsim.theory.erlang import mmc_wait


def mg1_wait(lam: float, mean: float, scv: float) -> float:
    """Mean wait of M/G/1, s, in any order that does not look at service times: λE[S²] / 2(1-ρ).

    Source: Pollaczek-Khinchine.
    """
    rho = lam * mean
    return inf if rho >= 1.0 else lam * mean * mean * (1.0 + scv) / (2.0 * (1.0 - rho))


def kingman_wait(lam: float, mean: float, ca2: float, cs2: float) -> float:
    """Mean wait of G/G/1, s, approximately: ρ/(1-ρ) · (ca² + cs²)/2 · E[S]. Source: Kingman 1961."""
    rho = lam * mean
    return inf if rho >= 1.0 else rho / (1.0 - rho) * 0.5 * (ca2 + cs2) * mean


def allen_cunneen_wait(lam: float, mean: float, c: int, ca2: float, cs2: float) -> float:
    """Mean wait of G/G/c, s, approximately: that of M/M/c times (ca² + cs²)/2.

    Source: Allen and Cunneen 1978; Lee and Longton 1959.
    """
    return mmc_wait(lam, 1.0 / mean, c) * 0.5 * (ca2 + cs2)


def departures_ca2(rho: float, c: int, ca2: float, cs2: float) -> float:
    """Squared coefficient of variation of the gaps between departures of a G/G/c, approximately.

    Source: Whitt, The Queueing Network Analyzer, Bell Syst. Tech. J. 62 (1983), eq. 39.
    """
    return float(1.0 + (1.0 - rho * rho) * (ca2 - 1.0) + rho * rho / c**0.5 * (max(cs2, 0.2) - 1.0))


def ps_sojourn(lam: float, mean: float) -> float:
    """Mean time in an M/G/1 that shares its processor, s; no matter which law. Not a discipline of meshsim.

    Source: Kleinrock II, ch. 4.
    """
    return mean / (1.0 - lam * mean)


def ps_sojourn_of_size(lam: float, mean: float, size: float) -> float:
    """Mean time in an M/G/1-PS of a request that needs `size` seconds: size / (1-ρ).

    Source: Kleinrock II, ch. 4.
    """
    return size / (1.0 - lam * mean)
