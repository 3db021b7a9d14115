"""Hands batches of spans to an OTLP receiver, without ever holding anybody up.

| the receiver | what becomes of a batch |
|---|---|
| takes it: 200, or another 2xx | sent; spans that it says it rejected are counted |
| answers 429, 502, 503 or 504 | sent again after its Retry-After, else with back-off |
| answers anything else | dropped, with the answer as the reason |
| does not answer in time, or with what is no HTTP; or there is none | sent again with back-off |

A `Sender` waits for its batches: after a run that is all there is to do. A `Stream` is a queue with a limit
before one: what comes while it is full is dropped. Whatever is dropped is counted, with the reason.

Source: OTLP specification, OTLP/HTTP response and throttling; RFC 9110, 10.2.3 (Retry-After).
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import queue
import random
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from meshsim.errors import MeshsimError, printable, shown
from meshsim.measure.traces import TraceExport
from meshsim.version import VERSION

BATCH = 512
"""Spans of one request, at most."""
ANSWER_LIMIT = 10.0
"""How long sending a batch may take, from connecting to the whole answer, s."""
BACKOFF_BASE, BACKOFF_MAX = 0.5, 10.0
RETRY_AFTER_MIN, RETRY_AFTER_MAX = 0.1, 60.0
"""Shorter or longer than this nobody waits, whatever a receiver asks for, s."""
PATIENCE = 30.0
"""So long a batch is sent again and again after a run, s; then the receiver counts as gone."""
QUEUE_SPANS = 1 << 16
"""Spans that wait for a receiver that is slower than the mesh."""
CLOSING = 10.0
"""How long the end of a live run waits for what is queued, s."""
PATH = "/v1/traces"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FRAMING = frozenset(("content-length", "transfer-encoding", "content-encoding", "content-type", "host"))
AGAIN = frozenset((429, 502, 503, 504))
ANSWER_BYTES = 1 << 16
REASONS, REASON_CHARACTERS = 20, 200
"""Of what went wrong, kept: so many different reasons, each so long."""
OTHER_REASONS = "other reasons"
INTERRUPTED = "interrupted"


def endpoint(url: str) -> SplitResult:
    """Where spans go, by a URL with or without the path ``/v1/traces``; a MeshsimError where it is none."""
    try:
        url = url if isinstance(url, str) else ""
        parts = urlsplit(url)
        plain = re.fullmatch(r"[!-~]+", url) is not None
        known = plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or "@" in parts.netloc:
        raise MeshsimError(
            f"--otlp: {shown(url)} is not the URL of an OTLP receiver; write one such as http://127.0.0.1:4318"
            f" (credentials go into {HEADERS})"
        )
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(PATH) else path + PATH)


def own_headers(text: str) -> dict[str, str]:
    """The headers that ``OTEL_EXPORTER_OTLP_HEADERS`` asks for: ``key=value,key=value``."""
    pairs = (each.partition("=") for each in text.split(",") if "=" in each)
    found = {key.strip().lower(): unquote(value.strip()) for key, _, value in pairs}
    for name, value in found.items():
        if not NAME.fullmatch(name) or name in FRAMING:
            raise MeshsimError(f"{HEADERS}: {shown(name)} can't be the name of a header here; leave it out")
        if not (value.isascii() and value.isprintable()):
            raise MeshsimError(
                f"{HEADERS}: what {name} is to hold is more than printable ASCII, such as the end of a line;"
                " leave it out"
            )
    return found


def batches(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Rows in pieces of at most `BATCH`."""
    return (rows[begin : begin + BATCH] for begin in range(0, len(rows), BATCH))


