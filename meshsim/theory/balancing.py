"""Balancers over equal replicas: joining the shortest queue, and the better of a few random ones.

Round robin is in :mod:`meshsim.theory.renewal` (every k-th arrival), random in
:mod:`meshsim.theory.erlang` (a thinned Poisson process). Here are those that look at the queues: for few
replicas the Markov chain of the sorted queue lengths, cut at a length that is hardly ever reached; for
infinitely many the mean field.

Sources:
    Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (1996, 2001). Vvedenskaya, Dobrushin
    and Karpelevich (1996). Koury, McAllister and Stewart, SIAM J. Alg. Disc. Meth. 5 (1984): iteration with
    aggregation. Envoy `least_request_lb.cc`: choices are drawn with replacement; `full_scan` is joining the
    shortest queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb, log

import numpy as np
from numpy.typing import NDArray

from meshsim.theory.numeric import Floats

STATES_MAX = 60_000
CAPS = (10, 16, 24, 32, 45, 60, 90, 150, 300)
NEGLIGIBLE = 1e-8
NOTABLE = 1e-5
ROUNDS_MAX = 5_000

Ints = NDArray[np.int64]
State = tuple[int, ...]
"""Numbers in the system of each replica, the longest first."""

Choice = Callable[[int, int], float]
"""(at least so long, replicas) -> P(every drawn queue is among the `at least so long` longest)."""


@dataclass(frozen=True, slots=True)
class BalancedQueues:
    """What N replicas behind a balancer do in the long run."""

    sojourn: float  # mean time in the system, s
    queue: float  # mean number waiting, at all replicas
    seen: Floats  # P(an arrival joins a replica that has n requests), n = 0, 1, …
    cut: float  # P(a given queue is at the cut): how much the cut can matter


def shortest(longer: int, n: int) -> float:
    """Every replica is looked at: joining the shortest queue. Source: Envoy `full_scan`."""
    return 1.0 if longer == n else 0.0


def drawn(d: int) -> Choice:
    """`d` choices with replacement, as ``least_request`` draws them. Source: Envoy least_request_lb.cc."""
    return lambda longer, n: (longer / n) ** d


def distinct(d: int) -> Choice:
    """`d` different choices, as Linkerd's balancer draws them. Source: tower `p2c`."""
    return lambda longer, n: comb(longer, d) / comb(n, d)


def affordable(n: int, c: int, rho: float) -> bool:
    """Whether the chain of n replicas of c workers is small enough: not with many, nor near saturation.

    Source: the number in the system has a tail like that of one queue, ρ^m, spread over n replicas.
    """
    length = 4 + max(int(log(NOTABLE) / (n * log(rho))), CAPS[0] - 4)
    return comb(length + c - 1 + n, n) <= STATES_MAX


def balanced(lam: float, mu: float, n: int, choice: Choice, c: int = 1, cap: int = 0) -> BalancedQueues:
    """Solve n replicas of c exponential workers that share λ Poisson arrivals per second, fewer than n·c·μ.

    `cap` is the longest queue (with those in service) that is followed; 0 grows it until it hardly matters.

    Source: Markov chain of the sorted lengths; the shorter of the looked-at queues is joined.
    """
    if not cap:
        for size in CAPS:
            if size > CAPS[0] and comb(size + c - 1 + n, n) > STATES_MAX:
                break
            result = balanced(lam, mu, n, choice, c, size + c - 1)
            if result.cut < NEGLIGIBLE:
                break
        return result
    states = list(combinations_with_replacement(range(cap, -1, -1), n))
    joins = _moves(states, lambda state: _joins(state, choice, cap))
    leaves = _moves(states, lambda state: _leaves(state, c))
    lengths = np.array(states)
    level = lengths.sum(axis=1)
    pi = _stationary(level, joins, leaves, lam, mu)
    entering = pi[joins.source] * joins.weight
    accepted = float(entering.sum())
    return BalancedQueues(
        sojourn=float(pi @ level) / (lam * accepted),
        queue=float(pi @ np.maximum(lengths - c, 0).sum(axis=1)),
        seen=np.bincount(joins.length, weights=entering, minlength=cap) / accepted,
        cut=float(pi @ (lengths == cap).mean(axis=1)),
    )


