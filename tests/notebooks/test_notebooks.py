"""Every lesson is executed as a student would, and its key figures, exercises and two files are checked."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted((REPOSITORY / "notebooks").glob("[0-9]*.py"))
ALLOWED = {"meshsim", "matplotlib", "numpy", "pandas", "ipywidgets"}
"""What a lesson may import beside the standard library: the package, its dependencies, and `meshsim[lab]`."""

ANSWERS_01 = {
    "exercise-a": (
        ("def whole(n, p, r):\n    return (1 - p ** (r + 1)) ** n", "right, 4 of 4"),
        ("def whole(n, p, r):\n    return (1 - p**r) ** n", "not yet"),  # counts the retries, not the tries
        ("def whole(n, p, r):\n    return 1 - n * p ** (r + 1)", "not yet"),  # good for small n · p only
        ("whole = 0.95", "`whole` is not a function any longer"),
    ),
    "exercise-b": (
        (
            'MINE = """\npolicies:\n  parts:\n    retries: {attempts: 2, backoff: {base: 2ms}}\n"""',
            "01b: right",
        ),
        ('MINE = """\npolicies:\n  parts:\n    retries: {attempts: 2}\n"""', "not yet"),
        ('MINE = """\npolicies:\n  parts:\n    retries: {attempts: 1, backoff: {base: 1ms}}\n"""', "not yet"),
        ('MINE = """\npolicies:\n  parts:\n    retry: {attempts: 2}\n"""', "write retries"),
        (
            'MINE = """\npolicies:\n  parts:\n    retries: {attempts: 9, backoff: {base: 2ms}}\n"""',
            "so it does with one retry less",
        ),
        ("MINE = {'policies': {}}", "MINE has to be text"),
    ),
    "exercise-c": (
        ('verdict = {"first": "app", "second": "control plane", "third": "data plane"}', "third: right"),
        ('verdict = {"first": "data plane", "second": "app", "third": "app"}', "third: not yet"),
        ("verdict = 'app'", "not yet: `verdict` has to have a word for each"),
    ),
}


class Lesson:
    """A lesson in a kernel, all its cells executed once."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.notebook = jupytext.read(source)
        self.client = NotebookClient(
            self.notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )

    def execute_all(self) -> None:
        for index, cell in enumerate(self.notebook.cells):
            self.client.execute_cell(cell, index)

    def place(self, tag: str) -> int:
        """The index of the cell with a tag."""
        return next(i for i, cell in enumerate(self.notebook.cells) if tag in cell.metadata.get("tags", ()))

    def execute(self, source: str, index: int = 0) -> str:
        """What a cell prints that is executed in place of another."""
        cell = nbformat.v4.new_code_cell(source)
        before = self.notebook.cells[index]
        self.client.execute_cell(cell, index)
        self.notebook.cells[index] = before
        return printed(cell)

    def value(self, expression: str) -> Any:
        """A value out of the kernel."""
        return json.loads(self.execute(f"import json\nprint(json.dumps({expression}))"))


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.get("outputs", ()) if output.output_type == "stream")


