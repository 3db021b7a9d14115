"""What a law's measurement found, and the intervals it is judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

ALPHA = 1e-3
"""Chance that a proxy which obeys a law exactly is said not to, of one finding."""

LATENESS = 0.001
"""Of a timer, s: Envoy's count whole ms, and so does uvloop's, under meshsim's proxy."""


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        law: the law's name.
        case: what was done.
        expected: what SEMANTICS says; has a ``?`` for what it leaves open.
        measured: what the subject did.
        agrees: whether that is the same, or within the interval.
    """

    law: str
    case: str
    expected: str
    measured: str
    agrees: bool


def share(law: str, case: str, expected: float, hits: int, n: int) -> Finding:
    """A share of n independent draws, by the exact binomial test; shown with its Clopper-Pearson interval."""
    test = stats.binomtest(hits, n, expected)
    low, high = test.proportion_ci(1 - ALPHA)
    shown = f"{hits / n:.2%} of {n} ({low:.2%}..{high:.2%})"
    return Finding(law, case, f"{expected:.2%}", shown, bool(test.pvalue > ALPHA))


def shares(law: str, case: str, expected: Sequence[float], counts: Sequence[int]) -> Finding:
    """Counts by kind, by Pearson's χ² test."""
    n = sum(counts)
    p = float(stats.chisquare(counts, [n * each / sum(expected) for each in expected]).pvalue)
    said = " : ".join(f"{each:g}" for each in expected)
    return Finding(law, case, said, f"{' : '.join(map(str, counts))} (χ² p = {p:.2g})", p > ALPHA)


def exactly(law: str, case: str, expected: object, measured: object) -> Finding:
    """Something that has to be the same."""
    return Finding(law, case, str(expected), str(measured), expected == measured)


def uniform(law: str, case: str, bound: float, waits: Sequence[float], offset: float) -> Finding:
    """Waits less `offset`, s, that must be uniform on [0, bound): Kolmogorov and Smirnov's test.

    A proxy's timer may be late by a constant of up to `LATENESS`: the best of three is taken.
    """
    law_of = stats.uniform(0, bound).cdf
    p = max(
        float(stats.kstest([wait - offset - late for wait in waits], law_of).pvalue)
        for late in (0.0, LATENESS / 2, LATENESS)
    )
    n = len(waits)
    mean, error = sum(waits) / n - offset, 3.29 * bound / math.sqrt(12 * n)
    shown = f"mean {1e3 * mean:.1f} ± {1e3 * error:.1f} ms, max {1e3 * (max(waits) - offset):.0f} ms"
    said = f"uniform below {1e3 * bound:g} ms: mean {1e3 * bound / 2:g} ms"
    return Finding(law, case, said, f"{shown} (n = {n}, KS p = {p:.2g})", p > ALPHA)
