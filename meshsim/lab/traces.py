"""Spans to a tracing back end: after a run, while a mesh runs live, or from a folder of results."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.jobs.interrupt import orderly
from meshsim.live.launch import LiveMesh
from meshsim.live.options import TraceReceiver
from meshsim.measure.spans import ATTEMPT_KINDS, COLUMNS, KINDS, ROW_BYTES, Spans, span_rows, span_table
from meshsim.measure.summary import Summary
from meshsim.measure.table import Table
from meshsim.measure.traces import TraceExport
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from meshsim.interop.otlp.encode import Encoder
    from meshsim.interop.otlp.sender import Sender, Stream

NANO = 1_000_000_000
FORMS = {"protobuf": "pb", "json": "json"}
"""Of exported files, and how their names end."""
LATEST = 2.0**64 / NANO
"""Before then is what OTLP can say, s since 1970."""
COLUMN_TYPES: dict[type, tuple[str, ...]] = {
    str: ("string", "large_string"), float: ("double",), int: ("int64",), bool: ("bool",)
}  # fmt: skip
TYPES = {name: COLUMN_TYPES[kind] for name, kind in {**COLUMNS, "replication": int}.items()}
"""Of the columns of spans.parquet, Arrow's words."""
IDS = {
    "trace_id": re.compile("[0-9a-f]{32}").fullmatch,
    "span_id": re.compile("[0-9a-f]{16}").fullmatch,
    "parent_id": re.compile("([0-9a-f]{16})?").fullmatch,
}
GIVE = "give the folder of run --out or live --out"


def sender_to(url: str, patience: float | None = None) -> Sender:
    """A sender to a receiver's URL; a MeshsimError where it is none, or OTLP can't be written here."""
    try:
        from meshsim.interop.otlp.sender import PATIENCE, Sender  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MeshsimError(
            f"traces can't be written without {error.name}; run pip install 'meshsim[otlp]'"
        ) from error
    return Sender(url, PATIENCE if patience is None else patience)


def encoder(scenario: Scenario, engine: str, began: float) -> Encoder:
    """What writes the spans of a run whose scenario time 0 was at `began`, s since 1970."""
    from meshsim.interop.otlp.encode import Encoder  # noqa: PLC0415 - an extra

    origin = round(began * NANO)
    half = int.from_bytes(hashlib.sha256(f"{scenario.name} {origin}".encode()).digest()[:8], "big") | 1
    return Encoder(scenario, engine, origin, half)


def rows_of(table: Table) -> list[dict[str, Any]]:
    """The rows of a table of spans, with the replica whose each is: that of the server span above it."""
    rows = span_rows(table)
    above = {(row["replication"], row["span_id"]): row for row in rows}
    for row in rows:
        owner: dict[str, Any] | None = row
        for _ in ("of an attempt", "its call"):
            if owner is not None and owner["kind"] != "server":
                owner = above.get((row["replication"], owner["parent_id"]))
        row["instance"] = owner["replica"] if owner is not None and owner["kind"] == "server" else ""
    return rows


def messages(rows: Sequence[Mapping[str, Any]], encode: Encoder) -> Iterator[tuple[Message, int]]:
    """The exports of rows, with the number of spans in each."""
    from meshsim.interop.otlp.sender import batches  # noqa: PLC0415 - an extra

    for batch in batches(rows):
        yield encode.request(batch), len(batch)


def send_table(sender: Sender, table: Table, scenario: Scenario, engine: str, began: float) -> TraceExport:
    """Sends a table of spans; Ctrl-C ends it, and what is left then is counted as dropped."""
    with orderly():
        try:
            for message, count in messages(rows_of(table), encoder(scenario, engine, began)):
                sender.send(message, count)
        except KeyboardInterrupt:
            sender.interrupt(len(table["span_id"]))
        finally:
            sender.close()
    return sender.report(began)


def with_traces(numbers: Summary, sent: TraceExport) -> Summary:
    """A run's numbers with what became of its spans, and a note where that is not all well."""
    return replace(numbers, traces=sent, notes=[*numbers.notes, *sent.words()])


def ended_now(table: Table) -> float:
    """When a simulation began that ends now, s since 1970."""
    return max(0.0, time.time() - _length(table))


def _length(table: Table) -> float:
    return float(max(table["end"], default=0.0))


# ---- as it runs --------------------------------------------------------------------------------------


