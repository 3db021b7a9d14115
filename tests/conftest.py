"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis.internal.conjecture.providers import Constants, HypothesisProvider

# A shell's background jobs ignore Ctrl-C, and so would all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis would also draw numbers found in the sources of all that is loaded:
# what a seed draws would depend on which tests ran before
HypothesisProvider._local_constants = Constants()

# Tables are as wide as they would be on no terminal; who runs tests in parallel is told a width
os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True, scope="session")
def _temporary_files_are_its_own() -> Iterator[None]:
    """Meshes are found there by their names, and what is left of them is swept: no other process's."""
    with (
        tempfile.TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as changed,
    ):
        Path(folder).chmod(0o711)  # for the processes of other users that tests start
        changed.setenv("TMPDIR", folder)
        changed.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True, scope="module")
def _what_is_there_stays_out_of_collections() -> None:
    """Tests that have the collector look for leftovers would have it look through all earlier tests' too."""
    gc.freeze()