class Sender:
    """Sends batches to one receiver, one after the other, and counts what became of their spans.

    `stop` ends a wait, as `deadline` does, of the monotonic clock: what has not been sent then is dropped.
    """

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self.to = endpoint(url)
        self.sent = self.rejected = self.dropped = self.retries = 0
        self.problems: Counter[str] = Counter()
        self.interrupted = False
        self.stop = threading.Event()
        self.deadline = float("inf")
        self._patience = patience
        self._gone = ""
        self.asked = own_headers(os.environ.get(HEADERS, ""))
        self._headers = {
            "content-type": "application/x-protobuf", "content-encoding": "gzip",
            "user-agent": f"meshsim/{VERSION}", **self.asked,
        }  # fmt: skip
        self._connection: http.client.HTTPConnection | None = None
        self._late = False  # the exchange was cut off

    def report(self, began: float) -> TraceExport:
        """What became of all; scenario time 0 was at `began`, s since 1970."""
        counts = self.sent, self.rejected, self.dropped, self.retries
        return TraceExport(self.to.geturl(), began, *counts, dict(self.problems), self.interrupted)

    def send(self, message: Message, spans: int) -> None:
        """Sends a batch of so many spans; returns when it has been taken, or dropped."""
        if self._gone:
            self.drop(spans, self._gone)
            return
        body = gzip.compress(message.SerializeToString(), compresslevel=1)
        began = time.monotonic()
        tries = 0
        while True:
            status, wait, why = self._post(body, spans)
            if not (status in AGAIN or status == 0):
                return
            self.retries += 1
            tries += 1
            backoff = min(BACKOFF_MAX, BACKOFF_BASE * 2 ** min(tries - 1, 10)) * random.uniform(0.5, 1.0)
            pause = backoff if wait is None else wait
            end = min(began + self._patience, self.deadline)
            if time.monotonic() + pause > end or self.stop.wait(pause):
                self._gone = "" if self._patience == float("inf") else why
                self.drop(spans, why)
                return

    def _post(self, body: bytes, spans: int) -> tuple[int, float | None, str]:
        """One try: its status, how long to wait before the next, s, if that was said, and what was wrong."""
        self._late = False
        limit = threading.Timer(ANSWER_LIMIT, self._cut)
        limit.daemon = True
        limit.start()
        try:
            answer = self._answer(body)
            content = answer.read(ANSWER_BYTES)
            if self._late:
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:  # that: of a chunk of negative size
            self.close()
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if self._late or isinstance(error, TimeoutError):
                why = f"no answer within {ANSWER_LIMIT:g} s"
            return 0, None, f"the receiver could not be reached: {why}"
        finally:
            limit.cancel()
        if not answer.isclosed() or answer.will_close:
            self.close()
        if 200 <= answer.status < 300:  # the protocol has 200; receivers with a queue say 202
            self._taken(content, spans)
            return answer.status, None, ""
        why = f"the receiver answered {answer.status}"
        if answer.status not in AGAIN:
            self.drop(spans, why)
        return answer.status, retry_after(answer.getheader("retry-after")), why

    def _cut(self) -> None:
        """Ends an exchange that takes too long, though something comes now and then."""
        self._late = True
        socket_ = self._connection.sock if self._connection is not None else None
        if socket_ is not None:
            with contextlib.suppress(OSError):
                socket_.shutdown(socket.SHUT_RDWR)

    def _answer(self, body: bytes) -> http.client.HTTPResponse:
        kept = self._connection is not None
        try:
            return self._exchange(body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if not kept or self._late:
                raise
            return self._exchange(body)  # the receiver has closed what had been idle

    def _exchange(self, body: bytes) -> http.client.HTTPResponse:
        connection = self._connection
        if connection is None:
            host = self.to.hostname or ""
            connection = (
                http.client.HTTPSConnection(
                    host, self.to.port, timeout=ANSWER_LIMIT, context=ssl.create_default_context()
                )
                if self.to.scheme == "https"
                else http.client.HTTPConnection(host, self.to.port, timeout=ANSWER_LIMIT)
            )
            self._connection = connection
        connection.request("POST", self.to.path, body, self._headers)
        return connection.getresponse()

    def _taken(self, content: bytes, spans: int) -> None:
        """Counts a batch that was taken, whole or in part."""
        rejected, why, times = 0, "", 0
        try:
            partial = ExportTraceServiceResponse.FromString(content).partial_success
            rejected = times = min(max(partial.rejected_spans, 0), spans)
            if rejected:
                why = f"the receiver rejected spans: {partial.error_message or 'no reason given'}"
            elif partial.error_message:
                why, times = f"the receiver warns: {partial.error_message}", 1
        except DecodeError:
            why, times = "the receiver's answer is no OTLP", 1
        self.sent += spans - rejected
        self.rejected += rejected
        self._note(why, times)

    def drop(self, spans: int, why: str) -> None:
        """Counts spans that nobody will send."""
        self.dropped += spans
        self._note(why, spans)

    def _note(self, why: str, times: int) -> None:
        """Keeps a reason, which may be a receiver's: few, short, and fit to be printed."""
        if times:
            words = printable(why)[:REASON_CHARACTERS]
            known = words in self.problems or len(self.problems) < REASONS
            self.problems[words if known else OTHER_REASONS] += times

    @property
    def counted(self) -> int:
        """Spans of which is known what became of them."""
        return self.sent + self.rejected + self.dropped

    def interrupt(self, spans: int) -> None:
        """Ctrl-C: no more than these spans were to be sent."""
        self.interrupted = True
        self.drop(spans - self.counted, INTERRUPTED)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def retry_after(value: str | None) -> float | None:
    """How long a receiver asks to wait, s; None if it does not, or not intelligibly."""
    if value is None:
        return None
    try:
        wait = (
            float(value)
            if value.strip().isdigit()
            else parsedate_to_datetime(value).timestamp() - time.time()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, RETRY_AFTER_MIN), RETRY_AFTER_MAX)


