"""The progress of many runs on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from meshsim.lab import terminal


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
