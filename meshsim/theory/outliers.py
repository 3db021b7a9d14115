"""Consecutive errors: how long until a host is ejected, and for how long.

Sources:
    Feller, An Introduction to Probability Theory and Its Applications I, XIII.7: success runs. Envoy
    `outlier_detection.proto`: base_ejection_time times the number of ejections, up to max_ejection_time.
"""

from __future__ import annotations

from math import sqrt


def run_mean(p: float, run: int) -> float:
    """Mean number of requests until `run` consecutive ones have failed, each with probability p.

    Source: Feller I, XIII.7: (1 - p^r)/(q·p^r).
    """
    return (1.0 - p**run) / ((1.0 - p) * p**run)


def run_sd(p: float, run: int) -> float:
    """Standard deviation of that number.

    Source: Feller I, XIII.7: variance 1/(q·p^r)² - (2r+1)/(q·p^r) - p/q².
    """
    q = 1.0 - p
    once = q * p**run
    return sqrt(1.0 / once**2 - (2 * run + 1) / once - p / q**2)


def ejection_times(base: float, ceiling: float, count: int) -> list[float]:
    """How long each of the first `count` ejections of a host lasts, s, if it is ejected again at once.

    Source: Envoy outlier detection.
    """
    return [min(base * k, ceiling) for k in range(1, count + 1)]
