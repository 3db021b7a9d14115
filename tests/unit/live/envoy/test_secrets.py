"""Certificates as the files that an Envoy watches: for their owner alone, whole, only what has changed."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from meshsim.live.envoy.agents import SecretFiles
from meshsim.live.envoy.tls import CERTIFICATE, ROOTS, file_of
from meshsim.live.identity.answers import AnswerError
from tests.live.tls.pki import Authority


def read(folder: Path, secret: str) -> tuple[str, Any]:
    """The version and the resource of a secret."""
    found = json.loads((folder / file_of(secret)).read_text())
    (resource,) = found["resources"]
    assert resource["name"] == secret
    return found["version_info"], resource


def test_a_rotation_writes_what_has_changed(tmp_path: Path) -> None:
    files, authority = SecretFiles(tmp_path), Authority()
    files.renew(authority.leaf("cart"))
    first = {name: read(tmp_path, name) for name in (CERTIFICATE, ROOTS)}
    assert first[CERTIFICATE][0] != first[ROOTS][0]
    files.renew(authority.leaf("cart"))
    assert read(tmp_path, ROOTS) == first[ROOTS], "the roots are the same"
    assert read(tmp_path, CERTIFICATE) != first[CERTIFICATE]
    files.renew(authority.leaf("cart", roots=[authority, Authority("root 1")]))
    assert json.dumps(read(tmp_path, ROOTS)).count("BEGIN CERTIFICATE") == 2
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, authority = SecretFiles(tmp_path), Authority()
    files.renew(authority.leaf("cart"))
    before = read(tmp_path, CERTIFICATE)

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(AnswerError, match=r"unwritable: sds-certificate\.json: No space left"):
            files.renew(authority.leaf("cart"))
    assert read(tmp_path, CERTIFICATE) == before
    files.renew(authority.leaf("cart"))
    assert read(tmp_path, CERTIFICATE) != before, "the next time there is room"
