"""MAP/M/c: arrivals whose rate depends on a phase, exponential service, c workers; solved numerically.

``D0`` holds the phase changes without an arrival (and the diagonal), ``D1`` those with one. A Poisson process
modulated by a Markov chain (MMPP) and an Erlang renewal process are such. Levels (numbers in the system) from
c on repeat, so that π(n+1) = π(n)·R: a quasi-birth-death process.

Sources:
    Neuts, Matrix-Geometric Solutions in Stochastic Models (1981). Latouche and Ramaswami, A Logarithmic
    Reduction Algorithm for Quasi-Birth-Death Processes, J. Appl. Prob. 30 (1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.theory.numeric import Floats

NEGLIGIBLE = 1e-13
LEVELS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class PhaseQueue:
    """What a MAP/M/c does in the long run."""

    rate: float  # arrivals per second
    number: float  # mean, in the system
    queue: float  # mean, waiting
    sojourn: float  # mean time in the system, s
    wait: float  # mean, s
    seen: Floats  # P(an arrival finds n in the system), n = 0, 1, …, until what is left is negligible


def mmpp(rates: Sequence[float], means: Sequence[float]) -> tuple[Floats, Floats]:
    """(D0, D1) of a Poisson process whose rate cycles through `rates`, staying exponentially long.

    Source: Fischer and Meier-Hellstern, The MMPP cookbook, Performance Evaluation 18 (1993).
    """
    m = len(rates)
    D1 = np.diag(np.asarray(rates, dtype=np.float64))
    Q = np.zeros((m, m))
    for i, mean in enumerate(means):
        Q[i, i] -= 1.0 / mean
        Q[i, (i + 1) % m] += 1.0 / mean
    return Q - D1, D1


def erlang_renewal(lam: float, k: int) -> tuple[Floats, Floats]:
    """(D0, D1) of arrivals with gaps of k exponential phases, λ per second. Source: Neuts 1981."""
    step = k * lam
    D0 = np.diag(np.full(k, -step)) + np.diag(np.full(k - 1, step), 1)
    D1 = np.zeros((k, k))
    D1[k - 1, 0] = step
    return D0, D1


def map_rate(D0: Floats, D1: Floats) -> float:
    """Arrivals per second in the long run: θ·D1·1, θ the phases' steady state. Source: Neuts 1981."""
    return float(_stationary(D0 + D1) @ D1.sum(axis=1))


def map_m_c(D0: Floats, D1: Floats, mu: float, c: int = 1) -> PhaseQueue:
    """Solve MAP/M/c; the utilisation rate/(cμ) must be below 1.

    Source: Neuts 1981, by logarithmic reduction; levels below c by the same recursion backwards.
    """
    m = len(D0)
    eye = np.eye(m)
    R = _rate_matrix(D1, D0 - c * mu * eye, c * mu * eye)
    steps = [R]  # steps[n]: from π(n) to π(n+1), n < c
    for n in range(c - 1, 0, -1):
        steps.insert(0, D1 @ np.linalg.inv(-(D0 - n * mu * eye + steps[0] * (n + 1) * mu)))
    levels = [np.maximum(_stationary(D0 + steps[0] * mu), 0.0)]
    for step in steps:
        levels.append(levels[-1] @ step)
    tail = np.linalg.inv(eye - R)
    total = float(sum(level.sum() for level in levels[:c]) + (levels[c] @ tail).sum())
    levels = [level / total for level in levels]
    while levels[-1].sum() > NEGLIGIBLE and len(levels) < LEVELS_MAX:
        levels.append(levels[-1] @ R)
    rate = map_rate(D0, D1)
    queue = float((levels[c] @ R @ tail @ tail).sum())
    return PhaseQueue(
        rate=rate,
        number=queue + rate / mu,
        queue=queue,
        sojourn=queue / rate + 1.0 / mu,
        wait=queue / rate,
        seen=np.array(levels) @ D1.sum(axis=1) / rate,
    )


def _stationary(Q: Floats) -> Floats:
    """The probability vector with πQ = 0."""
    a = np.vstack([Q.T, np.ones(len(Q))])
    b = np.zeros(len(Q) + 1)
    b[-1] = 1.0
    return np.asarray(np.linalg.lstsq(a, b, rcond=None)[0])


def _rate_matrix(up: Floats, local: Floats, down: Floats) -> Floats:
    """R of up + R·local + R²·down = 0, by logarithmic reduction of G."""
    inverse = np.linalg.inv(-local)
    H, L = inverse @ up, inverse @ down
    G, T = L.copy(), H.copy()
    eye = np.eye(len(up))
    for _ in range(64):
        U = H @ L + L @ H
        inverse = np.linalg.inv(eye - U)
        H, L = inverse @ (H @ H), inverse @ (L @ L)
        G = np.asarray(G + T @ L)
        T = np.asarray(T @ H)
        if float(np.abs(T).max()) < 1e-16:
            break
    return np.asarray(up @ np.linalg.inv(-(local + up @ G)))
