"""From a file to a scenario: everything that is wrong with it is reported at once, by file, line and key."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from meshsim.errors import MeshsimError, ScenarioError, halves, shown
from meshsim.plain import native
from meshsim.scenario import json_text, yaml_nodes
from meshsim.scenario.document import Document, parse, without_lines
from meshsim.scenario.explain import explain
from meshsim.scenario.files import Files, decode, read_bytes, read_files, take_files
from meshsim.scenario.findings import Findings
from meshsim.scenario.grid import Grid, check_sweep, points, put_sweep
from meshsim.scenario.model import Scenario
from meshsim.scenario.outline import Outline
from meshsim.scenario.overrides import Overrides, apply
from meshsim.scenario.pushes import check_pushes
from meshsim.scenario.references import check_references
from meshsim.scenario.rules import check_rules
from meshsim.scenario.security import check_security

STDIN = "-"
PATHS = str | Path | None


def load(source: str | Path | Scenario, overrides: Overrides = ()) -> Scenario:
    """Read a scenario file.

    Args:
        source: the file; ``"-"`` is standard input. Or a scenario, for its overrides: it is the same without.
        overrides: ``"load[0].rate=100/s"`` texts, or values by key, which replace what the file says. Text
            is read as YAML.

    Returns:
        The scenario, with the files that it names (next to it; in the working directory for standard
        input) read.

    Raises:
        ScenarioError: it can't be read or used; the error has all its problems.
    """
    if isinstance(source, Scenario) and not overrides:
        return source
    return load_placed(source, overrides)[0]


def load_placed(source: str | Path | Scenario, overrides: Overrides = ()) -> tuple[Scenario, Document]:
    """The same, and the document, overrides in it, which knows the line of each key."""
    document, findings, files = _document(source, overrides)
    return _read(document, findings, files), document


def loads(
    text: str, name: str = "text", overrides: Overrides = (), folder: str | Path | None = None
) -> Scenario:
    """Read a scenario's text.

    Args:
        text: YAML.
        name: of the file, for messages.
        overrides: see `load`, which raises the same error.
        folder: where files that it names are looked for; by default the working directory.
    """
    for argument, given, fitting in (("text", text, str), ("name", name, str), ("folder", folder, PATHS)):
        if not isinstance(given, fitting):
            message = f"{argument}: {shown(native(given))} is not {'a path' if fitting is PATHS else 'text'}"
            raise ScenarioError.at("loads", 0, message, "read a file with load")
    return _read(*_changed(parse(text, name), overrides), Files(None if folder is None else Path(folder)))


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
    document, findings, files = _document(source, overrides)
    if vary:
        put_sweep(document, vary, findings)
    elif "sweep" not in document.value:
        remedy = 'name a key and its values: --vary "load[0].rate=100/s,200/s"'
        findings.add(("sweep",), "nothing is varied", remedy)
    scenario = _scenario(document, findings, files)
    found = points(document, findings, partial(_scenario, files=files))
    base = _sound(scenario, findings)
    return Grid(base, base.sweep, found)


def _file(source: str | Path) -> tuple[str, str, Path | None]:
    """A file's text, its name for messages, and its folder."""
    name = native(source)
    if not isinstance(name, str):
        raise ScenarioError.at(shown(source), 0, "is not a file name", "give a path or a scenario")
    if "\n" in name:
        raise ScenarioError.at(shown(name), 0, "is not a file name", "read a scenario's text with loads")
    try:
        if name == STDIN:
            return _text(sys.stdin.buffer.read(json_text.MOST_BYTES + 1)), STDIN, None
        return _text(read_bytes(Path(source), json_text.MOST_BYTES)), name, Path(source).parent
    except MeshsimError as error:
        raise ScenarioError.at(name, 0, *halves(error)) from None


def _text(data: bytes) -> str:
    """A file's content as text, if it is not too long for what it seems to be."""
    return decode(data, json_text.MOST_BYTES if data.lstrip().startswith(b"{") else yaml_nodes.MOST_BYTES)


def _document(source: str | Path | Scenario, overrides: Overrides) -> tuple[Document, Findings, Files]:
    """A file or scenario as a document with overrides; what is wrong with these; and its files."""
    if isinstance(source, Scenario):
        value = source.as_config()
        files = Files(source.folder, take_files(value))
        document = without_lines(value, source.name or STDIN)
    else:
        text, name, folder = _file(source)
        document, files = parse(text, name), Files(folder)
    return *_changed(document, overrides), files


def _changed(document: Document, overrides: Overrides) -> tuple[Document, Findings]:
    findings = Findings(document)
    apply(document, overrides, findings)
    return document, findings


def _read(document: Document, findings: Findings, files: Files) -> Scenario:
    """The scenario of a document; its sweep is checked as well."""
    scenario = _scenario(document, findings, files)
    check_sweep(document, findings, partial(_scenario, files=files))
    return _sound(scenario, findings)


def _scenario(document: Document, findings: Findings, files: Files) -> Scenario | None:
    """The scenario of a document, which is left as it is; None where something is wrong."""
    value = copy.deepcopy(document.value)
    check_rules(value, findings)  # before files are read: what they bring in is not the user's writing
    read_files(value, files, findings)
    outline = Outline(value)
    check_references(value, outline, findings)
    check_security(value, outline, findings)
    check_pushes(value, outline, findings)
    try:
        scenario = Scenario.model_validate(value)
    except ValidationError as error:
        findings.extend(explain(error, value))
        return None
    scenario._folder = files.folder
    return scenario


def _sound(scenario: Scenario | None, findings: Findings) -> Scenario:
    findings.raise_any()
    assert scenario is not None, "pydantic found an error that was not explained"
    return scenario
