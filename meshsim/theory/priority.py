"""Non-preemptive priorities: who is served next, not who is interrupted.

Source:
    Cobham, Priority Assignment in Waiting Line Problems, Operations Research 2 (1954).
"""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.theory.erlang import erlang_c


def cobham_waits(lams: Sequence[float], mean: float, scv: float = 1.0, c: int = 1) -> list[float]:
    """Mean wait of each class, s: W₀ / ((1-σ₋)(1-σ)), σ₋ and σ the loads above and up to the class.

    Exact for one worker and any service law, and for c workers with exponential service, when all classes
    have the same law.

    Args:
        lams: arrivals per second of each class, the most urgent first.
        mean: mean service, s.
        scv: squared coefficient of variation of service; must be 1 for c > 1.
        c: workers.

    Source: Cobham 1954.
    """
    total = sum(lams)
    a = total * mean
    delay = 0.5 * total * mean * mean * (1.0 + scv) if c == 1 else erlang_c(c, a) * mean / c
    waits, above = [], 0.0
    for lam in lams:
        upto = above + lam * mean / c
        waits.append(delay / ((1.0 - above) * (1.0 - upto)) if upto < 1.0 else float("inf"))
        above = upto
    return waits
