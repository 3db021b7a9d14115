"""Text that is no scenario is refused with one clear message, whatever it is."""

import io
import os
import sys
import types

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import load, loads

BASE = "duration: 10s\nservices: {a: {}}\nload: [{to: a, rate: 1/s}]\n"


def refusal(text):
    with pytest.raises(ScenarioError) as caught:
        loads(text, "s.yaml")
    (problem,) = caught.value.problems
    assert len(str(problem)) < 500
    assert "\n" not in str(problem)
    return problem


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED_LAUGHS = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [*{before},*{before},*{before},*{before}], y{name}: {{<<: *{before}}}}}\n"
    for before, name in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "is empty"),
        ("# a comment\n", 0, "is empty"),
        ("---\n", 0, "is empty"),
        ("hello", 1, "is not a mapping of keys"),
        ("- a\n- b\n", 1, "is not a mapping of keys"),
        ("null\n", 1, "is not a mapping of keys"),
        (BASE + "---\n" + BASE, 4, "a second document begins"),
        (LAUGHS, 5, "aliases stand for more than 10,000 values"),
        (MERGED_LAUGHS, None, "aliases stand for more than 10,000 values"),
        ("a: &a [*a]", 1, "the anchor 'a' contains itself"),
        ("a: *b", 1, "the anchor 'b' is not defined before it is used"),
        ("x" * 10_000_000, 0, "is larger than 1 MB"),
        ("a: 1\n" * 30_000, 0, "has more than 20,000 lines"),
        ("a: [" + "1,\n" * 19_000 + "1," * 5_000 + "]", 0, "has more than 20,000 commas"),
        ("a: " + "[" * 900_000, 1, "the line is longer than 10,000 characters"),
        ("a: " + "[" * 500, 1, "is nested deeper than 50 levels"),
        ("a: " + "[\n" * 15_000, 50, "is nested deeper than 50 levels"),
        ("a: " + "{a: " * 2_000, 1, "is nested deeper than 50 levels"),
        ("- " * 4_500, 1, "is nested deeper than 50 levels"),
        ("? " * 4_500, 1, "is nested deeper than 50 levels"),
        (
            "a: &a " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*a" + "]" * 30,
            2,
            "is nested deeper than 50 levels",
        ),
        (
            BASE + "name: !!python/object/apply:os.system ['ls']",
            4,
            "the tag !!python/object/apply:os.system is not taken",
        ),
        (BASE + "name: !foo x", 4, "the tag !foo is not taken"),
        (BASE + "seed: !!int '3'", 4, "the tag !!int is not taken"),
        (BASE + "name: ! x", 4, "the tag ! is not taken"),
        ("a: !!" + "x" * 9_000 + " 1", 1, "is not taken"),
        (BASE + "seed: .nan", 4, "'.nan' is not finite"),
        (BASE + "warmup: -.inf", 4, "'-.inf' is not finite"),
        (BASE + "seed: 1e999", 4, "'1e999' is not finite"),
        (BASE + "seed: " + "9" * 5_000, 4, "is too large a number"),
        (BASE + "seed: 0x" + "f" * 5_000, 4, "is too large a number"),
        (BASE + "seed: " + "v" * 9_000, 4, "is not a whole number"),
        (BASE + "seed: 1\nname: x\nseed: 2", 6, "the key is already on line 4"),
        (BASE + "mesh: {push_delay: 0, push_delay: 1s}", 4, "the key is already on line 4"),
        (BASE + "? [a]\n: 1", 4, "a key must be plain text"),
        (BASE + "mesh: {<<: 5}", 4, "<< merges mappings only"),
        ("duration: 10s\nservices:\n\ta: {}\n", 3, "(indent with spaces, not tabs)"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML: expected ',' or ']'"),
        ("a: b: c", 1, "mapping values are not allowed here"),
        ('a: "x', 1, "(close the quotes)"),
        ("import os\n\nprint()\n", 1, "is not a mapping of keys"),
        ('"""Python"""\n\nimport os\n', 1, "expected no more text but found text (a scenario is YAML text"),
        ("a:\n  - b\n c: 1\n", 3, "expected the end of the block but found a mapping"),
        ("a: @x", 1, "(put the text in quotes)"),
        ("%YAML 9.9\n---\n" + BASE, 1, "not YAML"),
        ("a: 1\nb: \0", 2, "not a text file"),
        ("a: \x07", 1, "not a text file"),
        ("a: \udc80", 1, "not a text file"),
        (BASE + '"a\\nb": 1', 4, "'a\\nb': unknown key"),
        (BASE + ": 1", 4, "unknown key"),
    ],
)
def test_hostile_text(text, line, words):
    problem = refusal(text)
    assert words in str(problem)
    assert line in (None, problem.line)


def test_keys_are_text_as_it_stands():
    with pytest.raises(ScenarioError) as caught:
        loads(BASE + "on: 1\nyes: 2\nnull: 3\n5: 4\n1.50: 5\n")
    assert [problem.key for problem in caught.value.problems] == ["on", "yes", "null", "5", "1.50"]


def test_words_are_yaml_1_2():
    scenario = loads(
        BASE.replace("{a: {}}", "{a: {script: [{call: no, optional: true}]}, no: {}}")
        + "name: 'off'\nseed: 0x10\nlinks: {default: {loss: 1e-2}}\n"
        + "policies: {no: {retries: {on: [5xx]}}}"
    )
    assert scenario.seed == 16
    assert scenario.policies["no"].retries is not None
    assert scenario.links["default"].loss == 0.01


def test_aliases_and_merge_keys_within_reason():
    scenario = loads(
        "duration: 10s\nload: [{to: a, rate: 1/s}]\n"
        "services:\n  a: &a {workers: 4, time: 5ms}\n  b: {<<: *a, workers: 8}\n"
        "  c: {<<: [{workers: 2}, *a]}\n  d: *a\n"
    )
    assert [service.workers for service in scenario.services.values()] == [4, 8, 2, 4]
    assert scenario.services["c"].time == scenario.services["a"].time


def test_line_ends_and_byte_order_marks(tmp_path):
    loads(BASE.replace("\n", "\r\n"))
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load(path).duration == 10.0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfea\x00", "is not UTF-8 text (line 1)"),
        (BASE.encode() + b"name: caf\xe9\n", "is not UTF-8 text (line 4)"),
        (b"\x7fELF\x02\x01\x01\x00", "not a text file"),
        (b"x" * 10_000_000, "is larger than 1 MB"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, words):
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load(str(path))
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_files_that_can_not_be_read(tmp_path):
    unreadable = tmp_path / "secret.yaml"
    unreadable.write_text(BASE)
    unreadable.chmod(0)
    cases = [
        (tmp_path / "nope.yaml", "no such file"),
        (tmp_path, "is a folder, not a file"),
        ("a\0b", "can't be read"),
        ("x" * 5000, "can't be read"),
        (BASE, "read a scenario's text with loads"),
    ]
    if os.geteuid() != 0:  # root may read everything
        cases.append((unreadable, "can't be read: Permission denied"))
    for path, words in cases:
        with pytest.raises(ScenarioError) as caught:
            load(path)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs an endless device")  # noqa: PTH110
def test_endless_files_end():
    with pytest.raises(ScenarioError, match="is larger than 1 MB"):
        load("/dev/zero")


def test_standard_input(monkeypatch):
    def give(data):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))

    give(BASE.encode())
    assert load("-", ["seed=9"]).seed == 9
    give(b"\xff")
    with pytest.raises(ScenarioError, match=r"^-: is not UTF-8 text"):
        load("-")
