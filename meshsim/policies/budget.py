"""How many retries a proxy may have, whatever single calls would like.

A count per call ("3 retries") is a multiplier: it triples the load exactly when the upstream can bear it
least. A budget is a share of the traffic: at 20 % no failure, however complete, adds more than a fifth (and
a small constant that keeps quiet services retrying). Two kinds are in use, and they differ in what they
count:

- Envoy counts what is *in flight*: retries now <= ratio · requests now. It has no memory.
- Linkerd (tower, after Finagle) counts what *ended* in the last `ttl`: each final response deposits, each
  retry
  withdraws 1/ratio deposits; `min_per_second` is a reserve that never runs out. Its ratio is cut to
  1/trunc(1/ratio).

Known failure mode: a budget on each of n layers still multiplies, (1 + ratio)^n.

Sources: Envoy, circuit_breaker.proto and resource_manager_impl.h, measured on 1.40; tower,
retry/budget/tps_budget.rs; linkerd2-proxy, outbound/src/http/retry.rs (what deposits).
"""

from __future__ import annotations

from typing import final


class Budget:
    """Grants or refuses retry slots.

    Attributes:
        counts_active: whether it depends on what is in flight.
    """

    def __init__(self) -> None:
        self.counts_active = False

    def withdraw(self, slots: int, in_flight: int, now: float) -> bool:
        """Whether one more retry may be had.

        Args:
            slots: retries of the cluster that hold a slot now (waiting out a back-off, or in flight).
            in_flight: its active and pending tries, the failing one included, and those that broke with it.
            now: s.
        """
        raise NotImplementedError

    def deposit(self, now: float) -> None:
        """A try ended that is not to be retried."""


@final
class MaxRetries(Budget):
    """Envoy's `max_retries`: so many slots at once."""

    def __init__(self, limit: int) -> None:
        self.counts_active = False
        self.limit = limit

    def withdraw(self, slots: int, in_flight: int, now: float) -> bool:
        return slots < self.limit


@final
class EnvoyBudget(Budget):
    """Envoy's retry budget: slots below a share of what is in flight, or below a constant."""

    def __init__(self, ratio: float, min_concurrency: int) -> None:
        self.counts_active = True
        self.ratio = ratio
        self.min_concurrency = min_concurrency

    def withdraw(self, slots: int, in_flight: int, now: float) -> bool:
        return slots < self.min_concurrency or slots < int(self.ratio * in_flight)


SLOTS = 10


@final
class LinkerdBudget(Budget):
    """Linkerd's retry budget over a sliding window of ten slots.

    Attributes:
        deposited: what one ended try brings.
        withdrawn: what one retry costs.
        reserve: always there.
        slot: a slot's length, s.
        slots: what the last slots brought, less what they cost.
        index: the slot that is written next.
        writer: the slot being filled.
        since: when the writer was last put away, s.
    """

    deposited: int
    withdrawn: int
    reserve: int
    slot: float
    slots: list[int]

    def __init__(self, ratio: float, min_per_second: int, ttl: float, now: float) -> None:
        self.counts_active = False
        self.deposited = 1 if ratio > 0.0 else 0
        self.withdrawn = int(1.0 / ratio) if ratio > 0.0 else 1
        self.reserve = min_per_second * int(ttl) * self.withdrawn
        self.slot = ttl / SLOTS
        self.slots = [0] * SLOTS
        self.index = 0
        self.writer = 0
        self.since = now

    def withdraw(self, slots: int, in_flight: int, now: float) -> bool:
        self.expire(now)
        balance = self.writer + self.reserve
        for i in range(SLOTS):
            balance += self.slots[i]
        if balance < self.withdrawn:
            return False
        self.writer -= self.withdrawn
        return True

    def deposit(self, now: float) -> None:
        self.expire(now)
        self.writer += self.deposited

    def expire(self, now: float) -> None:
        """Puts the writer away once its slot is over, and clears the slots that passed since."""
        passed = now - self.since
        if passed < self.slot:
            return
        self.slots[self.index] = self.writer
        self.writer = 0
        self.index = (self.index + 1) % SLOTS
        cleared = 0
        while passed > self.slot and cleared < SLOTS:  # after a full turn all are 0
            self.slots[self.index] = 0
            passed -= self.slot
            self.index = (self.index + 1) % SLOTS
            cleared += 1
        self.since = now
