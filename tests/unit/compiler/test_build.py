"""Which form is loaded, and what happens where nothing can be compiled: in copies of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meshsim import forms

ASK = "import meshsim.forms as f, meshsim.mesh.call as c; print(f.FORM, '|', f.FORM.reason, '|', c.__file__)"
SCENARIO = """
duration: 2s
services: {api: {time: {exponential: 10ms}}}
load: [{to: api, rate: 20/s}]
"""
needs_compiled = pytest.mark.skipif(
    not forms.FORM.compiled, reason=f"plain form: {forms.FORM.reason or 'wanted'}"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in a folder of its own."""
    shutil.copytree(forms.PACKAGE, tmp_path / "meshsim", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python on the copy."""
    kept = {name: value for name, value in os.environ.items() if name != "MESHSIM_FORM"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**kept, "PYTHONPATH": str(folder), **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@needs_compiled
def test_the_compiled_form_is_loaded_where_it_is_fresh(copy: Path) -> None:
    form, reason, file = python(copy, "-c", ASK).stdout.split("|")
    assert (form.strip(), reason.strip()) == ("compiled", "")
    assert Path(file.strip()).is_relative_to(copy / "meshsim" / "_compiled")


@needs_compiled
@pytest.mark.parametrize("source", ["mesh/call.py", "random.py", "compiler/rewrite.py"])
def test_a_stale_extension_is_never_loaded(copy: Path, source: str) -> None:
    with (copy / "meshsim" / source).open("a") as file:
        file.write("\n# changed\n")
    form, reason, place = python(copy, "-c", ASK).stdout.split("|")
    assert form.strip() == "plain"
    assert reason.strip() == "the compiled engine is older than its sources"
    assert place.strip().endswith("call.py")
    (copy / "s.yaml").write_text(SCENARIO)
    run = python(copy, "-m", "meshsim", "run", "s.yaml", "--replications", "2")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("older than its sources") == 1, "said once"
    assert "make build" in run.stdout
    assert "engine simpy" in run.stdout


@needs_compiled
def test_a_change_of_the_live_part_leaves_the_engine_compiled(copy: Path) -> None:
    with (copy / "meshsim" / "live" / "clock.py").open("a") as file:
        file.write("\n# changed\n")
    ask = ASK.replace("print(", "print(f.FORM.live, '|', ")
    assert python(copy, "-c", ask).stdout.startswith("False | compiled |  |")
    clock = "import meshsim.live.clock as c; print(c.__file__)"
    assert python(copy, "-c", clock).stdout.strip().endswith("clock.py")
    refused = python(copy, "-c", clock, MESHSIM_FORM="compiled")
    assert "MESHSIM_FORM=compiled, but the compiled proxy is older than its sources" in refused.stderr


@needs_compiled
def test_the_environment_chooses(copy: Path) -> None:
    assert python(copy, "-c", ASK, MESHSIM_FORM="plain").stdout.startswith("plain |  |")
    shutil.rmtree(copy / "meshsim" / "_compiled")
    refused = python(copy, "-c", ASK, MESHSIM_FORM="compiled")
    assert "MESHSIM_FORM=compiled, but the compiled engine is not built" in refused.stderr


@needs_compiled
def test_other_flags_make_another_build(copy: Path) -> None:
    asked = python(copy, "-c", ASK, MESHSIM_CFLAGS="-O1")
    assert asked.stdout.startswith("plain | the compiled engine was built with other flags")


def test_a_misspelt_form_is_told(copy: Path) -> None:
    asked = python(copy, "-c", ASK, MESHSIM_FORM="compield")
    assert "MESHSIM_FORM=compield is not a form of the mesh; write plain or compiled" in asked.stderr


@needs_compiled
def test_a_lost_extension_makes_all_plain(copy: Path) -> None:
    next((copy / "meshsim" / "_compiled").glob("engine.*")).unlink()
    assert python(copy, "-c", ASK).stdout.startswith("plain | the compiled engine is older")


@needs_compiled
def test_tracebacks_name_the_sources_file_and_line(copy: Path) -> None:
    lines = (copy / "meshsim" / "mesh" / "clock.py").read_text(encoding="utf-8").splitlines()
    line = lines.index("        sooner = timer.sooner") + 1
    broken = "from meshsim.mesh.clock import Clock, Deadlines; Deadlines(Clock(), 1.0).remove(None)"
    assert f'File "meshsim/mesh/clock.py", line {line}, in ' in python(copy, "-c", broken).stderr


@needs_compiled
def test_any_compiled_module_may_be_the_first(copy: Path) -> None:
    for module in ("live.proxy.listener", "live.wire.limits", "live.context", "engine.heap", "random"):
        assert python(copy, "-c", f"import meshsim.{module}").stderr == ""


def test_without_a_compiler_it_works_uncompiled_and_says_so(copy: Path) -> None:
    pytest.importorskip("Cython", reason="Cython, which translates, is not installed")
    built = python(copy, "-m", "meshsim.compiler", CC="no-such-compiler")
    assert built.returncode == 1
    assert "NOT COMPILED" in built.stderr
    assert "install a C compiler" in built.stderr
    assert not (copy / "meshsim" / "_compiled").exists()
    (copy / "s.yaml").write_text(SCENARIO)
    run = python(copy, "-m", "meshsim", "run", "s.yaml")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("The compiled engine is not built, so this runs some thirty times slower") == 1
    fast = python(copy, "-m", "meshsim", "run", "s.yaml", "--engine", "fast")
    assert "engine fast" in fast.stdout, "slow, but the same"
