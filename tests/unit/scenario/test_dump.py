"""What is dumped reads well, and loads as what it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.scenario import dump, loads
from meshsim.scenario.document import parse

# Surrogates are no text; the rest of Unicode is
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(
        [
            "5ms",
            "10%",
            "on",
            "null",
            "~",
            "1e3",
            "0x1f",
            ".nan",
            "-",
            "a: b",
            "a #b",
            "<<",
            "5xx",
            "- x",
            "%x",
            "é",
        ]
    )
)
DOCUMENTS = st.dictionaries(
    TEXT,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=12,
    ),
    min_size=1,
    max_size=4,
)


def test_a_whole_scenario(whole):
    document = parse(whole, "s").value
    text = dump(document)
    assert parse(text, "s").value == document
    assert list(parse(text, "s").value) == list(document)
    assert loads(text) == loads(whole)


def test_it_reads_well():
    document = {
        "name": "shop",
        "duration": "60s",
        "services": {
            "web": {
                "workers": 8,
                "time": {"exponential": "5ms"},
                "script": [{"call": "db"}, [{"call": "a"}, {"call": "b"}]],
            },
            "db": {},
        },
        "policies": {"web -> db": {"timeout": "1s", "retries": {"attempts": 2, "on": ["5xx", "reset"]}}},
        "load": [{"to": "web", "rate": "100/s"}],
        "events": [],
    }
    assert dump(document) == (
        "name: shop\n"
        "duration: 60s\n"
        "\n"
        "services:\n"
        "  web:\n"
        "    workers: 8\n"
        "    time: {exponential: 5ms}\n"
        "    script:\n"
        "      - {call: db}\n"
        "      - [{call: a}, {call: b}]\n"
        "  db: {}\n"
        "\n"
        "policies:\n"
        '  "web -> db": {timeout: 1s, retries: {attempts: 2, on: [5xx, reset]}}\n'
        "\n"
        "load:\n"
        "  - {to: web, rate: 100/s}\n"
        "events: []\n"
    )


def test_truths_of_yaml_1_1_are_quoted():
    assert dump({"a": "on", "b": "No", "on": 1}) == 'a: "on"\nb: "No"\non: 1\n'


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_what_is_dumped_is_read_back(document):
    assert parse(dump(document), "s").value == document


@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), ValueError), (float("inf"), ValueError), ({1}, TypeError), ({1: 2}, TypeError)],
)
def test_what_yaml_has_no_form_for(value, error):
    with pytest.raises(error):
        dump({"a": value})
