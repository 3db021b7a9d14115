"""Names for people: the nearest valid one, lists of them, and the dotted path of a key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

LONGEST_NAME = 100
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_NAME - 1}}}")
"""Of services, versions and endpoints."""
Path = tuple[str | int, ...]
"""Where a value stands in a scenario: mapping keys and list positions from the top."""

MOST_LISTED = 12
MOST_COMPARED = 2000
MOST_FILE_BYTES = 220
"""Of a file's name: systems take 255, and it gets an ending."""


def nearest(name: str, names: Collection[str]) -> str:
    """The valid name that `name` most resembles, or ``""``."""
    from difflib import get_close_matches  # only errors need it  # noqa: PLC0415

    if len(names) > MOST_COMPARED:
        return ""  # it would take a noticeable time for each wrong name
    lowered = {valid.lower(): valid for valid in names}
    close = get_close_matches(name.lower()[:200], lowered, n=1)
    return lowered[close[0]] if close else ""


def listed(names: Collection[str], last: str = "or") -> str:
    """Names as a message lists them: ``a, b or c``, not more than a dozen."""
    ordered = list(names)[:MOST_LISTED]
    if len(names) > MOST_LISTED:
        return ", ".join(ordered) + ", ..."
    return ", ".join(ordered[:-1]) + f" {last} " + ordered[-1] if len(ordered) > 1 else "".join(ordered)


def suggestion(name: str, names: Collection[str]) -> str:
    """A remedy for a wrong name: the nearest valid one, or else the choice."""
    close = nearest(name, names)
    if close:
        return f"did you mean {close}?"
    return f"write {listed(names)}" if names else ""


def file_name(name: str) -> str:
    """A name as part of a file's: what is no letter, digit, `_`, `-` or `.` is a dash; not too long.

    The slashes of a version's replica are dots: `cart-v1/0` and `cart/v1/0` don't get the same file.
    """
    dots = name.replace("/", ".") if name.count("/") > 1 else name
    return re.sub(r"[^\w.-]+", "-", dots).encode()[:MOST_FILE_BYTES].decode(errors="ignore")


def folder_name(name: str, otherwise: str) -> str:
    """A name as a folder's, neither hidden nor an option; `otherwise` where nothing is left of it."""
    return file_name(name).strip("-.") or otherwise


class Distinct:
    """Tells alike names apart by numbers, in time that does not grow with how many are alike.

    Args:
        taken: names that are in use already.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._tried = Counter[str]()

    def name(self, name: str) -> str:
        """The first of ``name``, ``name-2``, ``name-3``, … that is not in use; from now on it is."""
        free = ""
        while not free or free in self._taken:
            self._tried[name] += 1
            free = name if self._tried[name] == 1 else f"{name}-{self._tried[name]}"
        self._taken.add(free)
        return free


def dotted(path: Path) -> str:
    """A path as people and ``--set`` write it: ``load[0].rate``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A key with line breaks or control characters must not tear the message apart
            name = part if part.isprintable() and len(part) <= 100 else ascii(part[:100])
            text += f".{name}" if text else name
    return text
