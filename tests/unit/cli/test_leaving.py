"""Ctrl-C at any moment of the start, and closed or full streams: one line, an exit code, no traceback.

What remains is Python's own start, and some ms for the package itself, before any code of ours can listen.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = """
name: small
duration: 5s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
"""
VERBS = [
    "--help",
    "check s.yaml",
    "theory s.yaml",
    "run s.yaml --out out",
    "sweep s.yaml --vary services.api.workers=1,2 --jobs 1 --out out",
]
PRESSED = """
import signal, sys
from meshsim.__main__ import main
left = int(sys.argv.pop(1))

def press(event, _):
    global left
    left -= event == "import"
    if left == 0:
        left = -1
        signal.raise_signal(signal.SIGINT)

sys.addaudithook(press)
main()
"""
"""Ctrl-C where the n-th module is imported."""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "s.yaml").write_text(SMALL)
    return tmp_path


def clean(code: int, err: str, folder: Path) -> None:
    assert "Traceback" not in err, err
    assert "ignored in" not in err, err
    assert code in (0, 130), err
    assert all(line.startswith("meshsim: ") for line in err.splitlines()), err
    assert code == 0 or err, "it ended without a word"
    assert not list(folder.glob("out/*.part"))
    assert not list(folder.glob("out/.*.part"))


@pytest.mark.parametrize("words", VERBS)
@pytest.mark.parametrize(
    "moments", [(1, 400), pytest.param(range(1, 1500, 41), marks=pytest.mark.long)], ids=["few", "many"]
)
def test_ctrl_c_amid_imports_ends_it_in_one_line(folder, words, moments) -> None:
    codes = set()
    for moment in moments:
        command = [sys.executable, "-c", PRESSED, str(moment), *words.split()]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        clean(ended.returncode, ended.stderr, folder)
        codes.add(ended.returncode)
        if moment == 1:
            assert (ended.returncode, ended.stderr) == (130, "meshsim: interrupted\n")
    assert 130 in codes


@pytest.mark.long
@pytest.mark.parametrize("words", VERBS)
def test_ctrl_c_at_any_time_of_the_first_second(folder, words) -> None:
    for tenths in range(40):
        command = [sys.executable, "-m", "meshsim", *words.split()]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            time.sleep(tenths / 40)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=300)
        if "meshsim/cli" in err or process.returncode == 130:  # else Python was not ready, or it was done
            clean(process.returncode, err, folder)


@pytest.mark.parametrize(
    ("command", "code", "out"),
    [
        ("meshsim check s.yaml <&-", 0, "fine"),
        ("meshsim check - <&-", 2, "-: is empty"),
        ("meshsim import isotope - <&-", 2, "-: is empty"),
        ("meshsim check s.yaml >&-", 0, ""),
        ("meshsim check s.yaml 2>&-", 0, "fine"),
        ("meshsim check s.yaml <&- >&- 2>&-", 0, ""),
        ("meshsim check nope 2>&-", 2, ""),
        ("meshsim check nope 2>/dev/full", 2, ""),
        ("meshsim check s.yaml >/dev/full", 2, "No space left on device: the output is incomplete"),
        ("meshsim check s.yaml >/dev/full 2>/dev/full", 2, ""),
        ("meshsim theory s.yaml | head -c 1; exit ${PIPESTATUS[0]}", 0, "s"),
        ("(meshsim check nope 2>&1 >/dev/null; echo $? >code) | true; sleep 1; exit $(cat code)", 2, ""),
    ],
)
def test_streams_that_are_closed_full_or_gone(folder, command, code, out) -> None:
    program = f'meshsim() {{ "{sys.executable}" -m meshsim "$@"; }}; {command}'
    ended = subprocess.run(
        ["bash", "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == code, said
    assert out in said
    assert "Traceback" not in said


def test_sigterm_at_the_start_ends_it_at_once(folder) -> None:
    command = [sys.executable, "-c", PRESSED.replace("SIGINT", "SIGTERM"), "150", "run", "s.yaml"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, ended.stderr) == (-signal.SIGTERM, "")


def test_ctrl_c_while_files_are_written_leaves_no_part_of_them(folder) -> None:
    program = """
import signal
from pathlib import Path
from meshsim.leave import leaving
from meshsim.lab import files
leaving()

def torn(out):
    out.write(b"half")
    signal.raise_signal(signal.SIGINT)

try:
    files.write(Path("."), {"a": torn})
except KeyboardInterrupt:
    print([path.name for path in Path(".").iterdir()], flush=True)
signal.raise_signal(signal.SIGINT)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.stdout.splitlines() == ["['s.yaml']"]
    assert (ended.returncode, ended.stderr) == (130, "meshsim: interrupted\n")
