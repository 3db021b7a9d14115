"""A recorded live run, played to the simulator's classes: they take the proxy's decisions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="the live extra is not installed")


def test_the_tape_of_a_live_proxy_leads_to_the_same_decisions() -> None:
    program = Path(__file__).with_name("tape.py")
    said = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "MESHSIM_FORM": "plain", "PYTHONPATH": str(program.parents[2])},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    decisions = re.match(r"(\d+) decisions, all the same", said.stdout)
    assert decisions is not None, said.stdout
    assert int(decisions[1]) > 500
    for kind in ("open", "send", "abandon", "drain", "answer 200", "answer 503 UO", "answer 503 FI", "URX"):
        assert kind in said.stdout
