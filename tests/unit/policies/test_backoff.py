from __future__ import annotations

import pytest

from meshsim.policies.backoff import Backoff

FULL = (0.0, 1.0)
"""Jitter, as Envoy has it."""


def test_bounds_double_up_to_the_ceiling_as_in_envoys_code() -> None:
    backoff = Backoff(0.025, 0.25, *FULL)
    bounds = [backoff.wait(retry, 1.0) for retry in range(1, 7)]
    assert bounds == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.25, 0.25])


def test_jitter_is_full() -> None:
    backoff = Backoff(0.025, 0.25, *FULL)
    assert backoff.wait(3, 0.0) == 0.0
    assert backoff.wait(3, 0.5) == pytest.approx(0.05)


def test_any_number_of_retries_stays_at_the_ceiling() -> None:
    assert Backoff(0.025, 0.25, *FULL).wait(10_000, 0.999) == pytest.approx(0.24975)


def test_after_many_doublings_the_ceiling_still_holds() -> None:
    for retry in (31, 32, 33, 34, 61, 62, 65, 1000):
        assert Backoff(0.025, 0.25, *FULL).wait(retry, 0.5) == 0.125
        assert Backoff(1e-12, 1e9, *FULL).wait(retry, 0.5) == 0.5 * min(
            1e9, 1e-12 * 2.0 ** min(retry - 1, 60)
        )


def test_linkerd_adds_a_share_of_the_bound_and_keeps_to_the_ceiling() -> None:
    backoff = Backoff(0.1, 0.5, 1.0, 1.5)
    assert [backoff.wait(retry, 0.0) for retry in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.5]
    assert [backoff.wait(retry, 0.5) for retry in (1, 2, 3, 4)] == [0.125, 0.25, 0.5, 0.5]
    assert Backoff(0.1, 0.5, 1.0, 1.0).wait(2, 0.9) == 0.2
