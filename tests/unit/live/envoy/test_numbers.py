"""Numbers as Envoy writes them, and which of ours it can't write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.live.envoy import numbers
from meshsim.units import UNLIMITED


def test_durations_and_counts() -> None:
    assert numbers.duration(0.0) == "0.000s"
    assert numbers.duration(0.025) == "0.025s"
    assert numbers.count(UNLIMITED) == 4294967295
    assert numbers.share(0.0001) == {"numerator": 100, "denominator": "MILLION"}


@pytest.mark.parametrize(
    ("rate", "tokens", "seconds"), [(100.0, 100, 1), (0.2, 1, 5), (1 / 3600, 1, 3600), (2.5, 5, 2)]
)
def test_a_refill_rate_is_whole_tokens_in_whole_seconds(rate: float, tokens: int, seconds: int) -> None:
    assert numbers.fill(rate) == (tokens, seconds)
    assert numbers.exact_fill(rate)


def test_a_rate_that_is_no_such_fraction_is_not_exact() -> None:
    assert numbers.exact_fill(3.14159265358979)  # 312689 tokens in 99532 s
    assert not numbers.exact_fill(1e-9)  # an interval of 32 years
    assert not numbers.exact_fill(1e10)  # more tokens than Envoy can count


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5).filter(any))
def test_integer_weights_stay_as_they_are(weights: list[int]) -> None:
    assert numbers.weights([float(weight) for weight in weights]) == weights
    assert numbers.exact_weights(weights)


def test_other_weights_keep_their_proportions_in_millionths() -> None:
    assert numbers.weights([0.5, 1.5]) == [250_000, 750_000]
    assert numbers.exact_weights([0.5, 1.5])
    assert not numbers.exact_weights([0.1, 0.2])  # thirds


@given(st.integers(0, 10**6))
def test_whole_units_are_exact(number: int) -> None:
    assert numbers.whole(1000 * (number / 1000))
    assert numbers.whole(10**6 * (number / 10**6))
    assert numbers.whole(100 * (number % 101 / 100))


def test_parts_of_units_are_not() -> None:
    assert not numbers.whole(1000 * 0.0005)
    assert not numbers.whole(10**6 * 1.5e-6)
    assert not numbers.whole(100 * 0.125)
