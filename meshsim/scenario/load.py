"""From a file to a scenario: everything that is wrong with it is told at once, by file, line and key."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import ValidationError

from meshsim.errors import MeshsimError, Problem, ScenarioError, halves, shown
from meshsim.scenario.document import parse
from meshsim.scenario.explain import explain
from meshsim.scenario.files import decode, read_files, read_text
from meshsim.scenario.findings import Findings
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
    name = str(source)
    if "\n" in name:
        raise ScenarioError(
            [Problem(shown(name), 0, "", "is no file name", "read a scenario's text with loads")]
        )
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
            return loads(decode(data, MOST_BYTES), STDIN, overrides)
        text = read_text(Path(source), MOST_BYTES)
    except ScenarioError:
        raise
    except MeshsimError as error:
        raise ScenarioError([Problem(name, 0, "", *halves(error))]) from None
    return loads(text, name, overrides, Path(source).parent)


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
    document = parse(text, name)
    findings = Findings(document)
    apply(document, overrides, findings)
    check_rules(
        document.value, findings
    )  # before files are read: what they bring in is not the user's writing
    read_files(document.value, folder or Path(), findings)
    outline = Outline(document.value)
    check_references(document.value, outline, findings)
    check_pushes(document.value, outline, findings)
    try:
        scenario = Scenario.model_validate(document.value)
    except ValidationError as error:
        findings.extend(explain(error, document.value))
        scenario = None
    findings.raise_any()
    assert scenario is not None, "pydantic found an error that was not explained"
    scenario._folder = folder
    return scenario
