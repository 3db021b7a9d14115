"""A minute of fuzzing, in `make verify`; longer by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzz_wire.py"


@pytest.mark.long
def test_a_minute_of_fuzzing_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is for Linux and Python up to 3.13")
    command = [
        sys.executable,
        str(PROGRAM),
        "-max_total_time=60",
        "-max_len=1200",
        f"-artifact_prefix={tmp_path}/",
    ]
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "Done" in ended.stderr
