"""What a sweep keeps proves that it is whole: a digest each line of its journal, and one of its table.

A flipped bit, a cut file or an edit by hand would otherwise pass for a number that was measured. A checksum
that errors can't pass by chance is enough for a disk; SHA-256 costs no more here, and needs no argument.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from meshsim.measure.table import Table


def line(entry: dict[str, Any]) -> bytes:
    """A line of a journal: the digest of what it says, and what it says, as JSON."""
    said = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
    return _digest(said) + b" " + said + b"\n"


def entry(line: bytes) -> dict[str, Any] | None:
    """What a line of a journal says; None where it is not as it was written."""
    digest, _, said = line.removesuffix(b"\n").partition(b" ")
    if digest != _digest(said):
        return None
    found: dict[str, Any] = json.loads(said)
    return found


def table_digest(said: str, table: Table) -> str:
    """Of a table and what it says of itself: the same for equal values, however a file packs them."""
    digest = hashlib.sha256(json.dumps([said, *table]).encode())
    for column in table.values():
        if column.dtype.kind == "f":
            column = np.where(np.isnan(column), np.nan, column)  # noqa: PLW2901 - a file has one kind of NaN
        words = column.tobytes() if column.dtype.kind in "fib" else json.dumps(column.tolist()).encode()
        digest.update(f"{column.dtype.kind} {len(words)} ".encode() + words)
    return digest.hexdigest()


def _digest(said: bytes) -> bytes:
    return hashlib.sha256(said).hexdigest().encode()
