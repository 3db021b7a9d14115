"""The progress of many runs on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from meshsim.lab.show import terminal
from meshsim.lab.show.sheets import Sheet
from meshsim.lab.validate.stages import Stage


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    monkeypatch.setattr(terminal, "console", lambda *, stderr: console)
    return out


def test_runs_are_counted_and_those_of_before_are_no_speed(screen, monkeypatch) -> None:
    with terminal.runs_bar(quiet=False) as report:
        report(90, 100)
        monkeypatch.setattr("rich.progress.Task.elapsed", property(lambda task: 4.0))
        report(92, 100)
    assert "92/100" in screen.getvalue()
    assert "0.5/s" in screen.getvalue()


def test_nobody_watches(screen, monkeypatch) -> None:
    with terminal.runs_bar(quiet=True) as report:
        assert report is None
    monkeypatch.setattr(terminal, "console", lambda *, stderr: Console(file=screen))
    with terminal.runs_bar(quiet=False) as report:
        assert report is None
    assert screen.getvalue() == ""


SHEET = Sheet(
    "edges",
    ("edge", "rate", "p50", "p99", "retries", "inbound", "meaning"),
    [
        (
            "client -> shop",
            "84.94/s",
            "28.77 ms",
            "96.49 ms",
            "1,093",
            "http://127.0.0.1:42887",
            "as it should be",
        ),
        ("shop -> api", "9/s", "-", "-", "0", "-", "nobody is waited for any longer"),
    ],
    words=(5, 6),
)


def printed(sheet: Sheet, width: int) -> str:
    out = io.StringIO()
    terminal.show(Console(file=out, width=width), sheet)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_a_narrow_terminal_gets_narrow_tables_and_no_cell_is_cut(width: int) -> None:
    text = printed(SHEET, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for cell in [*SHEET.columns, *(cell for row in SHEET.rows for cell in row[:6])]:
        assert cell in text
    for word in " ".join(row[6] for row in SHEET.rows).split():  # sentences are folded between words
        assert word in text


def test_a_table_that_fits_is_one(screen) -> None:
    assert printed(SHEET, 140).count("edge ") == 1
    assert printed(SHEET, 60).count("edge ") > 1


def test_a_first_column_that_is_wide_itself_is_folded() -> None:
    text = printed(Sheet("", ("of", "value"), [("a name that is longer than all the rest", "1.234 ms")]), 30)
    assert "1.234 ms" in text
    assert "a name that" in text


def test_without_a_terminal_each_stage_is_a_line(monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(terminal, "console", lambda **_: Console(file=out, width=80))
    monkeypatch.setattr(terminal.Progress, "stop", lambda bar: bar.console.print())  # as rich up to 14.1
    with terminal.stages_bar(quiet=False) as watch:
        assert watch is not None
        for now in (0.0, 5.0):
            watch(Stage("queue", "calibrating", 10.0), now)
        watch(Stage("queue", "running live", 40.0), 0.0)
        watch.hide()
    assert out.getvalue() == "queue: calibrating (10 s)\nqueue: running live (40 s)\n"
    for silent in ({"quiet": True}, {"quiet": False, "lines": False}):
        with terminal.stages_bar(**silent) as watch:
            assert watch is None


def test_a_bar_is_gone_before_results_are_printed(monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(terminal, "console", lambda **_: Console(file=out, width=80, force_terminal=True))
    with terminal.stages_bar(quiet=False) as watch:
        assert watch is not None
        watch(Stage("queue", "simulating", 10.0), 10.0)
        watch.hide()
        before = len(out.getvalue())
        watch(Stage("queue", "calibrating", 10.0), 1.0)
        watch.hide()
        assert "simulating" not in out.getvalue()[before:]
        assert "calibrating" in out.getvalue()[before:]
