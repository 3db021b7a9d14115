"""The folder of a mesh's temporary files, which nobody else removes while it is used.

Its owner holds a lock on a file in it. The kernel lets go of that when the owner is dead, however it died, so
whoever gets the lock has found a folder that was left behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.live import Message

PREFIX = "meshsim-"
LOCK = "lock"
NOTE = "mesh.json"
"""How to speak to the mesh, for its owner alone."""
NOTE_BYTES = 1 << 16
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
"""Whoever else may write to the folder of all temporary files: a link or a pipe there is not waited for."""


def new() -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_WRONLY, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / ".lock").rename(folder / LOCK)  # nobody sees it before it is held
    return folder, lock


@contextlib.contextmanager
def room(folder: Path) -> Iterator[None]:
    """Says what helps where there is no room for a mesh's files, in its folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise MeshsimError(
            f"the mesh can't write its files to {folder.parent}: {error.strerror}; free some space, or"
            " name another folder with TMPDIR"
        ) from error


def notes() -> list[Message]:
    """What this user's meshes that run have left in their folders: how to speak to each."""
    found = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        try:
            note = os.open(folder / NOTE, READ)
        except OSError:  # somebody else's, or of a mesh that does not serve yet
            continue
        try:
            status = os.fstat(note)
            own = status.st_uid == os.getuid() and stat.S_ISREG(status.st_mode)
            if own and _held(folder / LOCK) and (said := _read(os.read(note, NOTE_BYTES))):
                found.append(said)
        finally:
            os.close(note)
    return found


def _read(data: bytes) -> Message:
    """What a note says; nothing if it is none."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    fields = said if isinstance(said, dict) else {}
    form = {"url": r"http://127\.0\.0\.1:[0-9]{1,5}", "token": r"[\w-]+", "scenario": r"(?s:.*)"}
    words = all(re.fullmatch(each, str(fields.get(name)), re.ASCII) for name, each in form.items())
    return fields if words and type(fields.get("pid")) is int and fields.keys() >= form.keys() else {}


def _held(path: Path) -> bool:
    """Whether somebody holds a lock."""
    try:
        lock = os.open(path, READ)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def sweep() -> None:
    """Removes this user's folders whose owners are dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, READ)
        except OSError:  # it is somebody else's, just being made, or just gone
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
