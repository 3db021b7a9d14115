"""What the documentation says is true: its code runs, its output is seen, its names and links exist."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import meshsim
from meshsim import random
from meshsim.cli import app
from meshsim.measure import requests, series, spans
from meshsim.scenario import schema

REPOSITORY = Path(__file__).parents[2]
GUIDES = sorted((REPOSITORY / "docs" / "guides").glob("*.md"))
REFERENCE = {"scenario-reference", "imports", "extend"}  # looked up, not read first: they need no picture
MEASURED = {"laws", "presets"}  # their tables are what a program prints
RUN = [REPOSITORY / "README.md", *GUIDES]
ALL = [*RUN, REPOSITORY / "CHANGELOG.md", REPOSITORY / "notebooks" / "README.md"]
ALL += sorted((REPOSITORY / "docs").glob("*.md")) + sorted((REPOSITORY / "docs" / "background").glob("*.md"))
BLOCK = re.compile(r"^```(python|yaml|console)(?: (\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))


# ---- what can be run --------------------------------------------------------------------------------


@pytest.mark.parametrize("file", RUN, ids=name)
def test_what_a_page_shows_is_what_happens(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's blocks in order: Python is executed, YAML saved under its name, consoles are compared."""
    mpl.use("Agg")
    shutil.copytree(REPOSITORY / "scenarios", tmp_path / "scenarios")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for language, title, text in BLOCK.findall(file.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(text, f"{name(file)}: {text.splitlines()[0]}", "exec"), names)
        elif language == "yaml" and title:
            Path(title).write_text(text, encoding="utf-8")
        elif language == "console":
            for command, *expected in consoles(text):
                compare(expected, output_of(command))


def consoles(text: str) -> list[list[str]]:
    """Each command of a block with the lines that it is said to print."""
    return [part.splitlines() for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


def output_of(command: str) -> list[str]:
    """What a command prints, on either stream; `> file` and `cat` are all the shell there is."""
    words = shlex.split(command)
    target = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if target else words
    if words[0] == "cat":
        return Path(words[1]).read_text(encoding="utf-8").splitlines()
    assert words[0] == "meshsim", command
    result = CliRunner().invoke(app, words[1:])
    assert result.exception is None or isinstance(result.exception, SystemExit), command
    if target:
        Path(target).write_text(result.stdout, encoding="utf-8")
        return result.stderr.splitlines()
    return result.output.splitlines()


def compare(expected: list[str], printed: list[str]) -> None:
    """The expected lines must be printed in this order, without others between but for `...`.

    How far words stand apart does not count: a wider number elsewhere in a table moves them.
    """
    lines = [line for line in map(squeezed, printed) if line]
    place, gap = 0, False
    for line in filter(None, map(squeezed, expected)):
        if line == "...":
            gap = True
            continue
        where = lines.index(line, place) if gap and line in lines[place:] else place
        assert lines[where : where + 1] == [line], "\n".join(["printed is:", *lines])
        place, gap = where + 1, False


def squeezed(line: str) -> str:
    return " ".join(line.split())


def test_every_guide_that_shows_code_is_run() -> None:
    shown = [file for file in ALL if BLOCK.search(file.read_text(encoding="utf-8"))]
    assert set(shown) <= set(RUN) | {REPOSITORY / "docs" / "background" / "theory.md"}


# ---- what refers to something -----------------------------------------------------------------------


@pytest.mark.parametrize("file", ALL, ids=name)
def test_links_lead_somewhere(file: Path) -> None:
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (file.parent / path).resolve() if path else file
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*?)(?: <!--.*-->)?$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", ALL, ids=name)
def test_no_page_names_a_place_of_one_machine(file: Path) -> None:
    found = re.findall(r"(?<![\w.])/(?:home|root|tmp|work|Users)/\S*", file.read_text(encoding="utf-8"))
    assert not found


def test_the_picture_of_the_readme_is_small() -> None:
    assert (REPOSITORY / "docs" / "images" / "retry-storm.png").stat().st_size < 200_000


