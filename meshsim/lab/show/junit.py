"""Verdicts as JUnit XML: a `testsuite` a scenario, in it a `testcase` for the file and one each objective.

Source: the JUnit report format as its common schema has it (junit-10.xsd of the Jenkins xUnit plugin).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshsim.errors import MeshsimError, printable
from meshsim.lab import files

OPTION = "--junit"
MOST_BLANK = 1000
BOM = b"\xef\xbb\xbf"
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Case:
    """One verdict: `failure` is how it was missed, `error` why there is none; both empty if it was met."""

    name: str
    seconds: float = 0.0
    failure: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """The verdicts on one file."""

    name: str
    cases: Sequence[Case]


def document(suites: Sequence[Suite]) -> bytes:
    """Verdicts as an XML document."""
    root = ET.Element("testsuites", _counts("meshsim", [case for suite in suites for case in suite.cases]))
    for suite in suites:
        under = ET.SubElement(root, "testsuite", _counts(suite.name, suite.cases))
        for case in suite.cases:
            about = {"classname": printable(suite.name), "name": printable(case.name)}
            inside = ET.SubElement(under, "testcase", {**about, "time": f"{case.seconds:.3f}"})
            for kind, text in (("error", case.error), ("failure", case.failure)):
                if text:
                    message = printable(text, lines=True)
                    ET.SubElement(inside, kind, {"message": message.split("\n")[0]}).text = message
    ET.indent(root)
    return HEAD + ET.tostring(root, "unicode").encode() + b"\n"


def _counts(name: str, cases: Sequence[Case]) -> dict[str, str]:
    return {
        "name": printable(name),
        "tests": str(len(cases)),
        "failures": str(sum(bool(case.failure) for case in cases)),
        "errors": str(sum(bool(case.error) for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def prepare(file: str | Path | None) -> None:
    """Proves, before anything is computed, that the file can be saved; MeshsimError if not.

    An earlier report is replaced. Any other file is not: where the report's name is forgotten, the option
    takes the first scenario for it.
    """
    if file is None:
        return
    example = f"with {OPTION}, such as junit.xml"
    if Path(file).is_dir():
        raise MeshsimError(f"{file} is a folder; name a file {example}")
    if _foreign(Path(file)):
        raise MeshsimError(f"{file} is there already and no report; name another file {example}")
    files.prepare_file(Path(file), OPTION)


def _foreign(path: Path) -> bool:
    """Whether a file is there that holds something, and no XML."""
    if not path.is_file():  # a device may be written to
        return False
    try:
        with path.open("rb") as content:
            start = content.read(MOST_BLANK).removeprefix(BOM).lstrip()
    except OSError:
        return False  # reported when it is written
    return bool(start) and not start.startswith(b"<")


def write(file: str | Path, suites: Sequence[Suite]) -> Path:
    """Saves verdicts into a file; MeshsimError if that fails."""
    path = Path(file)
    return files.write(path.parent, {path.name: document(suites)})[0]
