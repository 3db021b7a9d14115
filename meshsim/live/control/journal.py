"""What the control plane must not forget when it dies: an append-only file of facts, a line each.

A fact is written before anybody hears of it. A line that is cut off, as the process died while it wrote, is
one that nobody has heard of; it is dropped. Each line begins with the CRC-32 of the rest: one that is damaged
is left out, which is a trouble of the run. So is a full disk. What nobody else knows is then refused
(`insist`): used tokens, roots, what is set from outside. The rest is written later; whoever takes over before
that has it from the scenario and from proxies. The file holds keys, so it is its owner's alone, in a folder
that is, too.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from meshsim.errors import MeshsimError
from meshsim.live import Message
from meshsim.live.troubles import trouble


class Journal:
    """The facts of one mesh, in order; `facts` are those that were there when it was opened."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        whole, self.facts = read(path)
        os.ftruncate(self._file, whole)
        self._owed = b""

    def add(self, fact: Message) -> None:
        """Writes down one more, as soon as there is room."""
        self._owed += _line(fact)
        self._write()

    def insist(self, fact: Message) -> None:
        """Writes down one more at once; else a MeshsimError, and it is as if it had never been said."""
        line = _line(fact)
        self._owed += line
        if why := self._write():
            unwritten = min(len(line), len(self._owed))
            self._owed = self._owed[: len(self._owed) - unwritten]
            if written := len(line) - unwritten:
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise MeshsimError(f"the control plane can't write it down: {why}; free some space")

    def _write(self) -> str:
        """Writes what is owed; why not all of it, if so."""
        try:
            while self._owed:
                self._owed = self._owed[os.write(self._file, self._owed) :]
        except OSError as error:
            trouble(f"the control plane's journal can't be written: {error.strerror}; free some space")
            return error.strerror or str(error)
        return ""

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
    facts: list[Message] = []
    for line in whole.splitlines():
        text = line[9:]
        if line[:9] == _mark(text):
            facts.append(json.loads(text))
        else:
            trouble("a line of the control plane's journal is damaged, and what it said is lost")
    return len(whole), facts


def _line(fact: Message) -> bytes:
    text = json.dumps(fact, allow_nan=False).encode()
    return _mark(text) + text + b"\n"


def _mark(text: bytes) -> bytes:
    """What a line begins with."""
    return b"%08x " % zlib.crc32(text)
