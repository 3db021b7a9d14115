"""Local rate limit: a token bucket that keeps a caller under a rate, whatever it would like.

It protects an upstream without asking it, at the price of refusing at the first burst above `burst` even
when the upstream is idle. Every proxy has its own bucket: n callers together may send n times the rate.

Starts full; refills continuously, on access; a request takes one token or is answered 429 with the flag RL.
The reply is the proxy's own, before the router: the same proxy never retries it.

What is in the bucket is found from the last time it was full and the tokens taken since, as a sum of many
refills would round as often. A token is whole from a nanosecond before its time on: evenly spaced requests
at the bucket's own rate come at times that are rounded, and none of them comes too soon. What was missing is
owed, so no rounding ever adds up to a token. Known failure mode: with `burst: 1` a real proxy refuses many of
such requests all the same, since one that is delayed by a microsecond makes the next one early.

Source: Envoy, local_rate_limit filter; since 1.31 the refill is continuous (measured on 1.40). It keeps the
instant at which the bucket was empty, in whole nanoseconds (common/token_bucket_impl.cc).
"""

from __future__ import annotations

from typing import final

from meshsim.units import RESOLUTION


@final
class TokenBucket:
    """A bucket of at most `burst` tokens that gains `rate` a second.

    Attributes:
        since: when it was full, s.
        taken: tokens since then.
        whole: what counts as a token.
    """

    whole: float

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self.burst = burst
        self.rate = rate
        self.since = now
        self.taken = 0.0
        self.whole = 1.0 - rate * RESOLUTION

    def take(self, now: float) -> bool:
        """Takes a token, if there is a whole one."""
        missing = self.taken
        if now > self.since:  # a live proxy may serve before the time at which its bucket is full
            missing -= (now - self.since) * self.rate
        if missing <= 0.0:
            self.since = now
            self.taken = 1.0
            return True
        if self.burst - missing < self.whole:
            return False
        self.taken += 1.0
        return True
