"""Local rate limit: a token bucket that keeps a caller under a rate, whatever it would like.

It protects an upstream without asking it, at the price of refusing at the first burst above `burst` even
when the upstream is idle. Every proxy has its own bucket: n callers together may send n times the rate.

Starts full; refills continuously, on access; a request takes one token or is answered 429 with the flag RL.
The reply is the proxy's own, before the router: the same proxy never retries it.

Source: Envoy, local_rate_limit filter; since 1.31 the refill is continuous (measured on 1.40).
"""

from __future__ import annotations

from typing import final


@final
class TokenBucket:
    """A bucket of at most `burst` tokens that gains `rate` a second."""

    burst: float
    rate: float
    tokens: float
    since: float

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self.burst = burst
        self.rate = rate
        self.tokens = burst
        self.since = now

    def take(self, now: float) -> bool:
        """Takes a token, if there is a whole one."""
        tokens = self.tokens
        if now > self.since:  # a live proxy may serve before the time at which its bucket is full
            tokens += (now - self.since) * self.rate
        if tokens > self.burst:
            tokens = self.burst
        self.since = now
        if tokens < 1.0:
            self.tokens = tokens
            return False
        self.tokens = tokens - 1.0
        return True
