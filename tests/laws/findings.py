"""What a law's measurement found, and the intervals it is judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

ALPHA = 1e-3
"""Chance that a proxy which obeys a law exactly is said not to, of one finding."""


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        law: the law's name.
        case: what was done.
        expected: what SEMANTICS says; ``""`` where it says nothing.
        measured: what the subject did.
        agrees: whether that is the same, or within the interval; None where SEMANTICS says nothing.
    """

    law: str
    case: str
    expected: str
    measured: str
    agrees: bool | None


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
    """Waits less `offset`, s, that must be uniform on [0, bound): Kolmogorov and Smirnov's test."""
    p = float(stats.kstest([wait - offset for wait in waits], stats.uniform(0, bound).cdf).pvalue)
    n = len(waits)
    mean, error = sum(waits) / n - offset, 3.29 * bound / math.sqrt(12 * n)
    shown = f"mean {1e3 * mean:.1f} ± {1e3 * error:.1f} ms, max {1e3 * (max(waits) - offset):.0f} ms"
    said = f"uniform below {1e3 * bound:g} ms: mean {1e3 * bound / 2:g} ms"
    return Finding(law, case, said, f"{shown} (n = {n}, KS p = {p:.2g})", p > ALPHA)
