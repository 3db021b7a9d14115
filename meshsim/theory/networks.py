"""Networks of queues with product form: open (Jackson) and closed (Gordon-Newell).

Every station has exponential service, c workers and room for all; a request goes from one to the next
independently of the queues. Then each station is an M/M/c by itself (open), or mean values follow from those
with one user less (closed).

Sources:
    Jackson, Networks of Waiting Lines (1957). Reiser and Lavenberg, Mean-Value Analysis of Closed
    Multichain Queuing Networks, J. ACM 27 (1980). Buzen, Computational Algorithms for Closed Queueing
    Networks, Comm. ACM 16 (1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from meshsim.theory.erlang import mmc_sojourn
from meshsim.theory.numeric import Floats


def traffic(external: ArrayLike, routing: ArrayLike) -> Floats:
    """Arrivals per second at each station: λ = γ + λP, γ from outside; P[i][j] of what leaves i goes to j.

    Source: Jackson 1957.
    """
    P = np.asarray(routing, dtype=np.float64)
    return np.asarray(np.linalg.solve(np.eye(len(P)) - P.T, np.asarray(external, dtype=np.float64)))


def jackson_total(
    external: Sequence[float], routing: ArrayLike, mus: Sequence[float], workers: Sequence[int] | None = None
) -> float:
    """Mean time from entry to exit of an open network, s. Source: Jackson 1957 and Little."""
    lams: list[float] = traffic(external, routing).tolist()
    stations = zip(lams, mus, workers or [1] * len(mus), strict=True)
    return sum(lam * mmc_sojourn(lam, mu, c) for lam, mu, c in stations) / sum(external)


@dataclass(frozen=True, slots=True)
class ClosedNetwork:
    """A closed network in the long run."""

    throughput: float  # rounds per second
    number: tuple[float, ...]  # mean, at each station
    total: float  # mean time of a round without the thinking, s


def mva(users: int, think: float, demands: Sequence[float]) -> ClosedNetwork:
    """Users who think (or wait elsewhere than in queues) and then visit stations of one worker.

    The demand for a station is visits times mean service, s.

    Source: Reiser and Lavenberg 1980: who arrives finds what one user less would leave.
    """
    number = [0.0] * len(demands)
    throughput, total = 0.0, 0.0
    for n in range(1, users + 1):
        times = [demand * (1.0 + queue) for demand, queue in zip(demands, number, strict=True)]
        total = sum(times)
        throughput = n / (think + total)
        number = [throughput * time for time in times]
    return ClosedNetwork(throughput, tuple(number), total)


def closed_network(
    users: int, think: float, demands: Sequence[float], workers: Sequence[int]
) -> ClosedNetwork:
    """The same with any number of workers at each station, and at least one user.

    Source: Buzen 1973: normalising constants by convolution, here in logarithms.
    """
    n = np.arange(users + 1)
    empty = np.where(n == 0, 0.0, -np.inf)

    def station(demand: float, c: int) -> Floats:
        """log(demandⁿ / Π min(i, c)) for each number n there; to think is a station of a worker for each."""
        if demand == 0.0:
            return empty
        return np.asarray(n * np.log(demand) - np.cumsum(np.log(np.clip(n, 1, c))))

    factors = [station(demand, c) for demand, c in zip(demands, workers, strict=True)]
    before = [station(think, max(users, 1))]
    for factor in factors:
        before.append(_convolve(before[-1], factor))
    G = before[-1]
    throughput = float(np.exp(G[users - 1] - G[users]))
    number, after = [0.0] * len(factors), empty
    for k in range(len(factors) - 1, -1, -1):
        others = _convolve(before[k], after)
        number[k] = float(n @ np.exp(factors[k] + others[::-1] - G[users]))
        after = _convolve(after, factors[k])
    return ClosedNetwork(throughput, tuple(number), sum(number) / throughput)


def _convolve(a: Floats, b: Floats) -> Floats:
    """The convolution log Σ exp(a(i) + b(n-i)) for each n."""
    out = np.full(len(a), -np.inf)
    for n in range(len(a)):
        terms = a[: n + 1] + b[n::-1]
        peak = float(terms.max())
        if peak > -np.inf:
            out[n] = peak + np.log(np.exp(terms - peak).sum())
    return out
