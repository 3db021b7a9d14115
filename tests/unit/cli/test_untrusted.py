"""What others have written never steers the terminal, whichever verb prints it; and no file's lines leak."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from meshsim.cli import app
from meshsim.errors import printable
from meshsim.lab.show import terminal
from meshsim.lab.show.sheets import Sheet
from meshsim.lab.validate.stages import Stage

EVIL = "\x1b]0;owned\x07\x9b2J\u202e\r\nmeshsim: all is well [red]x[/red] [/] $\\frac{$"
SCENARIO = f"""
name: {json.dumps(EVIL)}
description: {json.dumps(EVIL)}
duration: 2s
services: {{api: {{workers: 1, time: 5ms}}}}
load: [{{to: api, rate: 50/s}}]
"""


def plain(text: str) -> bool:
    """Whether nothing in it steers a terminal."""
    return printable(text, lines=True) == text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "evil.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("run evil.yaml --out out", 0),
        ("theory evil.yaml", 0),
        ("check evil.yaml", 0),
        ("compare evil.yaml --with services.api.time=6ms --replications 3 --jobs 1 --out out", 0),
        ("capacity evil.yaml --find load --objective api:p90<=1s --at-most 4 --jobs 1 --out out", 0),
        ("batch evil.yaml --jobs 1 --out out", 0),
        ("sweep evil.yaml --vary services.api.workers=1,2 --jobs 1 --out out", 0),
        ("check evil.yaml --set EVIL=1", 2),
        ("check evil.yaml --set services.EVIL=1", 2),
        ("run evil.yaml --engine EVIL", 2),
        ("sweep evil.yaml --vary EVIL=1,2 --out out", 2),
        ("sweep evil.yaml --vary name=EVIL,b --out out --jobs 1", 2),
        ("check EVIL", 2),
        ("import isotope EVIL", 2),
        ("run evil.yaml --out evil.yaml/EVIL", 2),
    ],
)
def test_no_verb_lets_a_name_steer_the_terminal(folder, words, code) -> None:
    result = CliRunner().invoke(app, [word.replace("EVIL", EVIL) for word in words.split()])
    assert result.exit_code == code, result.output
    assert plain(result.stdout), repr(result.stdout)
    assert plain(result.stderr), repr(result.stderr)
    assert "\nmeshsim: all is well" not in result.stdout


@pytest.mark.parametrize("name", ["empirical", "trace"])
def test_the_lines_of_a_file_that_a_scenario_names_are_not_told(folder, name) -> None:
    (folder / "secret").write_text("root:x:0:0:root:/root:/bin/bash\nhunter2\n")
    (folder / "secrets.csv").write_text("time,password\n1,a\nhunter2,b\n")
    change = {
        "empirical": "services.api.time={empirical: {file: secret}}",
        "trace": "load[0]={to: api, arrivals: {trace: {file: secret}}}",
    }[name]
    result = CliRunner().invoke(app, ["check", "evil.yaml", "--set", change])
    assert result.exit_code == 2
    assert "secret:1" in result.stderr
    assert "root" not in result.stderr
    result = CliRunner().invoke(app, ["check", "evil.yaml", "--set", change.replace("secret", "secrets.csv")])
    assert result.exit_code == 2
    assert "hunter2" not in result.stderr


def test_tables_and_bars_keep_the_terminal_as_it_is(monkeypatch) -> None:
    out = io.StringIO()
    screen = Console(file=out, width=400)
    terminal.show(screen, Sheet(EVIL, (EVIL, EVIL), [(EVIL, EVIL)], words=(1,)))
    terminal.Stages(screen)(Stage(EVIL, EVIL, 2.0), 1.0)
    assert plain(out.getvalue())
    assert out.getvalue().count("[red]x[/red]") == 7
    assert "\nmeshsim: all is well" not in out.getvalue().partition("(2 s)")[0].rpartition("\n\n")[0]
