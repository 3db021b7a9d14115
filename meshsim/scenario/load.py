"""From a file to a scenario: everything that is wrong with it is told at once, by file, line and key."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from meshsim.errors import MeshsimError, Problem, ScenarioError, halves, shown
from meshsim.scenario import written
from meshsim.scenario.document import Document, parse
from meshsim.scenario.explain import explain
from meshsim.scenario.files import decode, read_files, read_text
from meshsim.scenario.findings import Findings
from meshsim.scenario.grid import Grid, check_sweep, points, put_sweep
from meshsim.scenario.model import Scenario
from meshsim.scenario.nodes import MOST_BYTES
from meshsim.scenario.outline import Outline
from meshsim.scenario.overrides import Overrides, apply
from meshsim.scenario.pushes import check_pushes
from meshsim.scenario.references import check_references
from meshsim.scenario.rules import check_rules

STDIN = "-"


def load(source: str | Path, overrides: Overrides = ()) -> Scenario:
    """Read a scenario file.

    Args:
        source: the file; ``"-"`` is standard input.
        overrides: ``"load[0].rate=100/s"`` texts, or values by key, which replace what the file says. Text
            is read as YAML.

    Returns:
        The scenario, with the files that it names (next to it; in the working directory for standard
        input) read.

    Raises:
        ScenarioError: it can't be read or used; the error has all its problems.
    """
    text, name, folder = _file(source)
    return loads(text, name, overrides, folder)


def loads(text: str, name: str = STDIN, overrides: Overrides = (), folder: Path | None = None) -> Scenario:
    """Read a scenario's text.

    Args:
        text: YAML.
        name: of the file, for messages.
        overrides: see `load`.
        folder: where files that it names are looked for; by default the working directory.

    Raises:
        ScenarioError: it can't be used; the error has all its problems.
    """
    document, findings = _document(text, name, overrides)
    scenario = _scenario(document, findings, folder)
    check_sweep(document, findings, partial(_scenario, folder=folder))
    return _sound(scenario, findings)


def load_grid(
    source: str | Path | Scenario, overrides: Overrides = (), vary: Mapping[str, object] | None = None
) -> Grid:
    """Read a scenario and all the points of its sweep.

    Args:
        source: the file, ``"-"`` for standard input, or a scenario.
        overrides: see `load`.
        vary: values by key, as `meshsim.scenario.variation.values` takes them, instead of the scenario's
            own `sweep`; empty keeps that.

    Raises:
        ScenarioError: it can't be used, or one of the points can't; the error has all the problems.
    """
    if isinstance(source, Scenario):
        text, name, folder = written.text(source), source.name or STDIN, source.folder
    else:
        text, name, folder = _file(source)
    document, findings = _document(text, name, overrides)
    if vary:
        put_sweep(document, vary, findings)
    elif "sweep" not in document.value:
        findings.add(
            ("sweep",), "nothing is varied", 'name a key and its values: --vary "load[0].rate=100/s,200/s"'
        )
    scenario = _scenario(document, findings, folder)
    found = points(document, findings, partial(_scenario, folder=folder))
    base = _sound(scenario, findings)
    return Grid(base, base.sweep, found)


def _file(source: str | Path) -> tuple[str, str, Path | None]:
    """A file's text, its name for messages, and its folder."""
    name = str(source)
    if "\n" in name:
        raise ScenarioError(
            [Problem(shown(name), 0, "", "is no file name", "read a scenario's text with loads")]
        )
    try:
        if name == STDIN:
            return decode(sys.stdin.buffer.read(MOST_BYTES + 1), MOST_BYTES), STDIN, None
        return read_text(Path(source), MOST_BYTES), name, Path(source).parent
    except MeshsimError as error:
        raise ScenarioError([Problem(name, 0, "", *halves(error))]) from None


def _document(text: str, name: str, overrides: Overrides) -> tuple[Document, Findings]:
    """A text as it was written, with overrides, and what is wrong with these."""
    document = parse(text, name)
    findings = Findings(document)
    apply(document, overrides, findings)
    return document, findings


def _scenario(document: Document, findings: Findings, folder: Path | None) -> Scenario | None:
    """The scenario of a document, which is left as it is; None where something is wrong."""
    value = copy.deepcopy(document.value)
    check_rules(value, findings)  # before files are read: what they bring in is not the user's writing
    read_files(value, folder or Path(), findings)
    outline = Outline(value)
    check_references(value, outline, findings)
    check_pushes(value, outline, findings)
    try:
        scenario = Scenario.model_validate(value)
    except ValidationError as error:
        findings.extend(explain(error, value))
        return None
    scenario._folder = folder
    return scenario


def _sound(scenario: Scenario | None, findings: Findings) -> Scenario:
    """The scenario, unless anything was found wrong."""
    findings.raise_any()
    assert scenario is not None, "pydantic found an error that was not explained"
    return scenario
