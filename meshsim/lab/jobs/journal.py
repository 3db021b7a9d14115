"""What a sweep has finished, kept so that neither ``kill -9`` nor a full disk loses a finished run.

``sweep.journal`` has a line that says which sweep it is, and one for each finished run, on the disk (fsync)
before the run counts. A torn last line is cut off when the sweep goes on. At the end, or at Ctrl-C, all is
folded into ``sweep.parquet``, in a single step, and the journal goes. A sweep goes on from both. Both carry
digests (`seal`); what has changed since is refused, and left as it is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from meshsim import forms, version
from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.jobs import seal
from meshsim.lab.jobs.closing import Closing
from meshsim.lab.output import FORMATS, Written
from meshsim.lab.tidy import Row, Run, runs_of
from meshsim.measure.result import Result
from meshsim.measure.table import Table
from meshsim.scenario import config
from meshsim.scenario.grid import Grid, text

FORMAT = 2
TABLE, JOURNAL = "sweep.parquet", "sweep.journal"
BESIDE = ("sweep.csv", *(f"sweep.{form}" for form in FORMATS))
"""What may stand beside the table."""
META, DIGEST = "meshsim", "meshsim.sha256"
"""The keys of a table's metadata under which it says which sweep it is, and proves that it is whole."""
UNLIKE_RESULTS = {"name", "description", "engine", "seed", "sweep", "objectives"}
"""Keys of a scenario that change no number of a sweep, or are reported by themselves."""
KEPT = "finished runs are kept: make room, and the same command (without --fresh) resumes"
REMEDY = "choose another folder with --out, or begin anew with --fresh"
OLD = "an earlier version of meshsim wrote it, without the digests that would show damage"
DAMAGED = "it is damaged: what it holds does not match its digest"


@dataclass(frozen=True)
class Header(Result):
    """Which sweep this is: what must be the same for finished runs to be of use, and how to make it again.

    `points` is a digest of the scenarios, `text` the scenario as YAML, `keys` what is varied, and its values.
    """

    format: int
    version: str
    sources: str
    scenario: str
    keys: dict[str, list[str]]
    seed: int
    engine: str
    points: str
    replications: int
    text: str


def header(grid: Grid, *, seed: int, engine: str, replications: int) -> Header:
    """Which sweep this is."""
    digest = hashlib.sha256()
    for point in grid.points:
        digest.update(point.scenario.model_dump_json(exclude=UNLIKE_RESULTS).encode())
    return Header(
        format=FORMAT,
        version=version.VERSION,
        sources=forms.model(),
        scenario=grid.scenario.name,
        keys={key: [text(value) for value in values] for key, values in grid.keys.items()},
        seed=seed,
        engine=engine,
        points=digest.hexdigest(),
        replications=replications,
        text=config.text(grid.scenario),
    )


class Memory(Closing):
    """Keeps the rows of each finished run of a sweep for as long as the program runs."""

    def __init__(self) -> None:
        self.finished: dict[Run, list[Row]] = {}

    def close(self) -> None:
        """Lets go of what it uses."""

    def add(self, run: Run, rows: list[Row]) -> None:
        """Keeps a finished run."""
        self.finished[run] = rows

    def fold(self, table: Table, beside: Written) -> list[Path]:
        """Puts all that is finished in its last place, with other files; returns the files."""
        return []


