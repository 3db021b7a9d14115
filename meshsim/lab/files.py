"""Where results go: a folder checked before the run, files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from errno import EISDIR
from pathlib import Path
from stat import S_ISDIR
from typing import Any, BinaryIO

import numpy as np

from meshsim.errors import MeshsimError
from meshsim.lab.jobs.interrupt import orderly
from meshsim.measure.table import Table

RUN, PAIR = ("scenario.yaml",), ("a.yaml", "b.yaml")
RESULTS = {**dict.fromkeys(RUN, "summary.json"), **dict.fromkeys(PAIR, "compare.json")}
"""What results hold of a scenario, and the file beside it that shows that they are results."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Of a file that nobody but its owner may read."""

    data: bytes = field(repr=False)


Writer = Callable[[BinaryIO], object]
Content = str | bytes | Secret | Writer
"""Of a file, or what writes it."""


@dataclass(frozen=True, slots=True)
class Stale:
    """In a file's place: removes what an earlier run has left of it, if it holds the bytes `mark`."""

    mark: bytes


@orderly()
def prepare(folder: str | Path, option: str = "--out", *, scenarios: Iterable[str] = ()) -> Path:
    """Makes the folder and proves that files can be saved there, before any run; else MeshsimError.

    `option` is which gave it, for the message; `scenarios` are those of `RESULTS` to come: one that is there
    and belongs to no results is the user's.
    """
    path = Path(folder)
    test = path / f".meshsim-{os.getpid()}.part"
    remedy = f"choose another folder with {option}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        try:
            test.write_bytes(b"test")
        finally:
            test.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise MeshsimError(f"can't write to {path}: {reason(error)}; {remedy}") from error
    for name in scenarios:
        if (path / name).is_file() and not (path / RESULTS[name]).exists():
            raise MeshsimError(f"{path / name} is no earlier result and would be overwritten; {remedy}")
    return path


def prepare_file(file: Path, option: str) -> None:
    """As `prepare`, for a file of any name; nothing is proved of a device or FIFO."""
    if not _direct(file):
        prepare(_resolved(file).parent, option)


@orderly()
def write(folder: Path, files: Mapping[str, Content | Stale]) -> list[Path]:
    """Saves files by name, all or none: under temporary names first, put in place when every one is whole.

    Symbolic links are followed and stay. What is there and no regular file, such as a device or FIFO, is
    written into and stays as well; that can't be undone, and readers that leave early are no error.
    """
    contents = {folder / name: content for name, content in files.items() if not isinstance(content, Stale)}
    places, parts = dict[Path, Path](), dict[Path, Path]()
    target = folder
    try:
        for target, content in contents.items():
            if _direct(target):
                with contextlib.suppress(BrokenPipeError):
                    _fill(target, content, _as_it_is)
                continue
            places[target] = _resolved(target)
            parts[target] = places[target].with_name(f".{target.name}.{os.getpid()}.part")
            _fill(parts[target], content, _owner_alone if isinstance(content, Secret) else None)
        for target in parts:
            if target.is_dir():
                raise IsADirectoryError(EISDIR, "there is a folder of that name")
        for target, part in parts.items():
            part.replace(places[target])
    except OSError as error:
        raise MeshsimError(f"can't write {target}: {reason(error)}; the results are not saved") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    _remove({folder / name: content for name, content in files.items() if isinstance(content, Stale)})
    return list(contents)


def _direct(target: Path) -> bool:
    """Whether it is written into, not replaced: it is there, and neither a regular file nor a folder.

    NOTE: what /dev/fd/1 stands for may have no name, so the file is asked for by the name that was given.
    """
    try:
        folder = S_ISDIR(target.stat().st_mode)
    except OSError:
        return False
    return not folder and not _resolved(target).is_file()


def _resolved(target: Path) -> Path:
    """Where symbolic links lead to, be something there or not."""
    return Path(os.path.realpath(target))


def _fill(path: Path, content: Content, opener: Callable[[str, int], int] | None) -> None:
    with open(path, "wb", opener=opener) as out:
        if isinstance(content, Secret):
            out.write(content.data)
        elif callable(content):
            content(out)
        else:
            out.write(content.encode() if isinstance(content, str) else content)


def _owner_alone(path: str, flags: int) -> int:
    """Opens a new file that others can't read, not even while it is written."""
    return os.open(path, flags | os.O_EXCL, 0o600)


def _as_it_is(path: str, flags: int) -> int:
    """Opens what is there, and makes nothing."""
    return os.open(path, flags & ~(os.O_CREAT | os.O_TRUNC))


def _remove(files: Mapping[Path, Stale]) -> None:
    for path, stale in files.items():
        try:
            if path.is_file() and stale.mark in path.read_bytes():
                path.unlink()
        except OSError as error:
            raise MeshsimError(f"can't remove {path}, which is of an earlier run: {reason(error)}") from error


def reason(error: OSError | ValueError) -> str:
    """Why a file can't be used, in the system's words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def json_text(content: object) -> str:
    """Of a JSON file; numbers that are not finite would be no JSON, so they are refused."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parquet_writer(table: Table, metadata: Mapping[str, str] | None = None) -> Writer:
    """Of a Parquet file of columns, with metadata; NaN becomes null."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    return lambda out: pq.write_table(_arrow(table, metadata), out, compression="zstd")


def csv_header(columns: Iterable[str]) -> bytes:
    """How a CSV file begins that `csv_writer` writes."""
    return ",".join('"' + name.replace('"', '""') + '"' for name in columns).encode()


def csv_writer(table: Table) -> Writer:
    """Of a CSV file with every digit: numbers read back as the same; NaN becomes an empty cell."""
    import pyarrow.csv as pc  # noqa: PLC0415 - slow to import

    return lambda out: pc.write_csv(_arrow(table), out)


def _arrow(table: Table, metadata: Mapping[str, str] | None = None) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    columns = []
    for column in table.values():
        kind, *buffers = _buffers(column, pa)
        parts = [None if part is None else pa.py_buffer(part) for part in buffers]
        columns.append(pa.Array.from_buffers(kind, len(column), parts))
    return pa.Table.from_arrays(columns, list(table), metadata=metadata)


def _buffers(column: Any, pa: Any) -> tuple[Any, *tuple[bytes | None, ...]]:
    """A column as Arrow lays it out: its type, and its buffers, the first of which says what is not null.

    NOTE: made by hand, since `pyarrow.array` imports pandas (0.4 s) to look at what it is given.
    """
    if column.dtype == np.float64:
        return pa.float64(), np.packbits(~np.isnan(column), bitorder="little").tobytes(), column.tobytes()
    if column.dtype == np.int64:
        return pa.int64(), None, column.tobytes()
    if column.dtype == np.bool_:
        return pa.bool_(), None, np.packbits(column, bitorder="little").tobytes()
    words = [str(word).encode() for word in column]
    return pa.string(), None, np.cumsum([0, *map(len, words)], dtype=np.int32).tobytes(), b"".join(words)
