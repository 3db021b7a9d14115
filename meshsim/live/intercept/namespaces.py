"""Linux namespaces: system calls that Python has since 3.12 only, or not at all.

Source: unshare(2), setns(2), user_namespaces(7), capabilities(7), mount(2).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NEW_USER, NEW_NETWORK, NEW_MOUNTS = 0x10000000, 0x40000000, 0x00020000
MS_BIND, MS_PRIVATE_ALL = 0x1000, 0x44000
NET_ADMIN, SYS_ADMIN = 12, 21
"""Capabilities: to change a network and its rules; to enter namespaces and mount."""
PR_CAPBSET_DROP = 24


def _call(name: str, *arguments: object) -> None:
    """A system call by the C library; an `OSError` if it fails."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def control(option: int, value: int) -> None:
    """prctl(2)."""
    _call("prctl", option, value, 0, 0, 0)


def unshare(kinds: int) -> None:
    """Puts this process into new namespaces; it must have one thread."""
    _call("unshare", kinds)


def enter(descriptor: int, kind: int) -> None:
    """Puts this thread into a namespace; into one of users only a process of one thread."""
    _call("setns", descriptor, kind)


def keep_identity(process: int) -> None:
    """Has a process in a new user namespace be who it is here, and see files' owners as they are.

    Who may not give it everybody else's identity gives it his own.
    """
    folder = Path(f"/proc/{process}")
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        known = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
        try:
            (folder / f"{kind}_map").write_text("".join(f"{a} {a} {count}\n" for a, _, count in known))
        except PermissionError:
            if kind == "gid":
                (folder / "setgroups").write_text("deny")
            (folder / f"{kind}_map").write_text(f"{own} {own} 1\n")


def renounce(*capabilities: int) -> None:
    """Programs that this process starts never have these, not even root's."""
    for each in capabilities:
        control(PR_CAPBSET_DROP, each)


def private_mounts() -> None:
    """What is mounted from here on is seen in this mount namespace alone."""
    _call("mount", None, b"/", None, MS_PRIVATE_ALL, None)


def bind(source: Path, target: Path) -> None:
    """Has a file stand for another."""
    _call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND, None)
