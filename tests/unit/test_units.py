"""Durations, rates, ratios and counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250us", 250e-6),
        ("250µs", 250e-6),
        ("12ns", 12e-9),
        ("25ms", 0.025),
        ("2s", 2.0),
        ("5m", 300.0),
        ("24h", 86400.0),
        ("1d", 86400.0),
        (" 1.5 s ", 1.5),
        (".5s", 0.5),
        ("1e-3s", 0.001),
        ("+1s", 1.0),
        ("0s", 0.0),
        (0, 0.0),
        (0.0, 0.0),
    ],
)
def test_durations(text, seconds):
    assert units.duration(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (250, "250 has no unit; write a duration such as 250ms or 250s"),
        (2.5, "2.5 has no unit"),
        ("250", "'250' is not a valid duration"),
        ("-5ms", "negative"),
        (-5, "-5 is not a valid duration"),
        ("5 minutes", "not a valid duration"),
        ("1e999s", "too large"),
        ("1e308h", "too large"),
        ("1e-320s", "'1e-320s' is too short; write 0s"),
        ("1e-95us", "too short"),
        (True, "true is not a valid duration"),
        (None, "nothing is not a valid duration"),
        ([1], "not a valid duration"),
        ({}, "not a valid duration"),
        (math.nan, "not a valid duration"),
        (math.inf, "not a valid duration"),
        (10**400, "a huge number is not a valid duration"),
        ("٣s", "not a valid duration"),
        ("x" * 10**6, "not a valid duration"),
    ],
)
def test_what_is_no_duration(value, words):
    with pytest.raises(
        ValueError, match=r"not a valid duration|has no unit|negative|too large|too short"
    ) as caught:
        units.duration(value)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "per_s"), [("200/s", 200.0), ("12/m", 0.2), ("3600/h", 1.0), ("2/ms", 2000.0), ("0/s", 0.0)]
)
def test_rates(text, per_s):
    assert units.rate(text) == pytest.approx(per_s, rel=1e-15)


@pytest.mark.parametrize("value", [200, 0, "200", "200/d", "-1/s", None, True, "1e999/s", 10**400])
def test_what_is_no_rate(value):
    with pytest.raises(ValueError, match=r"no unit|not a valid rate|negative|too large"):
        units.rate(value)


@pytest.mark.parametrize(
    ("value", "share"), [("5%", 0.05), ("0.1 %", 0.001), (0.05, 0.05), (0, 0.0), (1, 1.0), ("100%", 1.0)]
)
def test_ratios(value, share):
    assert units.ratio(value) == pytest.approx(share, rel=1e-15)


@pytest.mark.parametrize(
    "value", ["101%", 1.01, -0.1, "-1%", "0.05", 5, None, False, math.nan, 10**400, -(10**400)]
)
def test_what_is_no_ratio(value):
    with pytest.raises(ValueError, match=r"not a valid ratio|outside|negative"):
        units.ratio(value)


def test_counts():
    assert units.count("unlimited") == units.UNLIMITED
    assert units.count(7) == 7
    assert units.count(10**30) == units.UNLIMITED
    for wrong in (-1, 1.0, True, None, "7", "Unlimited", []):
        with pytest.raises(ValueError, match=r"no count"):
            units.count(wrong)


@given(st.just(0.0) | st.floats(min_value=1e-100, max_value=1e12))
def test_what_is_written_is_what_was_meant(seconds):
    assert units.duration(f"{seconds!r}s") == seconds
    assert units.rate(f"{seconds!r}/s") == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0125, "12.5ms"),
        (0.0, "0s"),
        (2.0, "2s"),
        (86400.0, "24h"),
        (3601.0, "3601s"),
        (3.2e-5, "32us"),
        (5e-9, "5ns"),
        (math.nan, units.NO_NUMBER),
        (math.inf, units.NO_NUMBER),
    ],
)
def test_durations_as_scenarios_have_them(seconds, text):
    assert units.show_duration(seconds) == text


def test_rates_and_ratios_as_scenarios_have_them():
    assert units.show_rate(200.0) == "200/s"
    assert units.show_ratio(0.0512) == "5.12%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0125, "12.5 ms"), (0.0, "0 s"), (-3.2e-5, "-32 us"), (5e-9, "5 ns"), (math.nan, units.NO_NUMBER)],
)
def test_durations_as_people_read_them(seconds, text):
    assert units.duration_text(seconds) == text


def test_ratios_as_people_read_them():
    assert units.ratio_text(0.0512) == "5.12 %"
    assert units.change_text(0.0123) == "+1.23 %"
    assert units.points_text(-0.0123) == "-1.23 pp"
