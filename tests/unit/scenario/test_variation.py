"""Values that a sweep gives a key: units, ranges, lists."""

import pytest

from meshsim import units
from meshsim.scenario.variation import linspace, quantity, values, variation


@pytest.mark.parametrize(
    ("start", "stop", "count", "expected"),
    [
        ("100/s", "900/s", 5, ["100/s", "300/s", "500/s", "700/s", "900/s"]),
        ("10ms", "1s", 5, ["10ms", "257.5ms", "505ms", "752.5ms", "1000ms"]),
        ("0%", "50%", 3, ["0%", "25%", "50%"]),
        ("12/m", "1/s", 3, ["12/m", "36/m", "60/m"]),
        (0, "1s", 3, ["0s", "0.5s", "1s"]),
        ("2s", 0, 3, ["2s", "1s", "0s"]),
        (1, 5, 5, [1, 2, 3, 4, 5]),
        ("1", "4", 3, [1, 2.5, 4]),
        (0.0, 0.3, 4, [0, 0.1, 0.2, 0.3]),
        ("100us", "1ms", 4, ["100us", "400us", "700us", "1000us"]),
    ],
)
def test_a_range_keeps_its_unit(start, stop, count, expected) -> None:
    assert linspace(start, stop, count) == expected


@pytest.mark.parametrize(
    ("start", "stop", "count", "words"),
    [
        ("100/s", "1s", 3, "100/s to 1s is not a range"),
        ("10", "1s", 3, "10 to 1s is not a range"),
        ("10%", 1, 3, "10% to 1 is not a range"),
        ("fast", "1s", 3, "'fast' is not a number"),
        ("1s", "2s", 1, "1 values are no range"),
        ("1s", "2s", 10**9, "are no range"),
        (True, 2, 2, "true is not a number"),
    ],
)
def test_what_is_no_range(start, stop, count, words) -> None:
    with pytest.raises(ValueError, match=words):
        linspace(start, stop, count)


@pytest.mark.parametrize(
    ("text", "parse"),
    [
        ("25ms", units.duration),
        ("3 h", units.duration),
        ("12/m", units.rate),
        ("5 / ms", units.rate),
        ("5%", units.ratio),
    ],
)
def test_quantities_are_what_scenarios_read(text, parse) -> None:
    assert quantity(text).value == parse(text)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["100/s", "200/s"], ("100/s", "200/s")),
        ("100/s:300/s:3", ("100/s", "200/s", "300/s")),
        ([1, 2, "4:8:3"], (1, 2, 4, 6, 8)),
        (["random", {"least_request": {"choices": 3}}], ("random", {"least_request": {"choices": 3}})),
        ([True, False], (True, False)),
        (["a:b:3"], ("a:b:3",)),
    ],
)
def test_lists_and_ranges(written, expected) -> None:
    assert values(written) == expected


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("100/s", "is not a list"),
        (3, "3 is not a list"),
        ([], "is empty"),
        (["100ms", "0.1s"], "'0.1s' is there twice"),
        ([0.1, "10%"], "'10%' is there twice"),
        (["1:2:99999"], "are no range"),
    ],
)
def test_what_is_no_list_of_values(written, words) -> None:
    with pytest.raises(ValueError, match=words):
        values(written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("load[0].rate=100/s,200/s", ("load[0].rate", ["100/s", "200/s"])),
        ("a = 1:5:5", ("a", ["1:5:5"])),
        (
            "policies.cart.split={v1: 95, v2: 5},{v1: 1}",
            ("policies.cart.split", [{"v1": 95, "v2": 5}, {"v1": 1}]),
        ),
        ("links.a -> b.latency=1ms", ("links.a -> b.latency", ["1ms"])),
    ],
)
def test_the_option(text, expected) -> None:
    assert variation(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("load[0].rate", "has no ="),
        ("=3", "has no ="),
        ("a=[", "no values that can be"),
        ("a=1],[2", "no values"),
    ],
)
def test_what_is_no_option(text, words) -> None:
    with pytest.raises(ValueError, match=words):
        variation(text)