class Journal(Memory):
    """A sweep's folder, locked against others while open; it holds a journal until the sweep is done."""

    def __init__(self, folder: str | Path, header: Header, *, fresh: bool = False) -> None:
        """Opens a folder and reads what was finished there before, or forgets it if `fresh`.

        MeshsimError: it can't be used, is in use, or holds another sweep.
        """
        super().__init__()
        self.folder = files.prepare(folder)
        self.header = header
        self._out: BinaryIO | None = None
        self._lock = _locked(self.folder)
        try:
            if fresh:
                for name in (JOURNAL, TABLE, *BESIDE):
                    (self.folder / name).unlink(missing_ok=True)
            self._read_table()
            self._read_journal()
        except OSError as error:
            self.close()
            raise MeshsimError(
                f"can't use {self.folder}: {files.reason(error)}; what it holds is left as it is"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the folder; what has finished stays in it."""
        if self._out is not None:
            with contextlib.suppress(OSError):  # every line was flushed when it was written
                self._out.close()
            self._out = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def add(self, run: Run, rows: list[Row]) -> None:
        """Keeps a finished run; when this returns it is on the disk. MeshsimError leaves what was kept."""
        try:
            if self._out is None:
                self._out = (self.folder / JOURNAL).open("wb", buffering=0)
                self._write(self.header.as_dict())
                _sync_folder(self.folder)
            self._write({"run": run, "rows": rows})
        except OSError as error:
            path = self.folder / JOURNAL
            raise MeshsimError(f"can't write {path}: {files.reason(error)}; {KEPT}") from error
        super().add(run, rows)

    def fold(self, table: Table, beside: Written) -> list[Path]:
        """Puts all that is finished into the one table, saves the files `beside` it, and removes the journal.

        MeshsimError: they can't be saved; the journal then stays, and nothing is lost.
        """
        try:
            paths = save(self.folder, table, self.header, beside)
        except MeshsimError as error:
            raise MeshsimError(f"{error}, but {KEPT}") from error
        if self._out is not None:
            self._out.close()
            self._out = None
        with contextlib.suppress(OSError):
            (self.folder / JOURNAL).unlink(missing_ok=True)
            _sync_folder(self.folder)
        return paths

    # ---- reading ------------------------------------------------------------------------------------

    def _read_table(self) -> None:
        path = self.folder / TABLE
        if path.exists():
            said, table = load(path)
            self._check(said)
            self.finished.update(runs_of(table))

    def _read_journal(self) -> None:
        """Takes in the journal's lines, and cuts off a torn last one."""
        path = self.folder / JOURNAL
        if not path.exists():
            return
        whole = 0
        with path.open("r+b") as journal:
            for number, line in enumerate(journal, 1):
                if not line.endswith(b"\n"):
                    break
                self._take(line, number, f"{path}:{number}")
                whole += len(line)
            journal.truncate(whole)
        if whole:
            self._out = path.open("ab", buffering=0)
            self._write(self.header.as_dict())  # which may ask for more replications than the one before

    def _take(self, line: bytes, number: int, place: str) -> None:
        """Takes in what a line of the journal says; the first says which sweep it is."""
        entry = seal.entry(line)
        if entry is None:
            once_more = "delete this line, and its run is made again, or begin anew with --fresh"
            old = number == 1 and line.startswith(b"{")
            raise MeshsimError(f"{place}: {OLD if old else DAMAGED}; {REMEDY if number == 1 else once_more}")
        if "run" not in entry:
            self._check(entry)
        elif number == 1:
            wrong = "it does not begin with the line that says which sweep it is"
            raise MeshsimError(f"{place}: {wrong}; {REMEDY}")
        else:
            self.finished[entry["run"][0], entry["run"][1]] = entry["rows"]

    def _check(self, said: Mapping[str, Any]) -> None:
        """Refuses a folder in which another sweep was made."""
        found = {
            "format": "it was written by another version of meshsim",
            "version": f"it was made by meshsim {said.get('version')}, this is {self.header.version}",
            "sources": "the sources of meshsim have changed since, and with them perhaps its numbers",
            "keys": "it varies other keys or values",
            "points": f"its scenario ({said.get('scenario')}) says something else",
            "seed": f"its seed is {said.get('seed')}, not {self.header.seed}",
            "engine": f"its engine is {said.get('engine')}, not {self.header.engine}",
        }
        for key, words in found.items():
            if said.get(key) != getattr(self.header, key):
                raise MeshsimError(f"{self.folder} holds another sweep: {words}; {REMEDY}")
        if said["replications"] > self.header.replications:
            raise MeshsimError(
                f"{self.folder} holds this sweep with {said['replications']} replications, more than"
                f" {self.header.replications}; ask for at least as many, or {REMEDY}"
            )

    # ---- writing ------------------------------------------------------------------------------------

    def _write(self, entry: dict[str, Any]) -> None:
        """Writes one line, on the disk when this returns; a line that does not fit is taken back."""
        assert self._out is not None
        before = self._out.seek(0, os.SEEK_END)
        try:
            rest = memoryview(seal.line(entry))
            while rest:
                rest = rest[self._out.write(rest) :]
            os.fsync(self._out.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._out.truncate(before)
            raise


# ---- files ------------------------------------------------------------------------------------------


def save(folder: Path, table: Table, header: Header, beside: Written) -> list[Path]:
    """Saves a sweep's table, which says which sweep it is, and other files: all, or none."""
    text = json.dumps(header.as_dict(), allow_nan=False)
    said = {META: text, DIGEST: seal.table_digest(text, table)}
    written = files.write(folder, {TABLE: _synced(files.parquet_writer(table, said)), **beside})
    with contextlib.suppress(OSError):
        _sync_folder(folder)
    return written


def load(path: Path) -> tuple[dict[str, Any], Table]:
    """Which sweep a table is of, and its columns; MeshsimError if it is none of a sweep, or was changed."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    import pyarrow.parquet as pq  # noqa: PLC0415

    data = path.read_bytes()
    try:
        found = pq.read_table(pa.BufferReader(data))
        said = {key.decode(): value.decode() for key, value in (found.schema.metadata or {}).items()}
        table: Table = {
            name: np.array(found[name].to_pylist(), dtype=_kind(found.schema.field(name).type, pa))
            for name in found.column_names
        }
    except Exception as error:  # whatever damaged bytes raise in a reader of them
        raise MeshsimError(f"{path} is not a table of a sweep by meshsim, or damaged; {REMEDY}") from error
    if META not in said:
        raise MeshsimError(f"{path} is not a table of a sweep by meshsim; {REMEDY}")
    if said.get(DIGEST) != seal.table_digest(said[META], table):
        raise MeshsimError(f"{path}: {DAMAGED if DIGEST in said else OLD}; {REMEDY}")
    header: dict[str, Any] = json.loads(said[META])
    return header, table


def _kind(arrow: Any, pa: Any) -> type:
    """The type of numpy's that a column had when it was written."""
    return {pa.int64(): np.int64, pa.float64(): np.float64, pa.bool_(): np.bool_}.get(arrow, np.str_)


def _synced(writer: files.Writer) -> files.Writer:
    """The same, and on the disk: the journal is removed after it."""

    def write(out: BinaryIO) -> None:
        writer(out)
        out.flush()
        os.fsync(out.fileno())

    return write


def _sync_folder(folder: Path) -> None:
    """Has a folder's list of files on the disk, where the system can do that."""
    if os.name == "posix":
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _locked(folder: Path) -> int | None:
    """Locks a folder for as long as this process lives; MeshsimError if another sweep has it.

    Returns what holds the lock, None where the system has none (Windows, some network file systems).
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(place)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise MeshsimError(
                f"another sweep is writing to {folder}; wait for it, or choose another folder with --out"
            ) from error
        return None
    return place