class LiveTraces:
    """The spans of a mesh that runs; a context manager, at whose end what is left has been sent, or dropped.

    `began` is when scenario time 0 was, s since 1970, `engine` the run's. Without a sender it does nothing.
    """

    def __init__(self, sender: Sender | None, scenario: Scenario, engine: str = "live") -> None:
        self.began = time.time()
        self.sink = None if sender is None else self._take
        self.receiver = None if sender is None else TraceReceiver(sender.to.geturl(), sender.asked)
        self._sender = sender
        self._scenario = scenario
        self.engine = engine
        self._mesh: LiveMesh | None = None
        self._encoder: Encoder | None = None
        self._stream: Stream | None = None

    def __enter__(self) -> LiveTraces:
        if self._sender is not None:
            from meshsim.interop.otlp.sender import Stream  # noqa: PLC0415 - an extra

            self._stream = Stream(self._sender, self._messages)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._stream is not None:
            if kind is None:
                self._stream.close()
            else:
                self._stream.close(0.0)

    def follow(self, mesh: LiveMesh) -> None:
        """Scenario time of this mesh has begun."""
        self.began = mesh.began
        self._mesh = mesh

    def report(self) -> TraceExport | None:
        """What became of all, at the end."""
        return None if self._stream is None else self._stream.report(self.began)

    def _take(self, id_: str, packed: bytes, lost: int) -> None:
        assert self._stream is not None, "it has been entered"
        if packed:
            self._stream.offer((id_, packed), len(packed) // ROW_BYTES)
        if lost:
            self._stream.miss(lost, "a process of the mesh had to drop them")

    def _messages(self, offered: tuple[str, bytes]) -> Iterator[tuple[Message, int]]:
        id_, packed = offered
        if self._encoder is None:
            self._encoder = encoder(self._scenario, self.engine, self.began)
        topology = (
            Topology(self._scenario) if self._mesh is None else self._mesh.topology
        )  # it may have grown
        rows = span_rows(span_table(Spans.read(packed), topology))
        for row in rows:
            row["instance"] = id_
        return messages(rows, self._encoder)


def traces_to(url: str | None, scenario: Scenario, proxy: str) -> LiveTraces:
    """What sends the spans of a live run to a receiver, if there is a URL; MeshsimError where it is none."""
    engine = "live" if proxy == "meshsim" else proxy
    return LiveTraces(None if url is None else sender_to(url, float("inf")), scenario, engine)


# ---- from a folder ----------------------------------------------------------------------------------


def export_otlp(
    folder: str | Path, *, to: str | None = None, out: str | Path | None = None, form: str = "protobuf"
) -> tuple[TraceExport | None, list[Path]]:
    """Sends the spans of a folder that `run` or `live` has written, or writes them as OTLP files.

    A live run's times are those at which it ran; a simulation is shown as if it had ended when its results
    were saved, or when its spans were sent before.

    Args:
        folder: of the results.
        to: the receiver's URL; None writes files.
        out: where files go; None is the folder itself.
        form: of files: ``protobuf`` or ``json``.

    Returns:
        What became of the spans that were sent, if they were; and the files written.

    Raises:
        MeshsimError: it is no such folder; the form or the URL can't be used; files can't be written.
    """
    if form not in FORMS:
        raise MeshsimError(f"no form {form!r} of OTLP; choose {' or '.join(FORMS)}")
    sender = None if to is None else sender_to(to)
    scenario, table, engine, began = read_spans(Path(folder))
    if sender is not None:
        return send_table(sender, table, scenario, engine, began), []
    sender_to("http://localhost")  # that it is there
    target = files.prepare(folder if out is None else out)
    encode = encoder(scenario, engine, began)
    exports = enumerate(messages(rows_of(table), encode))
    if form == "json":
        from meshsim.interop.otlp.encode import json_line  # noqa: PLC0415 - an extra

        lines = "".join(f"{json_line(message)}\n" for _, (message, _) in exports)
        return None, files.write(target, {"traces.otlp.jsonl": lines})
    named = {f"traces-{number:04d}.otlp.pb": message.SerializeToString() for number, (message, _) in exports}
    return None, files.write(target, named)


def read_spans(folder: Path) -> tuple[Scenario, Table, str, float]:
    """What a run was made of, its spans, its engine, and when it began, s since 1970."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    spans, summary = folder / "spans.parquet", folder / "summary.json"
    try:
        numbers = json.loads(summary.read_text(encoding="utf-8"))
        saved = spans.stat().st_mtime
        found = pq.read_table(spans)
        engine = str(numbers["engine"])
        known = (numbers.get("traces") or numbers.get("live") or {}).get("began")
    except OSError as error:
        raise MeshsimError(
            f"can't read {error.filename or folder}: {error.strerror or error}; {GIVE}"
        ) from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise MeshsimError(f"{folder} holds no spans of a run ({error}); {GIVE}") from error
    if missing := [name for name in TYPES if name not in found.column_names]:
        raise MeshsimError(f"{spans} has no column {missing[0]}: an older meshsim wrote it; run it again")
    if not found.num_rows:
        raise MeshsimError(
            f"{folder} has no spans: of the requests that ended none was traced; run the scenario with"
            " --set tracing.sampling=100%, or for longer"
        )
    for name, types in TYPES.items():
        if str(found.column(name).type) not in types or found.column(name).null_count:
            raise MeshsimError(f"{spans} is damaged: column {name} can't be read; run it again")
    table = {name: found.column(name).to_numpy(zero_copy_only=False) for name in TYPES}
    if isinstance(known, float) and 0.0 <= known < LATEST:
        began = known
    else:
        began = max(0.0, saved - _length(table))
    if wrong := _damage(table, began):
        raise MeshsimError(f"{spans} is damaged: {wrong}; run it again")
    return load(folder / "scenario.yaml"), table, engine, began


def _damage(table: Table, began: float) -> str:
    """What is wrong with spans whose columns are there; empty where nothing is."""
    for name, form in IDS.items():
        if not all(map(form, table[name].tolist())):
            return f"{name} is no id"
    for name, words in (("kind", KINDS), ("attempt_kind", ATTEMPT_KINDS)):
        if not set(table[name].tolist()) <= set(words):
            return f"{name} is none of {', '.join(words)}"
    if len({*zip(table["replication"].tolist(), table["span_id"].tolist(), strict=True)}) < len(
        table["kind"]
    ):
        return "two spans have one span_id"
    start, end = table["start"], table["end"]
    if not np.all((began + start >= 0.0) & (end >= start) & (began + end < LATEST)):
        return "start and end are not times"
    return ""
