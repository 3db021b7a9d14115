"""The house's own rules, held by a test: import direction, purity of policies, sizes, docstrings."""

from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "meshsim"
FILES = sorted(ROOT.rglob("*.py"))

# What each part may import, from the top down; `scenario` stands on `mesh` for the machines it builds.
BELOW = [
    ("cli",),
    ("course",),
    ("lab",),
    ("live", "interop", "plot"),
    ("engine", "reference", "theory"),
    ("measure",),
    ("scenario",),
    ("mesh",),
    ("policies",),
    ("compiler",),
    ("random", "units", "errors", "forms", "leave", "plain"),
]
LEVEL = {part: len(BELOW) - number for number, parts in enumerate(BELOW) for part in parts}

ONLY = {
    "simpy": {"engine", "reference"},
    "asyncio": {"live"},
    "matplotlib": {"plot"},
    "cython": {"compiler"},
    "Cython": {"compiler"},
    "setuptools": {"compiler"},
    "typer": {"cli"},
    "rich": {"cli", "lab"},
    "joblib": {"lab"},
    "distributed": {"lab"},
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def part(file: Path) -> str:
    """The part of the package that a file belongs to: a folder, or a module at the top."""
    inside = file.relative_to(ROOT)
    return inside.parts[0].removesuffix(".py")


def module(file: Path) -> str:
    """The name by which a file is imported."""
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> list[str]:
    """Every module that a file imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    own = part(file)
    if own in ("__init__", "__main__"):
        return
    for name in imports(file):
        parts = name.split(".")
        if parts[0] != "meshsim" or len(parts) < 2 or parts[1] not in LEVEL or parts[1] == own:
            continue
        foundation = LEVEL[parts[1]] == LEVEL[own] == 1
        assert foundation or LEVEL[parts[1]] < LEVEL[own], f"{own} must not import {name}"


def test_no_imports_make_a_circle() -> None:
    """Those for types alone included: of two that need each other, one knows the other by a protocol."""
    modules = {module(file): file for file in FILES}
    below = {
        name: {
            next((each for each in (one, one.rpartition(".")[0]) if each in modules), "")
            for one in imports(file)
        }
        for name, file in modules.items()
    }
    graphlib.TopologicalSorter(below).prepare()  # raises a CycleError, which shows the circle


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_libraries_stay_where_they_belong(file: Path) -> None:
    own = part(file)
    for name in imports(file):
        allowed = ONLY.get(name.split(".")[0])
        assert allowed is None or own in allowed, f"{own} must not import {name}"


def test_the_mesh_and_its_policies_stand_on_the_standard_library_alone() -> None:
    standard = {"__future__", "typing", "math", "collections", "array", "dataclasses", "heapq", "enum"}
    for file in FILES:
        if part(file) in ("mesh", "policies"):
            for name in imports(file):
                assert name.split(".")[0] in standard | {"meshsim"}, f"{file}: {name}"
                assert "asyncio" not in name
                assert "random" not in name or name.startswith("meshsim.random") or part(file) == "mesh", name


def test_the_reference_is_a_second_telling() -> None:
    for file in FILES:
        if part(file) == "reference":
            for name in imports(file):
                assert not name.startswith(("meshsim.mesh", "meshsim.policies", "meshsim.engine")), (
                    f"{file}: {name}"
                )
                assert name != "meshsim.scenario.machines", f"{file}: {name}"


def test_no_clock_and_no_generator_outside_the_edges() -> None:
    for file in FILES:
        if part(file) in ("mesh", "policies", "scenario", "theory", "random"):
            for name in imports(file):
                assert name.split(".")[0] not in ("time", "datetime", "random", "secrets"), f"{file}: {name}"
                assert not name.startswith("numpy.random"), f"{file}: {name}"


def test_text_of_others_is_printed_in_one_place() -> None:
    """`meshsim.cli.app` and `meshsim.lab.show.terminal` escape what steers a terminal; nobody goes past."""
    own = {"cli/app.py", "compiler/build.py", "live/troubles.py"}
    for file in FILES:
        name, text = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        assert name == "lab/show/terminal.py" or "markup import" not in text, name
        for call in re.findall(r"^ *print\(.*", text, re.MULTILINE):
            assert name in own or call.strip().startswith(("print(json.dumps(", "print(shown)")), name


def test_files_and_functions_can_be_read_in_one_sitting() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= LONGEST_FILE, f"{file} is too long: split it where the idea splits"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{file}:{node.lineno} {node.name} has {length} lines"


def test_what_a_base_class_asks_for_is_documented() -> None:
    """Overrides inherit their docstrings, so ruff's D102 is off; whoever asks for one says what it is."""
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef) or node.bases or node.name.startswith("_"):
                continue
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    assert ast.get_docstring(method), f"{file}:{method.lineno} {node.name}.{method.name}"


VERBS = {"run", "sweep", "compare", "capacity", "run_live", "validate", "solve", "batch", "access"}
"""Of the command line, as functions."""


def test_the_public_face_is_every_verb_and_little_else() -> None:
    import meshsim

    assert set(meshsim.__all__) >= VERBS
    assert len(set(meshsim.__all__) - VERBS) <= 11
    assert all(callable(getattr(meshsim, name)) for name in meshsim.__all__)
