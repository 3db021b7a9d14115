"""What may still be spent: a token bucket on requests, and Linkerd's budget on retries.

Why a budget, when retries are counted already? Three tries a request are harmless while one in a hundred
fails, and triple the load when all do. A budget bounds the retries by the traffic, whatever the cause.

Source: linkerd2-proxy and Twitter's Finagle, ``RetryBudget``; Envoy's ``local_ratelimit``.
"""

from __future__ import annotations

from math import trunc

from meshsim.scenario.model import RateLimit, RetryBudget
from meshsim.units import RESOLUTION

SLOTS = 10


class TokenBucket:
    """Envoy's local rate limit: starts full, refills continuously."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.limit = limit
        self.start = now  # when it was last full, s
        self.taken = 0  # tokens since then

    def take(self, now: float) -> bool:
        """Take one token, if there is one, or will be within the clock's resolution."""
        burst, rate = self.limit.burst, self.limit.rate
        if (now - self.start) * rate >= self.taken:
            self.start, self.taken = now, 0
        tokens = burst - self.taken + (now - self.start) * rate
        if tokens < 1.0 - rate * RESOLUTION:
            return False
        self.taken += 1
        return True


class LinkerdBudget:
    """Tries that need no retry pay in; a retry costs 1/ratio of that. What is paid in is good for `ttl`.

    The time to live is cut into ten slots; `writer` is the one that is being filled.
    """

    def __init__(self, budget: RetryBudget, now: float) -> None:
        ttl = 10.0 if budget.ttl is None else budget.ttl
        per_s = 10 if budget.min_per_second is None else budget.min_per_second
        self.deposited = 1 if budget.ratio > 0.0 else 0
        self.cost = trunc(1.0 / budget.ratio) if budget.ratio > 0.0 else 1
        self.reserve = per_s * trunc(ttl) * self.cost
        self.slot = ttl / SLOTS
        self.slots = [0] * SLOTS
        self.index = 0
        self.writer = 0
        self.since = now

    def deposit(self, now: float) -> None:
        """A try ended that needs no retry."""
        self._advance(now)
        self.writer += self.deposited

    def withdraw(self, now: float) -> bool:
        """Pay for a retry, if the balance allows it."""
        self._advance(now)
        if self.writer + sum(self.slots) + self.reserve < self.cost:
            return False
        self.writer -= self.cost
        return True

    def _advance(self, now: float) -> None:
        passed = now - self.since
        if passed < self.slot:
            return
        self._store(self.writer)
        self.writer = 0
        while passed > self.slot:
            self._store(0)
            passed -= self.slot
        self.since = now

    def _store(self, amount: int) -> None:
        self.slots[self.index] = amount
        self.index = (self.index + 1) % SLOTS
