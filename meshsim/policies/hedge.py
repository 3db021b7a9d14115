"""Hedging: when the answer is late, ask someone else too, and take whichever comes first.

A second try after the 95th percentile costs 5 % more load and cuts the tail to the chance that *both* are
slow. It works while slowness is chance at one host; when all are slow because there is too much work, it
is one more way to add work. So a hedge needs a retry slot like any retry, and a budget bounds both
together.

After `after` without an answer one hedge may be launched, again after as long, `max` in all. An opportunity
that finds no try under way, or no slot, is lost.

Sources: Dean and Barroso, The Tail at Scale, CACM 56 (2013); gRPC proposal A6 (hedging delay). Envoy
hedges only on a per-try time-out, which is a different trigger for the same bookkeeping.
"""

from __future__ import annotations

from typing import final


@final
class Hedge:
    """When to hedge.

    Attributes:
        after: s between opportunities.
        limit: opportunities a call has; 0 for none.
    """

    def __init__(self, after: float, limit: int) -> None:
        self.after = after
        self.limit = limit