@pytest.fixture(scope="module", params=SOURCES, ids=lambda path: path.stem)
def lesson(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """Each lesson, executed in an empty folder of its own: it finds nothing there but the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        found = Lesson(request.param, tmp_path_factory.mktemp("student"))
        with found.client.setup_kernel():
            found.execute_all()
            yield found


def test_runs_from_the_top_without_a_word_on_standard_error(lesson: Lesson) -> None:
    outputs = [output for cell in lesson.notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3


def test_an_exercise_that_nobody_has_solved_says_so(lesson: Lesson) -> None:
    checks = [c for c in lesson.notebook.cells if any("check-" in t for t in c.metadata.get("tags", ()))]
    assert checks
    for cell in checks:
        assert "not yet" in printed(cell)
        assert ": right" not in printed(cell)


def test_lesson_01_shows_what_it_says(lesson: Lesson) -> None:
    if "def whole" not in "".join(cell.source for cell in lesson.notebook.cells):
        pytest.skip("another lesson")
    for name, truth in {"dumb": 0.99**5, "library": 0.9999**5, "sidecar": 0.9999**5}.items():
        requests = lesson.value(f"runs[{name!r}].summary['requests']")
        deviation = sqrt(truth * (1.0 - truth) / requests["completed"])
        assert requests["completed"] > 5_000
        assert abs(requests["success_ratio"] - truth) < 2.576 * deviation  # the 99 % binomial interval
    means = lesson.value("{name: run.summary['latency']['mean'] for name, run in runs.items()}")
    assert means["sidecar"] - means["library"] == pytest.approx(6 * 0.2e-3, abs=0.1e-3)
    tries = lesson.value("table.loc['sidecar', 'tries per call']")
    assert tries == pytest.approx(1.01, abs=0.005)
    late = lesson.value(
        "{name: int(run.series.query(\"kind == 'client' and 30 <= time < 40\").ok.sum())"
        " for name, run in hurt.items()}"
    )
    assert late["without"] > 900
    assert late["with the three lines"] < 10
    before = lesson.value("float(broken[broken.index < 20].mean())")
    after = lesson.value("float(broken[(broken.index >= 22) & (broken.index < 40)].mean())")
    assert 4.0 < before < 6.5
    assert after < 0.3


def test_a_lesson_has_still_pictures_where_there_are_no_widgets(lesson: Lesson) -> None:
    knob = lesson.place("knob")
    lesson.execute("import sys\nsys.modules['ipywidgets'] = None")
    said = lesson.execute(lesson.notebook.cells[knob].source, knob)
    lesson.execute("del sys.modules['ipywidgets']")
    assert "no ipywidgets" in said


@pytest.mark.parametrize("exercise", ANSWERS_01)
def test_lesson_01_tells_right_answers_from_wrong_ones(lesson: Lesson, exercise: str) -> None:
    if "def whole" not in "".join(cell.source for cell in lesson.notebook.cells):
        pytest.skip("another lesson")
    place, check = lesson.place(exercise), lesson.place(exercise.replace("exercise", "check"))
    for answer, verdict in ANSWERS_01[exercise]:
        lesson.execute(answer, place)
        assert verdict in lesson.execute(lesson.notebook.cells[check].source, check), answer


def test_a_prediction_of_any_kind_is_shown(lesson: Lesson) -> None:
    compared = lesson.place("compare")
    for prediction in ("5", "None", "[1, 2]", '{"calls": ["B"], "broken": "many"}'):
        lesson.execute(f"prediction = {prediction}")
        lesson.execute(lesson.notebook.cells[compared].source, compared)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_answer_stands_in_the_notebook(source: Path) -> None:
    """Cells that check call the package, and hold nothing but that."""
    cells = [cell for cell in jupytext.read(source).cells if cell.cell_type == "code"]
    for cell in cells:
        if any(tag.startswith("check-") for tag in cell.metadata.get("tags", ())):
            assert re.fullmatch(r"print\(lesson\d\d\.check_\w+\([\w, ]+\)\)", cell.source), cell.source
    assert "RIGHT" not in "".join(cell.source for cell in cells)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_says_what_its_source_says(source: Path) -> None:
    written = jupytext.read(source)
    opened = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(opened)
    assert [plain(cell) for cell in opened.cells] == [plain(cell) for cell in written.cells]
    assert opened.metadata["meshsim"] == written.metadata["meshsim"]
    assert {"id", "title", "minutes", "difficulty", "needs", "scenarios"} <= set(opened.metadata["meshsim"])
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in opened.cells)


def plain(cell: Any) -> tuple[str, str, list[str]]:
    return cell.cell_type, cell.source, list(cell.metadata.get("tags", ()))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lesson_names_nothing_outside_the_package(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in ALLOWED | sys.stdlib_module_names, name
        if isinstance(node, ast.Name):
            assert node.id not in ("open", "Path"), "a lesson reads no files"
    named = jupytext.reads(text, fmt="py:percent").metadata["meshsim"]["scenarios"]
    for scenario in [
        *(f"scenarios/{name}.yaml" for name in named),
        *re.findall(r"scenarios/[\w-]+\.yaml", text),
    ]:
        assert (REPOSITORY / scenario).is_file(), scenario
    for path in re.findall(r"(?:/home|/work|/tmp|/root|[A-Z]:\\)\S*", text):
        pytest.fail(f"a path of one machine: {path}")
