"""Inotify instances: how many a user can still have, in a namespace of its own, where few are granted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meshsim.errors import MeshsimError
from meshsim.live.envoy import watches

LIMIT = "/proc/sys/user/max_inotify_instances"
ASK = """
import ctypes
from meshsim.live.envoy.watches import available, check
print(available(3), available(5), available(9))
others = [ctypes.CDLL(None).inotify_init() for _ in range(2)]
print(available(5))
check([1, 2])
check([2, 2])
"""


def test_what_is_left_is_found_by_trying_and_what_others_have_counts() -> None:
    few = f"echo 5 > {LIMIT} && exec {sys.executable} -c '{ASK}'"
    done = subprocess.run(
        ["unshare", "-r", "sh", "-c", few], capture_output=True, text=True, timeout=300, check=False
    )
    if LIMIT in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no user namespace: {done.stderr}")
    assert done.stdout == "3 5 5\n3\n"
    assert "would watch 4 files, with an inotify instance each, and this user can have 3 more" in done.stderr
    assert "as root, sysctl -w fs.inotify.max_user_instances=8192" in done.stderr


def test_where_there_is_no_inotify_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches.ctypes, "CDLL", lambda name: object())
    watches.check([10_000])
    monkeypatch.setattr(watches, "available", lambda most: 0)
    with pytest.raises(MeshsimError, match="would watch 1 files"):
        watches.check([1])
