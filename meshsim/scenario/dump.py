"""Scenario documents as clean YAML: block style, and short leaves on one line.

What would be too long for YAML's reader becomes JSON, which is YAML as well (`meshsim.scenario.json_text`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from typing import Any

from meshsim.plain import native
from meshsim.scenario.document import scalar
from meshsim.scenario.yaml_nodes import MOST_NODES, excess

WIDTH = 100
COLLECTIONS = (dict, list, tuple)
SAFE = re.compile(r"[A-Za-z0-9./+_][A-Za-z0-9 .+/%_~(),;'µ-]*")
SAFE_IN_FLOW = re.compile(r"[A-Za-z0-9./+_][A-Za-z0-9 .+/%_~µ-]*")
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
TRUTHS_ELSEWHERE = {"on", "off", "yes", "no", "y", "n"}
"""Plain text to us, but truths to programs that read YAML 1.1."""


def dump(document: dict[str, Any]) -> str:
    """A scenario document as YAML that `loads` reads back unchanged.

    Args:
        document: mappings, lists, text, finite numbers, booleans and None, numpy's and paths among them;
            the order of keys is kept.

    Raises:
        TypeError: something else is in it.
        ValueError: a number is not finite.
    """
    lines: list[str] = []
    for key, value in document.items():
        if lines and isinstance(value, dict | list) and value:
            lines.append("")
        lines += _block(key, value, 0)
    text = "\n".join(lines or ["{}"]) + "\n"
    if excess(text, "") or _size(document) > MOST_NODES:
        return json.dumps(document, ensure_ascii=False, default=native) + "\n"
    return text


def _block(key: str, value: Any, depth: int) -> list[str]:
    """The lines of a key and its value."""
    lead = f"{'  ' * depth}{_text(key, SAFE, key=True)}:"
    # A list of collections reads best with one a line
    table = isinstance(value, list | tuple) and any(isinstance(entry, COLLECTIONS) for entry in value)
    if not table and not (depth == 0 and _holds(value)) and (line := _short(lead, value)):
        return [line]
    return [lead, *_inside(value, depth + 1)] if _holds(value) else [f"{lead} {flow(value, top=True)}"]


def _item(value: Any, depth: int) -> list[str]:
    lead = f"{'  ' * depth}-"
    if line := _short(lead, value):
        return [line]
    if not _holds(value):
        return [f"{lead} {flow(value, top=True)}"]
    lines = _inside(value, depth + 1)
    return [f"{lead} {lines[0].lstrip()}", *lines[1:]]


def _inside(value: Any, depth: int) -> list[str]:
    if isinstance(value, dict):
        return [line for name, entry in value.items() for line in _block(name, entry, depth)]
    return [line for entry in value for line in _item(entry, depth)]


def _short(lead: str, value: Any) -> str:
    """The line of a value that reads well on one: a scalar, or a collection of little depth; else nothing."""
    line = f"{lead} {flow(value, top=True)}" if _height(value) <= 3 else ""
    return line if len(line) <= WIDTH else ""


def _holds(value: Any) -> Collection[Any]:
    """What a mapping or list holds; nothing for anything else."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


def _size(value: Any) -> int:
    return 1 + (len(value) if isinstance(value, dict) else 0) + sum(map(_size, _holds(value)))


def _height(value: Any) -> int:
    return 1 + max(map(_height, _holds(value)), default=0) if isinstance(value, COLLECTIONS) else 0


def flow(value: Any, *, top: bool = False) -> str:
    """A value in flow style, on one line; commas and colons need no quotes in one that stands at the top."""
    if isinstance(value, dict):
        keys = [_text(key, SAFE_IN_FLOW, key=True) for key in value]
        entries = map(": ".join, zip(keys, map(flow, value.values()), strict=True))
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(entry) for entry in value) + "]"
    if isinstance(value, str):
        return _text(value, SAFE if top else SAFE_IN_FLOW)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} can't stand in a scenario")
        return repr(float(value))
    converted = native(value)
    if converted is not value:
        return flow(converted, top=top)
    raise TypeError(f"a {type(value).__name__} can't stand in a scenario")


def _text(text: object, safe: re.Pattern[str], *, key: bool = False) -> str:
    """Text, in quotes where it would be read as something else."""
    if not isinstance(text, str):
        raise TypeError(f"keys are text, not {type(text).__name__}")
    plain = safe.fullmatch(text) and not text.endswith(" ")
    if (
        plain
        and (key or text.lower() not in TRUTHS_ELSEWHERE)
        and scalar(text, lambda *problem: None) == text
    ):
        return text
    return '"' + "".join(map(_character, text)) + '"'


def _character(letter: str) -> str:
    """A character inside double quotes."""
    if letter in ESCAPES:
        return ESCAPES[letter]
    if letter.isprintable():
        return letter
    return f"\\U{ord(letter):08x}" if ord(letter) > 0xFFFF else f"\\u{ord(letter):04x}"
