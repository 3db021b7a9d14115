"""Fault injection: delays and errors on purpose, to see what callers do with them.

A filter before the router: an injected delay is outside the route's time-out, and an injected error is not
retried by the same proxy. So it tests the callers *behind* this one, not this proxy's own policies. Delay
and abort are drawn independently, the delay first.

Source: Envoy, source/extensions/filters/http/fault/fault_filter.cc.
"""

from __future__ import annotations

from typing import final

from meshsim.random import FAULT_ABORT, FAULT_DELAY, FAULT_TIME, Distribution, Key, u01


@final
class FaultInjection:
    """A share of calls is delayed, a share is aborted; 0 of either turns it off.

    Attributes:
        delay_ratio, abort_ratio: shares.
        delay: how long.
        status: what an aborted call is answered.
    """

    def __init__(self, delay_ratio: float, delay: Distribution, abort_ratio: float, status: int) -> None:
        self.delay_ratio = delay_ratio
        self.delay = delay
        self.abort_ratio = abort_ratio
        self.status = status

    def delays(self, key: Key) -> bool:
        """Whether the call with this key is delayed."""
        return self.delay_ratio > 0.0 and u01(key, FAULT_DELAY) < self.delay_ratio

    def delay_time(self, key: Key) -> float:
        """For how long, s."""
        return self.delay.draw(key, FAULT_TIME)

    def aborts(self, key: Key) -> bool:
        """Whether the call with this key is aborted."""
        return self.abort_ratio > 0.0 and u01(key, FAULT_ABORT) < self.abort_ratio