def mean_field_sojourn(rho: float, d: int, mean: float = 1.0) -> float:
    """Mean time in the system, s, with d choices among infinitely many M/M/1 replicas at utilisation ρ.

    Source: Mitzenmacher 1996: a share ρ^((d^i - 1)/(d - 1)) of the queues has at least i requests.
    """
    total, power = 0.0, 1.0  # power = (d^i - d)/(d - 1) + 1 for i = 1: 1
    while rho ** (power - 1.0) > 1e-18:
        total += rho ** (power - 1.0)
        power = d * power + 1.0
    return mean * total


@dataclass(frozen=True, slots=True)
class _Moves:
    """One entry a change of state: from, to, its weight, and the length of the queue that it affects."""

    source: Ints
    target: Ints
    weight: Floats
    length: Ints


def _moves(states: list[State], step: Callable[[State], Iterator[tuple[State, float, int]]]) -> _Moves:
    index = {state: i for i, state in enumerate(states)}
    rows = [
        (i, index[to], weight, length) for i, state in enumerate(states) for to, weight, length in step(state)
    ]
    source, target, weight, length = zip(*rows, strict=True)
    return _Moves(np.array(source), np.array(target), np.array(weight, dtype=np.float64), np.array(length))


def _joins(state: State, choice: Choice, cap: int) -> Iterator[tuple[State, float, int]]:
    """Where an arrival goes; lengths are sorted, so the first of equal ones grows."""
    n = len(state)
    for length in set(state):
        first = state.index(length)
        weight = choice(first + state.count(length), n) - choice(first, n)
        if weight > 0.0 and length < cap:
            yield (*state[:first], length + 1, *state[first + 1 :]), weight, length


def _leaves(state: State, c: int) -> Iterator[tuple[State, float, int]]:
    """What may end; the last of equal ones shrinks."""
    for length in set(state):
        if length:
            last = state.index(length) + state.count(length) - 1
            weight = state.count(length) * min(length, c)
            yield (*state[:last], length - 1, *state[last + 1 :]), weight, length


def _stationary(level: Ints, joins: _Moves, leaves: _Moves, lam: float, mu: float) -> Floats:
    """The steady state by Gauss-Seidel over even and odd levels, with exact masses of the levels each time.

    Every move changes the level (the number in the system) by one, and the flows between two levels balance.
    """
    size, levels = len(level), int(level.max()) + 1
    up = np.bincount(joins.source, weights=lam * joins.weight, minlength=size)
    down = np.bincount(leaves.source, weights=mu * leaves.weight, minlength=size)
    source = np.concatenate([joins.source, leaves.source])
    target = np.concatenate([joins.target, leaves.target])
    rate = np.concatenate([lam * joins.weight, mu * leaves.weight])
    even = level % 2 == 0
    pi = np.full(size, 1.0 / size)
    for _ in range(ROUNDS_MAX):
        before = pi.copy()
        for half in (even, ~even):
            inflow = np.bincount(target, weights=rate * pi[source], minlength=size)
            pi = np.where(half, inflow / (up + down), pi)
        mass = np.bincount(level, weights=pi, minlength=levels)
        climbs = np.bincount(level, weights=pi * up, minlength=levels) / mass
        falls = np.bincount(level, weights=pi * down, minlength=levels) / mass
        exact = np.cumprod(np.concatenate([[1.0], climbs[:-1] / falls[1:]]))
        pi = pi * (exact / exact.sum() / mass)[level]
        if float(np.abs(pi - before).sum()) < 1e-12:
            break
    return pi
