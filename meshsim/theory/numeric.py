"""Small numerical tools: what the formulas need and numpy lacks.

Sources:
    Press et al., Numerical Recipes (3rd ed.), 6.2: the incomplete gamma function by series and by continued
    fraction (modified Lentz).
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, lgamma, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGE = 1e5
"""A shape from which on the incomplete gamma function is approximated by the normal one, to some 1e-6."""


def bisect(f: Callable[[float], float], low: float, high: float) -> float:
    """The root between `low` and `high`, to the last bit, of a falling function that is positive at `low`."""
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return middle
        if f(middle) > 0.0:
            low = middle
        else:
            high = middle


def falling_root(f: Callable[[float], float], scale: float) -> float:
    """The root above 0 of a falling function; `scale` is where to look first."""
    high = scale
    while f(high) > 0.0:
        high *= 2.0
    return bisect(f, 0.0, high)


def incomplete_gamma(a: float, x: Floats) -> Floats:
    """The regularised lower incomplete gamma function P(a, x), for each x >= 0.

    Source: Numerical Recipes 6.2. Beyond `LARGE`, where a series has too many terms, Wilson and Hilferty, The
    Distribution of Chi-square, PNAS 17 (1931): the cube root is nearly normal.
    """
    x = np.maximum(np.asarray(x, dtype=np.float64), 0.0)
    if a > LARGE:
        z = 3.0 * sqrt(a) * (np.cbrt(x / a) - 1.0 + 1.0 / (9.0 * a))
        return np.array([0.5 * erfc(-value / sqrt(2.0)) for value in z.tolist()])
    out = np.ones_like(x)  # as it is where x is infinite
    small = x < a + 1.0
    large = ~small & np.isfinite(x)
    out[small] = _series(a, x[small])
    out[large] = 1.0 - _fraction(a, x[large])
    return out


def _front(a: float, x: Floats) -> Floats:
    """x^a e^-x / Γ(a)."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(-x + a * np.log(x) - lgamma(a)))


def _series(a: float, x: Floats) -> Floats:
    term = np.full_like(x, 1.0 / a)
    total = term.copy()
    n = a
    while term.size and float(np.max(term / total)) > 1e-16:
        n += 1.0
        term = term * x / n
        total += term
    return np.asarray(_front(a, x) * total)


def _fraction(a: float, x: Floats) -> Floats:
    tiny = 1e-300
    b = x + 1.0 - a
    c = np.full_like(x, 1.0 / tiny)
    d = 1.0 / b
    h = d.copy()
    for i in range(1, 100_000):
        an = -i * (i - a)
        b = b + 2.0
        d = an * d + b
        d = 1.0 / np.where(np.abs(d) < tiny, tiny, d)
        c = b + an / c
        c = np.where(np.abs(c) < tiny, tiny, c)
        step = d * c
        h = h * step
        if not x.size or float(np.max(np.abs(step - 1.0))) < 1e-15:
            break
    return np.asarray(_front(a, x) * h)
