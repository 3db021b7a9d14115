"""G/M/1: independent gaps of any law, exponential service, one worker.

An arrival finds n requests with probability (1-σ)σⁿ, σ the root in (0, 1) of σ = A*(μ(1-σ)), A* the
Laplace-Stieltjes transform of the gaps. So the time in the system is exponential with rate μ(1-σ).

Round robin over k replicas hands each every k-th arrival: of a Poisson stream, that is E_k/M/1.

Source:
    Kleinrock, Queueing Systems I (1975), ch. 6.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

from meshsim.theory.numeric import bisect


def gm1_sigma(transform: Callable[[float], float], mu: float) -> float:
    """The root σ = P(an arrival waits), by s -> E[e^{-s·gap}], if stable. Source: Kleinrock I, eq. 6.15."""
    # 1 is a root too; below it the difference is negative just before 1 and positive at 0.
    return bisect(lambda sigma: transform(mu * (1.0 - sigma)) - sigma, 0.0, 1.0 - 1e-9)


def dm1_sigma(gap: float, mu: float) -> float:
    """σ for arrivals every `gap` seconds. Source: Kleinrock I, ch. 6."""
    return gm1_sigma(lambda s: exp(-s * gap), mu)


def ekm1_sigma(lam: float, k: int, mu: float) -> float:
    """σ for gaps of k exponential phases, λ arrivals per second. Source: Kleinrock I, ch. 6."""
    return gm1_sigma(lambda s: (k * lam / (k * lam + s)) ** k, mu)


def gm1_sojourn(sigma: float, mu: float) -> float:
    """Mean time in the system, s: 1/(μ(1-σ)). Source: Kleinrock I, ch. 6."""
    return 1.0 / (mu * (1.0 - sigma))


def gm1_wait(sigma: float, mu: float) -> float:
    """Mean wait, s: σ/(μ(1-σ)). Source: Kleinrock I, ch. 6."""
    return sigma / (mu * (1.0 - sigma))


def gm1_sojourn_quantile(p: float, sigma: float, mu: float) -> float:
    """The time that a share p stays below, s.

    Source: Kleinrock I, ch. 6: the time in the system is exponential.
    """
    return -log(1.0 - p) * gm1_sojourn(sigma, mu)
