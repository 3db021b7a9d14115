"""Messages, and how text of others gets into them."""

from __future__ import annotations

import pytest

from meshsim.errors import Problem, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [text]", "plain [text]"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("over\rwritten\tor\ntorn", r"over\rwritten\tor\ntorn"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\u202etxt.exe\u2066\u200f\u2028", r"\u202etxt.exe\u2066\u200f\u2028"),
        ("\ud83d alone, \U000e0041", r"\ud83d alone, \U000e0041"),
        ("注文 заказ \u3000 \u00a0", "注文 заказ \u3000 \u00a0"),
        ("👩\u200d💻 क्\u200cष", "👩\u200d💻 क्\u200cष"),
    ],
)
def test_what_steers_a_terminal_is_written_as_python_writes_it(text, shown) -> None:
    assert printable(text) == shown


def test_ends_of_lines_may_be_meant() -> None:
    assert printable("one\ntwo\x1b\r\n", lines=True) == "one\ntwo\\x1b\\r\n"


def test_a_problem_is_one_line_whatever_it_tells() -> None:
    problem = Problem("a\nb.yaml", 3, "x\x1b", "is\rno", "write\u202e")
    assert str(problem) == r"a\nb.yaml:3: x\x1b: is\rno (write\u202e)"
