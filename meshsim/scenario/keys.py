"""Dotted keys such as ``load[0].rate``: finding and replacing what they name in a document.

`--set`, the keys of an event's `set` and sweeps all speak this language.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from meshsim.scenario.names import Path, dotted

MOST_PARTS = 50
MALFORMED = "not a dotted key; write one such as load[0].rate or services.cart.workers"
NAME = re.compile(r"[^.\[\]]+")
POSITION = re.compile(r"\[([0-9]{1,6})\]")


def resolve(root: object, key: str) -> Path:
    """The path that a dotted key names in a document.

    Where the document has a key that itself holds dots (``policies.cart.split`` under an event's
    `set`), the longest one that fits is taken. It need not have the key yet. A ValueError for no dotted key.
    """
    path: list[str | int] = []
    here: Any = root
    at = 0
    while at < len(key):
        part, at = _part(here, key, at, first=not path)
        path.append(part)
        if len(path) > MOST_PARTS:
            raise ValueError("the key has too many parts")
        here, _ = lookup(here, (part,))
    if not path:
        raise ValueError("the key is empty; write one such as load[0].rate")
    return tuple(path)


def _part(here: object, key: str, at: int, *, first: bool) -> tuple[str | int, int]:
    position = POSITION.match(key, at)
    if position and not first:
        return int(position[1]), position.end()
    if not first:
        if key[at] != ".":
            raise ValueError(MALFORMED)
        at += 1
    known = [name for name in here if fits(name, key, at)] if isinstance(here, dict) else []
    if known:
        longest: str = max(known, key=len)
        return longest, at + len(longest)
    name = NAME.match(key, at)
    if not name:
        raise ValueError(MALFORMED)
    return name[0], name.end()


def fits(name: object, key: str, at: int = 0) -> bool:
    """Whether a key goes on with a name, or is that: ``policies.cart`` fits ``policies.cart.timeout``."""
    return (
        isinstance(name, str)
        and name != ""
        and key.startswith(name, at)
        and key[at + len(name) :][:1] in ("", ".", "[")
    )


def children(entry: object) -> Iterable[tuple[str | int, object]]:
    """What a mapping or list holds, by key or position; nothing for anything else."""
    return entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()


def lookup(root: Any, path: Path) -> tuple[Any, bool]:
    """What stands at a path of a document, and whether anything does."""
    for part in path:
        known: Any = range(len(root)) if isinstance(root, list) else root
        if not isinstance(root, dict | list) or part not in known:
            return None, False
        root = root[part]  # type: ignore[index]
    return root, True


def put(root: Any, path: Path, value: object) -> None:
    """Replace what stands at a path; mappings that are missing on the way are made.

    A plain value on the way gives way to a mapping, so that ``balance.least_request.choices`` can be
    set where the file says ``balance: random``. A list position that does not exist is a ValueError.
    """
    here: Any = root
    for depth, part in enumerate(path):
        _check_position(here, path[: depth + 1])
        if depth == len(path) - 1:
            here[part] = value
        else:
            if not isinstance(lookup(here, (part,))[0], dict | list):
                here[part] = {}
            here = here[part]


def resolve_push(config: dict[str, Any], key: str) -> Path:
    """The path of a key of an event's `set` in what can be pushed; a ValueError where it can't be.

    That is policies, all access rules at once, and the mTLS modes of the mesh and its services.
    """
    path = resolve(config, key)
    if path == ("policies",):
        raise ValueError("all policies at once can't be pushed; write a key such as policies.cart")
    if path[0] == "access" and len(path) > 1:
        raise ValueError("access rules are pushed as a whole; write access and all of them")
    modes = path == ("mesh", "mtls", "mode") or (path[0] == "services" and path[2:] == ("mtls",))
    if not modes and path != ("access",) and (path[0] != "policies" or not isinstance(path[1], str)):
        what = "only policies, access rules and mTLS modes can be pushed"
        raise ValueError(f"{what}; write a key such as policies.cart.timeout, access or services.cart.mtls")
    return path


def push(config: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Make an event's `set` act on what can be pushed; a ValueError as of `resolve_push` and `put`."""
    for key, value in changes.items():
        put(config, resolve_push(config, key), copy.deepcopy(value))


def _check_position(here: dict[str, Any] | list[Any], path: Path) -> None:
    """Refuse a position in a mapping, a name in a list, and a position behind a list's end."""
    part, place = path[-1], dotted(path[:-1]) or "the scenario"
    if isinstance(here, dict):
        if isinstance(part, int):
            raise ValueError(f"{place} is not a list")
    elif isinstance(part, str):
        raise ValueError(f"{place} is a list; write a position such as {place}[0]")
    elif part >= len(here):
        raise ValueError(f"{place} has only {len(here)} entries; positions count from 0")
