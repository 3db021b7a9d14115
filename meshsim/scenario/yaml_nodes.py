"""YAML text to nodes; hostile text is refused early.

ruamel.yaml supplies the events of YAML 1.2; what is built from them is built here, since a scenario needs
less than YAML offers and more care: no tags, one document, and limits on everything, aliases expanded, so
that no file takes long to refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from meshsim.errors import Problem, ScenarioError, shown
from meshsim.plain import LONE, joined

MOST_BYTES = 1_000_000
MOST_LINES = 20_000
MOST_COMMAS = 20_000  # with the lines they bound the nodes, before a parser has seen any
MOST_LINE_LENGTH = 10_000  # scanners take quadratic time in the length of some tokens
MOST_NODES = 50_000
MOST_ALIASED = 10_000
MOST_DEPTH = 50
TOO_DEEP = f"is nested deeper than {MOST_DEPTH} levels"
IN_FILES = "put long lists of values in files"

REMEDIES = {
    "\\t": "indent with spaces, not tabs",
    "mapping values are not allowed": "check the indentation, and put text that holds ': ' in quotes",
    "cannot start any token": "put the text in quotes",
    "unexpected end of stream": "close the quotes",
    "could not find expected ':'": "write key: value, and check the line above",
    "but got": "write a comma, or close the bracket",
    "but found": "a scenario is YAML text; if this file is one, check the indentation here",
}
"""What to do about what ruamel says, by words that it uses."""

TOKEN = re.compile(r"\(?'?<([\w ]+)>'?,?\)?")
TOKENS = {
    "document start": "no more text",
    "block end": "the end of the block",
    "block mapping start": "a mapping",
    "block sequence start": "a list",
    "stream end": "the end of the text",
    "scalar": "text",
}
"""ruamel's names of what it reads, in plain words."""


@dataclass(slots=True)
class Node:
    """A piece of YAML before it is a value; aliases make it a graph.

    Attributes:
        kind: ``scalar``, ``sequence`` or ``mapping``.
        plain: whether a scalar is unquoted, so that it may be a number.
        children: of a mapping: keys and values by turns.
        size: how many nodes it has in all, aliases expanded.
        height: how many levels it has below it.
    """

    kind: str
    line: int
    text: str = ""
    plain: bool = False
    children: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 0


def compose(text: str, file: str) -> Node | None:
    """The root node of a text, or None; a ScenarioError for no YAML, a tag, a second document, an excess."""
    problem = excess(text, file)
    if problem is not None:
        raise ScenarioError([problem])
    whole = joined(text)
    if whole is None:
        line = next(number for number, line in enumerate(text.split("\n"), 1) if joined(line) is None)
        raise ScenarioError.at(file, line, f"not a text file: {LONE[0]}", LONE[1])
    composer = _Composer(file)
    # Imported here: ruamel takes 80 ms to import
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    try:
        for event in YAML(typ="safe", pure=True).parse(whole):
            composer.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 0 if mark is None else mark.line + 1
        what = " ".join(str(error.problem or error.context or "can't be read").split())
        remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in what), "")
        what = TOKEN.sub(lambda token: TOKENS.get(token[1], token[1]), what)
        raise ScenarioError.at(file, line, f"not YAML: {what[:200]}", remedy) from None
    except YAMLError as error:  # the reader's: a character that no text has
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        what = str(error).splitlines()[0][:200]
        raise ScenarioError.at(file, line, f"not a text file: {what}") from None
    return composer.root


def excess(text: str, file: str) -> Problem | None:
    """What makes a text too long for YAML's reader, if anything does."""
    if len(text) > MOST_BYTES:
        return Problem(file, 0, "", "is larger than 1 MB", IN_FILES)
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        return Problem(file, 0, "", f"has more than {MOST_LINES:,} lines", IN_FILES)
    if text.count(",") > MOST_COMMAS:
        return Problem(file, 0, "", f"has more than {MOST_COMMAS:,} commas", IN_FILES)
    message = f"the line is longer than {MOST_LINE_LENGTH:,} characters"
    long = (number for number, line in enumerate(lines, 1) if len(line) > MOST_LINE_LENGTH)
    return next((Problem(file, number, "", message, "break it") for number in long), None)


class _Composer:
    """Builds nodes from events one by one, so that limits act before the whole text has been parsed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self._open: list[tuple[Node, str | None]] = []
        self._anchors: dict[str, Node | None] = {}
        self._documents = self._nodes = self._aliased = 0

    def take(self, event: Any) -> None:
        """Act on the next event of ruamel's parser."""
        match type(event).__name__:
            case "ScalarEvent":
                text = joined(event.value)
                if text is None:
                    self._refuse(event, *LONE)
                self._begin(event)
                node = Node("scalar", event.start_mark.line + 1, text, event.style is None)
                self._close(node, event.anchor)
            case "AliasEvent":
                self._attach(self._alias(event))
            case "SequenceStartEvent" | "MappingStartEvent" as name:
                self._open_collection(name.removesuffix("StartEvent").lower(), event)
            case "SequenceEndEvent" | "MappingEndEvent":
                self._close(*self._open.pop())
            case "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    remedy = "a scenario is one document; remove the ---"
                    self._refuse(event, "a second document begins", remedy)

    def _refuse(self, event: Any, message: str, remedy: str = "") -> NoReturn:
        raise ScenarioError.at(self.file, event.start_mark.line + 1, message, remedy)

    def _begin(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            self._refuse(event, f"has more than {MOST_NODES:,} values", IN_FILES)
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")[:40]
            self._refuse(event, f"the tag {shown(tag)[1:-1]} is not taken", "write the plain value")
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # until it is closed: an alias now would be its own child

    def _open_collection(self, kind: str, event: Any) -> None:
        self._begin(event)
        self._open.append((Node(kind, event.start_mark.line + 1), event.anchor))
        if len(self._open) > MOST_DEPTH:
            self._refuse(event, TOO_DEEP)

    def _close(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        self._attach(node)

    def _attach(self, node: Node) -> None:
        if self._open:
            parent = self._open[-1][0]
            parent.children.append(node)
            parent.size += node.size
            parent.height = max(parent.height, node.height + 1)
        else:
            self.root = node

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            known = event.anchor in self._anchors
            what = "contains itself" if known else "is not defined before it is used"
            self._refuse(event, f"the anchor {shown(event.anchor)} {what}")
        self._aliased += node.size
        if self._aliased > MOST_ALIASED:
            what = f"aliases stand for more than {MOST_ALIASED:,} values"
            self._refuse(event, what, "write the values out")
        if len(self._open) + node.height > MOST_DEPTH:
            self._refuse(event, TOO_DEEP)
        return node