def test_architecture_names_what_the_code_has() -> None:
    text = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    classes: dict[str, list[type]] = {}
    classes.update((key, [value]) for key, value in vars(random).items() if isinstance(value, type))
    for part in (
        "policies",
        "mesh",
        "engine",
        "scenario",
        "measure",
        "live",
        "live.identity",
        "live.intercept",
        "live.proxy",
        "live.roles",
        "live.tls",
    ):
        package = importlib.import_module(f"meshsim.{part}")
        for module in pkgutil.iter_modules(package.__path__, f"meshsim.{part}."):
            if module.name.endswith("__main__"):
                continue
            for key, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, type):
                    classes.setdefault(key, []).append(value)
    methods = set(re.findall(r"`([A-Z]\w+)\.(\w+)`", text))
    assert len(methods) > 50
    for owner, method in sorted(methods):
        assert any(hasattr(each, method) for each in classes[owner]), f"{owner}.{method}"
    words = {"None", "Environment", "Scenario", "Simplified"}
    for owner in set(re.findall(r"`([A-Z]\w+)`", text)) - words:
        assert owner in classes, owner
    for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text):
        assert any((REPOSITORY / root / path).exists() for root in (".", "meshsim", "docs")), path


# ---- commands ---------------------------------------------------------------------------------------


