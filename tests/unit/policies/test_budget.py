from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.policies.budget import EnvoyBudget, LinkerdBudget, MaxRetries


@pytest.mark.parametrize(
    ("in_flight", "limit"), [(1, 3), (15, 3), (19, 3), (20, 4), (25, 5), (50, 10), (55, 11)]
)
def test_envoys_limit_as_measured(in_flight: int, limit: int) -> None:
    """H hanging requests and the failing one: max(3, trunc(0.2 · (H + 1))), SEMANTICS 12b."""
    budget = EnvoyBudget(0.2, 3)
    assert budget.withdraw(limit - 1, in_flight, 0.0)
    assert not budget.withdraw(limit, in_flight, 0.0)


def test_max_retries_counts_slots() -> None:
    assert MaxRetries(3).withdraw(2, 1000, 0.0)
    assert not MaxRetries(3).withdraw(3, 1000, 0.0)


def test_linkerds_reserve_is_all_a_new_proxy_has() -> None:
    budget = LinkerdBudget(1.0, 5, 1.0, 0.0)
    assert [budget.withdraw(0, 0, 0.0) for _ in range(6)] == [True] * 5 + [False]


def test_linkerds_ratio_is_truncated() -> None:
    budget = LinkerdBudget(0.3, 0, 10.0, 0.0)  # acts as 1/3
    for _ in range(3):
        assert not budget.withdraw(0, 0, 0.0)
        budget.deposit(0.0)
    assert budget.withdraw(0, 0, 0.0)


def test_linkerds_deposits_leak() -> None:
    budget = LinkerdBudget(1.0, 0, 1.0, 0.0)
    budget.deposit(0.0)
    assert not budget.withdraw(0, 0, 3.0)


def test_linkerds_deposits_live_for_the_window() -> None:
    budget = LinkerdBudget(0.5, 0, 1.0, 0.0)
    budget.deposit(0.0)
    budget.deposit(0.0)
    assert budget.withdraw(0, 0, 0.901)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 0.5)), max_size=300), st.sampled_from([0.1, 0.2, 0.5, 1.0])
)
def test_linkerd_never_grants_more_than_its_share(history: list[tuple[bool, float]], ratio: float) -> None:
    budget = LinkerdBudget(ratio, 0, 10.0, 0.0)
    now, deposits, retries = 0.0, 0, 0
    for withdraws, later in history:
        now += later
        if withdraws:
            retries += budget.withdraw(0, 0, now)
        else:
            budget.deposit(now)
            deposits += 1
    assert retries <= ratio * deposits + 1e-9
