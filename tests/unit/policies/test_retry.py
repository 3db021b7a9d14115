from __future__ import annotations

import pytest

from meshsim.policies.outcome import RATE_LIMITED, REFUSED, REJECTED, RESET, RESPONSE, TRY_TIMEOUT
from meshsim.policies.retry import CONDITIONS, RetryRule

# SEMANTICS sections 2.1 and 3, the table of docs/background/model.md
RETRIED = {
    (500, RESPONSE): {"5xx"},
    (503, RESPONSE): {"5xx", "gateway-error"},
    (504, RESPONSE): {"5xx", "gateway-error"},
    (505, RESPONSE): {"5xx"},
    (409, RESPONSE): {"retriable-4xx"},
    (429, RESPONSE): set(),
    (200, RESPONSE): set(),
    (429, RATE_LIMITED): {"envoy-ratelimited"},
    (503, RATE_LIMITED): {"envoy-ratelimited"},
    (200, RATE_LIMITED): {"envoy-ratelimited"},
    (503, REFUSED): {"connect-failure", "5xx", "gateway-error", "reset", "reset-before-request"},
    (503, RESET): {"5xx", "gateway-error", "reset"},
    (504, TRY_TIMEOUT): {"5xx", "gateway-error", "reset", "per-try-timeout"},
    (503, REJECTED): set(),
}


@pytest.mark.parametrize(("outcome", "under"), RETRIED.items())
def test_conditions(outcome: tuple[int, int], under: set[str]) -> None:
    for name, condition in CONDITIONS.items():
        assert RetryRule(1, condition).retriable(*outcome, now=0.0) == (name in under), name


@pytest.mark.parametrize(("outcome", "under"), RETRIED.items())
def test_statuses_are_those_of_the_upstreams_responses(outcome: tuple[int, int], under: set[str]) -> None:
    rule = RetryRule(1, 0, statuses=frozenset({200, 409, 503, 504}))
    responses = {(200, RESPONSE), (409, RESPONSE), (503, RESPONSE), (504, RESPONSE)}
    assert rule.retriable(*outcome, now=0.0) == (outcome in responses)


def test_istios_default_list_retries_neither_errors_nor_time_outs() -> None:
    rule = RetryRule(2, CONDITIONS["connect-failure"] | CONDITIONS["refused-stream"])
    assert not rule.retriable(503, RESPONSE, 0.0)
    assert not rule.retriable(504, TRY_TIMEOUT, 0.0)
    assert rule.retriable(503, REFUSED, 0.0)
