"""What the control plane must not forget when it dies: an append-only file of facts, a line each.

A fact is written before anybody hears of it. A line that is cut off, as the process died while it wrote, is
one that nobody has heard of; it is dropped. The file holds keys, so it is its owner's alone, in a folder that
is, too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from meshsim.live import Message


class Journal:
    """The facts of one mesh, in order; `facts` are those that were there when it was opened."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        whole, self.facts = read(path)
        os.ftruncate(self._file, whole)

    def add(self, fact: Message) -> None:
        """Writes down one more."""
        data = memoryview(json.dumps(fact, allow_nan=False).encode() + b"\n")
        while data:
            data = data[os.write(self._file, data) :]

    def found(self, name: str) -> list[Any]:
        """The facts of a kind, in order."""
        return [fact[name] for fact in self.facts if name in fact]

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._file)


def read(path: Path) -> tuple[int, list[Message]]:
    """How many bytes of a journal are whole lines, and the facts in them."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    return len(whole), [json.loads(line) for line in whole.splitlines()]
