"""Which failures are worth another try, how often, and after what wait.

Retries turn independent failures into successes: with failure probability p and r retries, p^(r+1) remains.
They also multiply load when failures are *not* independent: an overloaded upstream that times out gets (1 +
r) times its load and stays overloaded after the cause is gone. So the rule here only says what may be
retried; a budget (`budget.py`) says how much of it.

States of a call seen from here: not retriable -> the response is the answer; retriable, retries left, budget
grants -> back-off -> another try; retriable, none left -> URX; refused by the budget -> UO.

Source: Envoy, source/common/router/retry_state_impl.cc. The conditions are those of `x-envoy-retry-on` and
`x-envoy-retry-grpc-on`; `per-try-timeout` is Linkerd's, which retries its own time-out of a try and no reset
(linkerd2-proxy, linkerd/app/outbound/src/http/logical/policy/route/retry.rs).
"""

from __future__ import annotations

from meshsim.policies.backoff import Backoff
from meshsim.policies.outcome import RATE_LIMITED, REFUSED, REJECTED, RESPONSE, TRY_TIMEOUT

FIVE_XX = 1
GATEWAY_ERROR = 2
ON_RESET = 4
CONNECT_FAILURE = 8
REFUSED_STREAM = 16
RESET_BEFORE_REQUEST = 32
RETRIABLE_4XX = 64
ENVOY_RATELIMITED = 128
STATUSES = 256
PER_TRY_TIMEOUT = 512

CONDITIONS = {
    "5xx": FIVE_XX,
    "gateway-error": GATEWAY_ERROR,
    "reset": ON_RESET,
    "connect-failure": CONNECT_FAILURE,
    "refused-stream": REFUSED_STREAM,
    "reset-before-request": RESET_BEFORE_REQUEST,
    "retriable-4xx": RETRIABLE_4XX,
    "envoy-ratelimited": ENVOY_RATELIMITED,
    "per-try-timeout": PER_TRY_TIMEOUT,
    **dict.fromkeys(("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"), 0),
}
"""By name; those of gRPC are here for the policies that name them: no response in this mesh is gRPC's."""


class RetryRule:
    """Envoy's retry conditions and count. Subclass it to decide otherwise.

    One rule serves one caller proxy and service, so a subclass may keep state.

    Attributes:
        attempts: tries beyond the first, at most.
        conditions: what is retried, a sum of the constants above.
        statuses: responses with these are retried too, whatever the conditions.
        backoff: the wait before each retry.
    """

    conditions: int
    backoff: Backoff

    def __init__(
        self, attempts: int = 1, conditions: int = FIVE_XX, backoff: Backoff | None = None,
        statuses: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.attempts = attempts
        self.conditions = conditions | STATUSES if statuses else conditions
        self.backoff = Backoff(0.025, 0.25, 0.0, 1.0) if backoff is None else backoff
        self.statuses = statuses

    def retriable(self, status: int, cause: int, now: float) -> bool:
        """Whether a try that ended like this is worth another.

        Args:
            status: HTTP status the caller would see.
            cause: RESPONSE, RATE_LIMITED, REFUSED, RESET or TRY_TIMEOUT of `outcome.py`.
            now: s.
        """
        if cause == RESPONSE:
            if status >= 500 and self.conditions & FIVE_XX:
                return True
            if 502 <= status <= 504 and self.conditions & GATEWAY_ERROR:
                return True
            if status == 409 and self.conditions & RETRIABLE_4XX:
                return True
            return self.conditions & STATUSES != 0 and status in self.statuses
        if cause == RATE_LIMITED:  # whatever its status
            return self.conditions & ENVOY_RATELIMITED != 0
        if cause == REFUSED:
            return (
                self.conditions
                & (FIVE_XX | GATEWAY_ERROR | ON_RESET | CONNECT_FAILURE | RESET_BEFORE_REQUEST)
                != 0
            )
        if cause == TRY_TIMEOUT and self.conditions & PER_TRY_TIMEOUT:
            return True
        return cause != REJECTED and self.conditions & (FIVE_XX | GATEWAY_ERROR | ON_RESET) != 0

    def wait(self, retry: int, u: float) -> float:
        """Seconds before retry number `retry` (from 1), for a uniform u on [0, 1)."""
        return self.backoff.wait(retry, u)
