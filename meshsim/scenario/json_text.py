"""Scenarios as JSON, which is YAML as well but is read a hundred times faster: far longer ones are taken.

``json.dump`` makes one long line of a scenario, and `meshsim.scenario.dump` writes JSON where YAML's reader
would refuse its lines. Only what that reader refuses is read here, since JSON's knows no lines.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from meshsim.errors import ScenarioError, shown
from meshsim.plain import LONE, joined
from meshsim.scenario.keys import children
from meshsim.scenario.yaml_nodes import IN_FILES, MOST_DEPTH, TOO_DEEP

MOST_BYTES = 20_000_000
MOST_VALUES = 500_000


def read(text: str, file: str, number: Callable[[str], object]) -> dict[str, Any]:
    """The mapping that a JSON text holds; `number` makes a value of a number's text.

    Raises:
        ScenarioError: it is beyond a limit, or says something that no scenario says.
        ValueError: it is no JSON, or no mapping.
    """
    if not text.lstrip().startswith("{"):
        raise ValueError("no mapping in JSON")
    if len(text) > MOST_BYTES:
        raise ScenarioError.at(file, 0, f"is larger than {MOST_BYTES // 1_000_000} MB", IN_FILES)
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise ScenarioError.at(file, 0, f"has more than {MOST_VALUES:,} values", IN_FILES)

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise ScenarioError.at(file, 0, f"the key {shown(key)} is there twice", "remove one of them")
        return found

    try:
        found: dict[str, Any] = json.loads(
            text, object_pairs_hook=mapping, parse_int=number, parse_float=number, parse_constant=number
        )
    except RecursionError:
        raise ScenarioError.at(file, 0, TOO_DEEP) from None
    _check(found, file, 1)
    return found


def _check(value: object, file: str, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise ScenarioError.at(file, 0, TOO_DEEP)
    if isinstance(value, str) and joined(value) is None:
        raise ScenarioError.at(file, 0, *LONE)
    for key, entry in children(value):
        _check(key, file, depth)
        _check(entry, file, depth + 1)