def verbs(group: Any, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All commands by the words that call them."""
    found: dict[tuple[str, ...], Any] = {}
    for word, command in group.commands.items():
        inside = hasattr(command, "commands")
        whole = (*words, *word.split())
        found |= verbs(command, whole) if inside else {whole: command}
    return found


VERBS = verbs(get_command(app))


def verb_of(words: Sequence[str]) -> tuple[str, ...]:
    by_length = sorted(VERBS, key=len, reverse=True)
    return next(verb for verb in by_length if tuple(words[: len(verb)]) == verb)


def test_the_readme_lists_every_verb_with_options_that_there_are() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    listed = set()
    for command, does in re.findall(r"^\| `meshsim ([^`]*)` \| (.*) \|$", text, re.MULTILINE):
        verb = verb_of(command.split())
        listed.add(verb)
        options = {option for each in VERBS[verb].params for option in each.opts}
        assert set(re.findall(r"--[\w-]+", does)) <= options, command
        accepted(command.replace("...", ""))
    assert listed == set(VERBS)


def accepted(command: str) -> None:
    """Raises what the command line says if something is missing, or too much; nothing is run."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    words = words[: next((place for place, word in enumerate(words) if word in SHELL), len(words))]
    verb = verb_of(words)
    VERBS[verb].make_context(verb[-1], words[len(verb) :])


SHELL = (">", "2>", "|", "&&", "&")


def shown(text: str) -> list[str]:
    """Commands that begin a line, after a $ or not."""
    return re.findall(r"^(?:\$ )?meshsim ((?:.*\\\n)*.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("file", ALL, ids=name)
def test_commands_are_accepted_as_config(file: Path) -> None:
    """No option or argument is missing, and none is unknown; what they print is compared elsewhere."""
    for command in shown(file.read_text(encoding="utf-8")):
        if command.split()[0] in {verb[0] for verb in VERBS}:
            accepted(command.replace("[...]", "").replace("...", ""))


@pytest.mark.parametrize("verb", sorted(VERBS), ids=" ".join)
def test_examples_of_the_help_are_accepted(verb: tuple[str, ...]) -> None:
    for command in shown(re.sub("^ +", "", VERBS[verb].epilog or "", flags=re.MULTILINE)):
        accepted(command)


# ---- what lists everything --------------------------------------------------------------------------


def test_the_scenario_reference_has_every_key_and_default() -> None:
    text = (REPOSITORY / "docs" / "guides" / "scenario-reference.md").read_text(encoding="utf-8")
    sections = {}
    for models, body in re.findall(
        r"^#+ [^\n]*<!-- (.*?) -->\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL
    ):
        sections |= dict.fromkeys(models.split(", "), rows(body))
    whole = schema()
    for model, form in {"Scenario": whole, **whole["$defs"]}.items():
        for key, entry in form.get("properties", {}).items():
            assert model in sections, f"no section says <!-- {model} -->"
            inside = sections[model]
            if key not in inside:
                assert any(f"`{key}`" in " ".join(cells) for cells in inside.values()), f"{model}: {key}"
            elif entry.get("default") not in (None, ""):
                assert default_of(entry) == inside[key][0], f"{model}: {key}"
            elif key in form.get("required", ()):
                assert (
                    model.endswith(("Step", "Time")) or inside[key][0] == "required" or "`" in inside[key][0]
                )
    assert set(sections) <= {"Scenario", *whole["$defs"]}


def rows(body: str) -> dict[str, list[str]]:
    """The other cells of a table's rows, by each key that its first cell names."""
    found = {}
    for line in re.findall(r"^\|.*$", body, re.MULTILINE):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        for key in re.findall(r"`(\w+)`", cells[0]):
            found[key] = cells[1:]
    return found


def default_of(entry: dict[str, Any]) -> str:
    """A schema's default as the page writes it."""
    value = entry["default"]
    if entry.get("$ref", "").endswith("/Ratio"):
        return f"{100 * value:g}%"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_reading_results_has_every_field_and_column(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "guides" / "reading-results.md").read_text(encoding="utf-8")
    scenario = meshsim.loads(
        "{duration: 2s, services: {a: {versions: {v: {}}, workers: 1, time: 30ms}},"
        " load: [{to: a, rate: 60/s}], objectives: [{service: a, mean: 1s}]}"
    )
    run = meshsim.run(scenario, replications=2)
    written = {path.name for path in run.save(tmp_path)}
    for key in [*written, *keys_of(run.summary), *requests.COLUMNS, *series.COLUMNS, *spans.COLUMNS]:
        assert f"`{key}`" in text, key
    assert run.summary["unstable"], "the run of this test is meant to have all fields"
    for title, columns in {"requests": run.requests, "series": run.series, "spans": run.spans}.items():
        section = text.partition(f"## {title}.parquet")[2].partition("\n## ")[0]
        assert sorted(columns) == sorted(rows(section)), title
    assert all(f"| `{name}` | {meaning} |" in text for name, meaning in requests.COLUMNS.items())


FREE = {"services", "edges", "versions", "failures", "flags", "ci"}
"""Mappings of the summary whose keys are names of the scenario."""


def keys_of(node: Any, above: str = "") -> set[str]:
    """The keys of a summary that are fields, wherever they stand."""
    found: set[str] = set()
    if isinstance(node, dict):
        found |= set() if above in FREE else set(node)
        for key, entry in node.items():
            found |= keys_of(entry, "" if above in FREE else key)
    elif isinstance(node, list):
        for entry in node:
            found |= keys_of(entry)
    return found


# ---- how pages read ---------------------------------------------------------------------------------

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def prose(text: str) -> str:
    """A page without code, tables, headings, pictures and the targets of its links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(\||#|<|!\[).*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "X", text))


def sentences(text: str) -> list[str]:
    """Of each paragraph, and each item of a list."""
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", prose(text))
    each = [one for paragraph in paragraphs for one in re.split(r"(?<=[.!?])\s+", paragraph.strip())]
    return [one for one in each if len(one.split()) > 2]


def test_sentences_are_found() -> None:
    text = "# Title\n\nOne two `a. b.` three. Four five six?\n- an item is one\n- [so is](x.md) this\n\n|no|"
    assert [len(one.split()) for one in sentences(text)] == [4, 3, 5, 4]


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_sentences_are_short(file: Path) -> None:
    found = [len(one.split()) for one in sentences(file.read_text(encoding="utf-8"))]
    assert sum(found) / len(found) <= 20, f"{name(file)}: words a sentence, on average"


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_no_line_is_long(file: Path) -> None:
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    free = ("![", "|") if file.stem in MEASURED else ("![",)
    lines = [re.sub(r" <!--.*-->", "", line) for line in text.splitlines() if not line.startswith(free)]
    assert not [line for line in lines if len(line) > 120]


@pytest.mark.parametrize("file", GUIDES, ids=name)
def test_a_guide_shows_a_picture_and_leads_to_the_glossary(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "../glossary.md" in text
    assert "](../images/" in text or file.stem in REFERENCE
