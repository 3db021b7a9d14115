"""Where results go: a folder checked before the run, files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from errno import EISDIR
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from meshsim.errors import MeshsimError
from meshsim.measure.table import Table
from meshsim.scenario import written
from meshsim.scenario.model import Scenario

Writer = Callable[[BinaryIO], object]
"""Writes one file's content."""


def prepare(folder: str | Path, option: str = "--out") -> Path:
    """Makes the folder and proves, before anything is computed, that files can be written there.

    Args:
        folder: made if missing.
        option: which gave it, for the message.

    Raises:
        MeshsimError: they can't; nothing of the run would be kept.
    """
    path = Path(folder)
    test = path / f".meshsim-{os.getpid()}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        try:
            test.write_bytes(b"test")
        finally:
            test.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise MeshsimError(
            f"can't write to {path}: {reason(error)}; choose another folder with {option}"
        ) from error
    return path


def write(folder: Path, files: Mapping[str, Writer]) -> list[Path]:
    """Writes files, all or none: each under a temporary name first, put in place when every one is whole.

    Args:
        folder: must exist.
        files: by name.

    Returns:
        Where they are.

    Raises:
        MeshsimError: the disk is full, or whatever else kept a file from being written.
    """
    parts = {folder / name: folder / f".{name}.{os.getpid()}.part" for name in files}
    target = folder
    try:
        for target, writer in zip(parts, files.values(), strict=True):
            with parts[target].open("wb") as out:
                writer(out)
        for target in parts:
            if target.is_dir():
                raise IsADirectoryError(EISDIR, "there is a folder of that name")
        for target, part in parts.items():
            part.replace(target)
    except OSError as error:
        raise MeshsimError(f"can't write {target}: {reason(error)}; the results are not saved") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return list(parts)


def remove(folder: Path, names: Sequence[str]) -> None:
    """Removes files that an earlier run has left and this one does not write.

    Raises:
        MeshsimError: one can't be removed.
    """
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise MeshsimError(
                f"can't remove {folder / name}, which is of an earlier run: {reason(error)}"
            ) from error


def reason(error: OSError | ValueError) -> str:
    """Why a file can't be used, in the system's words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def json_writer(content: object) -> Writer:
    """Of a JSON file; numbers that are not finite would be no JSON, so they are refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return lambda out: out.write(text.encode())


def text_writer(content: str) -> Writer:
    """Of a text file."""
    return lambda out: out.write(content.encode())


def named_writers(scenario: Scenario) -> dict[str, Writer]:
    """Of the files that the scenario's text names, for beside it."""
    return {name: text_writer(content) for name, content in written.files(scenario).items()}


def parquet_writer(table: Table, metadata: Mapping[str, str] | None = None) -> Writer:
    """Of a Parquet file; NaN becomes null.

    Args:
        table: its columns.
        metadata: what the file says of itself.
    """

    def write_table(out: BinaryIO) -> None:
        import pyarrow as pa  # noqa: PLC0415 - slow to import
        import pyarrow.parquet as pq  # noqa: PLC0415

        columns = []
        for column in table.values():
            kind, buffers = _buffers(column, pa)
            columns.append(pa.Array.from_buffers(kind, len(column), buffers))
        pq.write_table(pa.Table.from_arrays(columns, list(table), metadata=metadata), out, compression="zstd")

    return write_table


def _buffers(column: Any, pa: Any) -> tuple[Any, list[Any]]:
    """A column as Arrow lays it out: its type, and its buffers, the first of which says what is not null.

    NOTE: made by hand, since `pyarrow.array` imports pandas (0.4 s) to look at what it is given.
    """
    if column.dtype == np.float64:
        known = np.packbits(~np.isnan(column), bitorder="little")
        return pa.float64(), [pa.py_buffer(known.tobytes()), pa.py_buffer(column.tobytes())]
    if column.dtype == np.int64:
        return pa.int64(), [None, pa.py_buffer(column.tobytes())]
    if column.dtype == np.bool_:
        return pa.bool_(), [None, pa.py_buffer(np.packbits(column, bitorder="little").tobytes())]
    words = [str(word).encode() for word in column]
    offsets = np.cumsum([0, *map(len, words)], dtype=np.int32)
    return pa.string(), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(words))]
