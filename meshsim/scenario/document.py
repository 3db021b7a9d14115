"""YAML to plain values, with the place of every key: strings, numbers, lists and mappings only."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from meshsim.errors import Problem, ScenarioError, shown
from meshsim.scenario import json_text
from meshsim.scenario.keys import children
from meshsim.scenario.names import Path, dotted
from meshsim.scenario.yaml_nodes import Node, compose, excess

LARGEST_INTEGER = 1 << 63

INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass
class Document:
    """A scenario as it stands in its file.

    Attributes:
        value: mappings, lists and scalars; all keys are strings.
        places: file and line by path; a path that is missing has the place of the nearest one above it.
        problems: what is wrong with the text itself, though the rest could be read (duplicate keys).
    """

    file: str
    value: dict[str, Any]
    places: dict[Path, tuple[str, int]]
    problems: list[Problem]

    def place(self, path: Path) -> tuple[str, int]:
        """File and line of a path, or of the nearest one above it that is there."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (self.file, 0))


def without_lines(value: dict[str, Any], file: str) -> Document:
    """A document that was not read from lines of YAML: every path of it stands in the file as a whole."""
    places: dict[Path, tuple[str, int]] = {}

    def note(entry: object, path: Path) -> None:
        places[path] = (file, 0)
        for part, child in children(entry):
            note(child, (*path, part))

    note(value, ())
    return Document(file, value, places, [])


def parse(text: str, file: str) -> Document:
    """Read a scenario's text; a ScenarioError where it is not YAML, not a mapping, or beyond a limit."""
    try:
        root = compose(text, file)
    except ScenarioError as refusal:
        return _parse_json(text, file, refusal)
    if root is None or (root.kind == "scalar" and root.text == ""):
        raise ScenarioError.at(file, 0, "is empty", "write at least duration, services and load")
    if root.kind != "mapping":
        remedy = "begin with keys such as services:"
        raise ScenarioError.at(file, root.line, "is not a mapping of keys", remedy)
    builder = _Builder(file)
    value = builder.value(root, ())
    return Document(file, value, builder.places, builder.problems)


def _parse_json(text: str, file: str, refusal: ScenarioError) -> Document:
    """Read as JSON what YAML's reader refuses, be it for its length."""
    problems: list[Problem] = []

    def number(text: str) -> object:
        return scalar(text, lambda *wrong: problems.append(Problem(file, 0, "", *wrong)))

    try:
        document = without_lines(json_text.read(text, file, number), file)
    except ValueError:
        raise refusal from None
    except ScenarioError as error:
        raise (error if excess(text, file) else refusal) from None  # which knows the line
    document.problems += problems
    return document


def parse_value(text: str, file: str) -> object:
    """Read a single value, such as that of a ``--set``; a ScenarioError where it is not YAML."""
    root = compose(text, file)
    builder = _Builder(file)
    value = None if root is None else builder.value(root, ())
    if builder.problems:
        raise ScenarioError(builder.problems)
    return value


class _Builder:
    """Makes plain values of nodes, remembering where each stands. Depth is limited, so it may recurse."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path, tuple[str, int]] = {}
        self.problems: list[Problem] = []

    def value(self, node: Node, path: Path, line: int = 0) -> Any:
        """The value of a node at a path; `line` is its key's, where it has one."""
        self.places[path] = (self.file, line or node.line)
        if node.kind == "scalar":
            return scalar(node.text, partial(self._report, path, node.line)) if node.plain else node.text
        if node.kind == "sequence":
            return [self.value(child, (*path, index)) for index, child in enumerate(node.children)]
        return {
            name: self.value(child, (*path, name), key_line)
            for name, (child, key_line) in self._entries(node, path).items()
        }

    def _entries(self, node: Node, path: Path) -> dict[str, tuple[Node, int]]:
        """The mapping's values and key lines by key; its own keys win over merged ones."""
        own: dict[str, tuple[Node, int]] = {}
        merged: dict[str, tuple[Node, int]] = {}
        for key, child in zip(node.children[::2], node.children[1::2], strict=True):
            if key.kind != "scalar":
                self._report(path, key.line, "a key must be plain text")
            elif key.text == "<<" and key.plain:
                for name, entry in self._merged(child, path).items():
                    merged.setdefault(name, entry)
            elif key.text in own:
                message = f"the key is already on line {own[key.text][1]}"
                self._report((*path, key.text), key.line, message, "remove one of them")
            else:
                own[key.text] = (child, key.line)
        return {**merged, **own}

    def _merged(self, node: Node, path: Path) -> dict[str, tuple[Node, int]]:
        """What ``<<`` brings in: a mapping, or a list of them of which the first wins."""
        found: dict[str, tuple[Node, int]] = {}
        nodes = node.children if node.kind == "sequence" else [node]
        if any(child.kind != "mapping" for child in nodes):
            self._report(path, node.line, "<< merges mappings only", "write << : *anchor")
            return {}
        for child in nodes:
            for name, entry in self._entries(child, path).items():
                found.setdefault(name, entry)
        return found

    def _report(self, path: Path, line: int, message: str, remedy: str = "") -> None:
        self.problems.append(Problem(self.file, line, dotted(path), message, remedy))


def scalar(text: str, report: Callable[[str, str], None]) -> object:
    """The value of unquoted text by YAML 1.2's core schema; everything unusual is a string.

    `report` gets the message and remedy of a number that no scenario can use.
    """
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        number = int(text, 0) if text[:2] in ("0o", "0x") else int(text[:40])
        if abs(number) < LARGEST_INTEGER:
            return number
        report(f"{shown(text)} is too large a number", "write a smaller one")
        return 0
    if NOT_FINITE.fullmatch(text) or FLOAT.fullmatch(text):
        value = math.nan if NOT_FINITE.fullmatch(text) else float(text)
        if math.isfinite(value):
            return value
        report(f"{shown(text)} is not finite", "write a finite number, or unlimited for a count")
        return 0
    return text