class Stream:
    """Sends what is offered, in a thread of its own; whoever offers never waits.

    `encode` makes messages of what was offered, with the number of spans in each, in that thread.
    """

    def __init__(self, sender: Sender, encode: Callable[[Any], Iterable[tuple[Message, int]]]) -> None:
        self._sender = sender
        self._encode = encode
        self._queue: queue.SimpleQueue[tuple[Any, int] | None] = queue.SimpleQueue()
        self._offered = 0
        self._lost: Counter[str] = Counter()  # before they came so far
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offer(self, item: Any, spans: int) -> None:
        """Takes something with so many spans, unless too many wait."""
        if self._offered - self._sender.counted + spans > QUEUE_SPANS:
            self.miss(spans, "the receiver is too slow, and the queue was full")
            return
        self._offered += spans
        self._queue.put((item, spans))

    def miss(self, spans: int, why: str) -> None:
        """Counts spans that were lost before they came here."""
        self._lost[why] += spans

    def close(self, limit: float | None = None) -> None:
        """Sends what waits, for so long (s, `CLOSING`) or until Ctrl-C."""
        limit = CLOSING if limit is None else limit
        self._sender.deadline = time.monotonic() + limit
        self._queue.put(None)
        try:
            self._thread.join(limit)
        except KeyboardInterrupt:
            self._sender.interrupted = True
        self._sender.stop.set()
        self._thread.join(0.5)

    def report(self, began: float) -> TraceExport:
        """What became of all by now, as `Sender.report`; what was not sent counts as dropped.

        NOTE: a batch may be on its way still: it is one or the other, whenever that is asked.
        """
        found = self._sender.report(began)
        left = self._offered - (found.sent + found.rejected + found.dropped)
        why = INTERRUPTED if found.interrupted else "the run was over before the receiver took them"
        lost = self._lost + Counter({why: left})
        return replace(
            found, dropped=found.dropped + lost.total(), problems=dict(Counter(found.problems) + lost)
        )

    def _run(self) -> None:
        sender = self._sender
        while (item := self._queue.get()) is not None and not sender.stop.is_set():
            offered, left = item
            try:
                for message, count in self._encode(offered):
                    if sender.stop.is_set():
                        break
                    sender.send(message, count)
                    left -= count
            except Exception as error:  # whatever it is: the next ones are sent
                sender.drop(left, f"an error of meshsim's own, please report it: {error!r}")
        sender.close()
