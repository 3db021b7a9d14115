"""The exact mean time of a request, by solving the Markov chain of a system's states.

State: how many requests there are, and how many of those that hold a worker of the first station are
doing (or waiting to do) their own work at station 1, 2, ... Whoever is beyond station i holds a worker of
it, so that station i works on min(x_i, workers_i - those beyond) of its x_i at once. The chain moves up
or down by one request at a time, so its levels are solved one after the other, from the last to the
first.

Source:
    Neuts, Matrix-Geometric Solutions in Stochastic Models (1981): R_n = A_up (-(A_n + R_(n+1) A_down))^-1.
"""

from __future__ import annotations

import itertools

import numpy as np
from common import System
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
State = tuple[int, ...]

LEVELS = 500
"""Requests at most; at 80 % load the chance of more is below 1e-40."""


def states(system: System, present: int) -> list[State]:
    """Where the requests that hold a worker of the first station may be."""
    holders = min(present, system.stations[0].workers)
    found = []
    for rest in itertools.product(range(holders + 1), repeat=len(system.stations) - 1):
        beyond = [sum(rest[i:]) for i in range(len(rest))]  # station i
        fits = all(n <= each.workers for n, each in zip(beyond, system.stations, strict=False))
        if fits and sum(rest) <= holders:
            found.append((holders - sum(rest), *rest))
    return found


def moves(system: System, present: int, state: State) -> list[tuple[int, State, float]]:
    """What may happen next: (change of the number present, the new state, its rate)."""
    workers = system.stations[0].workers
    arrived = state if present >= workers else (state[0] + 1, *state[1:])
    result = [(1, arrived, system.rate)]
    for i, each in enumerate(system.stations):
        working = min(state[i], each.workers - sum(state[i + 1 :]))
        after = list(state)
        after[i] -= 1
        if i + 1 < len(state):
            after[i + 1] += 1
            result.append((0, tuple(after), working / each.mean))
        else:
            after[0] += present > workers  # who waited is next
            result.append((-1, tuple(after), working / each.mean))
    return [move for move in result if move[2] > 0.0]


def blocks(system: System, present: int) -> tuple[Matrix, Matrix, Matrix]:
    """Rates from a level: to the one below, within it (with the diagonal), to the one above."""
    here = states(system, present)
    targets = [states(system, level) if level >= 0 else [] for level in range(present - 1, present + 2)]
    down, local, up = (np.zeros((len(here), len(each))) for each in targets)
    for row, state in enumerate(here):
        for change, new, rate in moves(system, present, state):
            (down, local, up)[change + 1][row, targets[change + 1].index(new)] += rate
            local[row, row] -= rate
    return down, local, up


def mean_time(system: System) -> float:
    """From a request's arrival to its answer, s, by Little's law."""
    levels: list[Matrix] = []  # R of each level, from the last to the first
    below, local, _ = blocks(system, LEVELS)
    local += system.rate * np.eye(len(local))  # nobody comes in at the last level
    for present in range(LEVELS - 1, -1, -1):
        down, inner, up = blocks(system, present)
        ratio = up @ np.linalg.inv(-local)
        levels.append(ratio)
        local, below = inner + ratio @ below, down
    weights = [np.ones(1)]  # level 0 has one state
    for ratio in reversed(levels):
        weights.append(weights[-1] @ ratio)
    mass = np.array([level.sum() for level in weights])
    return float(mass @ np.arange(LEVELS + 1) / mass.sum() / system.rate)
