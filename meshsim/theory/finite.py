"""A finite waiting room: no more than K requests in the system, the others refused (503).

Sources:
    Kleinrock, Queueing Systems I (1975), ch. 3: M/M/c/K. Gross and Harris, Fundamentals of Queueing Theory
    (1998), 5.1.8: M/G/1/K from the chain of departures. Ramaswami, A Stable Recursion for the Steady State
    Vector in Markov Chains of M/G/1 Type, Stochastic Models 4 (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshsim.theory.numeric import Floats


@dataclass(frozen=True, slots=True)
class FiniteQueue:
    """What an M/M/c/K does in the long run."""

    block: float  # share of arrivals refused
    throughput: float  # requests served, per second
    utilisation: float  # share of the workers' time in service
    number: float  # mean, in the system
    queue: float  # mean, waiting
    sojourn: float  # mean time in the system of the accepted, s
    seen: Floats  # P(an accepted arrival finds n in the system), n = 0 … K-1


def mmck(lam: float, mu: float, c: int, K: int) -> FiniteQueue:
    """Solve M/M/c/K; λ may exceed cμ. Source: birth-death balance, p(n) = p(n-1)·λ / (min(n, c)·μ)."""
    n = np.arange(K + 1)
    with np.errstate(divide="ignore"):  # without load nobody is ever there
        steps = np.log(lam / (mu * np.clip(n, 1, c)))
    steps[0] = 0.0
    weight = np.cumsum(steps)
    p = np.exp(weight - weight.max())
    p /= p.sum()
    block = float(p[K])
    throughput = lam * (1.0 - block)
    seen = p[:K] / (1.0 - block)
    return FiniteQueue(
        block=block,
        throughput=throughput,
        utilisation=throughput / (c * mu),
        number=float(n @ p),
        queue=float(np.maximum(n - c, 0) @ p),
        sojourn=float(seen @ np.maximum(n[1:] / c, 1.0)) / mu,
        seen=seen,
    )


def mg1k(arrivals: Floats, rho: float) -> Floats:
    """P(n in the system), n = 0 … K, of M/G/1/K.

    Args:
        arrivals: (K,) P(j arrivals during a service), j = 0 … K-1.
        rho: λ·E[S], which may exceed 1.

    Source: Gross and Harris 1998, 5.1.8; the chain of departures by Ramaswami's recursion.
    """
    K = len(arrivals)
    at_least = np.maximum(1.0 - np.concatenate([[0.0], np.cumsum(arrivals)]), 0.0)
    falls = max(float(arrivals[0]), 1e-100)  # rarer makes no difference, but an overflow
    q = np.zeros(K)
    q[0] = 1.0
    for j in range(1, K):
        # what goes up over the cut between j-1 and j is what comes down: only the step down by one
        q[j] = (q[0] * at_least[j] + q[1:j] @ at_least[j:1:-1]) / falls
        if q[j] > 1e200:
            q /= q[j]
    q /= q.sum()
    empty = q[0] + rho
    return np.concatenate([q / empty, [max(1.0 - 1.0 / empty, 0.0)]])
