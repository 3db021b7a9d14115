"""How many inotify instances Envoys need, and whether they can be had.

An Envoy takes one for each subscription to a file, not one for all (``watched_directory`` takes as many), and
aborts where it gets none. Linux grants a user 128 of them, in all processes together.

Source: inotify(7); envoyproxy/envoy issue 5807; counted on Envoy 1.40 in /proc/PID/fd.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from meshsim.errors import MeshsimError

REMEDY = (
    "as root, sysctl -w fs.inotify.max_user_instances=8192; or end what else has some, or run fewer replicas"
)


def available(most: int) -> int:
    """How many more inotify instances this user can have, of so many: it takes them, and gives them back."""
    libc = ctypes.CDLL(None)
    found: list[int] = []
    if not hasattr(libc, "inotify_init"):  # not Linux
        return most
    try:
        while len(found) < most and (one := libc.inotify_init()) >= 0:
            found.append(one)
        return len(found)
    finally:
        for one in found:
            os.close(one)


def check(files: Iterable[int]) -> None:
    """Raises MeshsimError if this user can't have Envoys now that watch so many files each."""
    wanted = sum(files)
    if (found := available(wanted)) < wanted:
        raise MeshsimError(
            f"Envoys would watch {wanted} files, with an inotify instance each, and this user can have"
            f" {found} more ({REMEDY})"
        )
