"""The sender, against receivers that are slow, down, overloaded or strange."""

from __future__ import annotations

import socket
import threading
import time
from email.utils import formatdate

import pytest

from meshsim.errors import MeshsimError
from meshsim.interop.otlp import sender as module
from meshsim.interop.otlp.encode import Encoder
from meshsim.interop.otlp.sender import QUEUE_SPANS, Sender, Stream, endpoint, own_headers, retry_after
from meshsim.scenario import loads
from tests.live.otlp.receiver import Receiver
from tests.live.processes import closed_port, until

SCENARIO = loads("{name: s, duration: 1s, services: {a: {time: 1ms}}, load: [{to: a, rate: 1/s}]}")


def rows(count: int, first: int = 1) -> list[dict[str, object]]:
    return [
        {
            "trace_id": f"{first + number:032x}", "span_id": f"{first + number:016x}", "parent_id": "",
            "kind": "call", "service": "client", "peer": "a", "replica": "", "endpoint": "", "instance": "",
            "start": 0.0, "end": 1.0, "status": 200, "flag": "", "attempt": 1, "attempt_kind": "first",
            "extra": False,
        }
        for number in range(count)
    ]  # fmt: skip


def message(count: int, first: int = 1):
    return Encoder(SCENARIO, "fast", 1_700_000_000_000_000_000, 7).request(rows(count, first))


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_BASE", 0.01)


def test_a_batch_is_taken_as_the_protocol_has_it() -> None:
    with Receiver() as receiver:
        sender = Sender(receiver.url)
        sender.send(message(3), 3)
        sender.send(message(2, 10), 2)
        sender.close()
    ((path, headers, count), _) = receiver.requests
    assert (path, count) == ("/v1/traces", 3)
    assert (headers["content-type"], headers["content-encoding"]) == ("application/x-protobuf", "gzip")
    assert headers["user-agent"].startswith("meshsim/")
    assert receiver.problems == []
    assert {span.trace[:16] for span in receiver.spans} == {f"{7:016x}"}, (
        "a simulation's traces get an upper half"
    )
    report = sender.report(5.0)
    assert (report.sent, report.rejected, report.dropped, report.retries) == (5, 0, 0, 0)
    assert report.words() == []


def test_a_receiver_with_a_queue_says_202() -> None:
    with Receiver(answers=[(202, {})], reject=1) as receiver:
        sender = Sender(receiver.url)
        sender.send(message(4), 4)
        sender.close()
    assert len(receiver.spans) == 4
    assert (sender.sent, sender.rejected, sender.dropped) == (3, 1, 0)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_can_pass_is_sent_again(status) -> None:
    with Receiver(answers=[(status, {}), (status, {"retry-after": "0"})]) as receiver:
        sender = Sender(receiver.url)
        sender.send(message(4), 4)
        sender.close()
    assert len(receiver.spans) == 4
    assert (sender.sent, sender.retries, sender.dropped) == (4, 2, 0)


def test_retry_after_is_waited_for() -> None:
    with Receiver(answers=[(429, {"retry-after": "1"})]) as receiver:
        sender = Sender(receiver.url)
        began = time.monotonic()
        sender.send(message(1), 1)
        assert time.monotonic() - began >= 1.0
        sender.close()
    assert sender.sent == 1
    assert retry_after(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30.0, abs=2.0)
    assert [retry_after(text) for text in (None, "soon", "-5", "Wed, 99 Jan")] == [None] * 4
    assert retry_after("999999999999") == module.RETRY_AFTER_MAX


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
def test_what_can_not_pass_is_dropped_with_the_reason(status) -> None:
    with Receiver(answers=[(status, {})]) as receiver:
        sender = Sender(receiver.url)
        sender.send(message(4), 4)
        sender.send(message(2), 2)
        sender.close()
    assert (sender.sent, sender.dropped, sender.retries) == (2, 4, 0)
    assert sender.problems == {f"the receiver answered {status}": 4}
    (words,) = sender.report(0.0).words()
    assert "Of 6 spans, 4 did not reach" in words


def test_partial_success_is_read() -> None:
    with Receiver(reject=3) as receiver:
        sender = Sender(receiver.url)
        sender.send(message(4), 4)
        sender.close()
    assert (sender.sent, sender.rejected) == (1, 3)
    assert sender.problems == {"the receiver rejected spans: too old": 3}


def test_an_answer_that_is_no_otlp_is_told() -> None:
    with Receiver(body=b"\xff\xff<html>") as receiver:
        sender = Sender(receiver.url)
        sender.send(message(4), 4)
        sender.close()
    assert sender.sent == 4
    assert "the receiver's answer is no OTLP" in sender.problems


def test_a_receiver_that_is_not_there_costs_one_patience_in_all() -> None:
    with closed_port() as port:
        sender = Sender(f"http://127.0.0.1:{port}", patience=0.2)
        sender.send(message(4), 4)
        tried = sender.retries
        for _ in range(49):
            sender.send(message(4), 4)
    assert sender.retries == tried > 0, "nobody asks it again"
    assert (sender.sent, sender.dropped) == (0, 200)
    ((why, count),) = sender.problems.items()
    assert "could not be reached" in why
    assert count == 200


def test_a_receiver_that_closes_idle_connections_is_reached_again() -> None:
    with Receiver() as receiver:
        sender = Sender(receiver.url)
        for _ in range(3):
            sender.send(message(1), 1)
            assert sender._connection is not None
            sender._connection.sock.shutdown(socket.SHUT_RDWR)
        sender.close()
    assert (sender.sent, sender.dropped) == (3, 0)


def encode(item):
    count, first = item
    yield message(count, first), count


def test_a_stream_never_makes_anybody_wait_and_counts_what_does_not_fit(monkeypatch) -> None:
    held = threading.Event()
    stream = Stream(sender := Sender("http://127.0.0.1:1", float("inf")), encode)
    monkeypatch.setattr(sender, "_post", lambda body, spans: (0, held.wait() and 0.1, "it is slow"))

    def offer() -> None:
        for first in range(1, 2 * QUEUE_SPANS, 512):
            stream.offer((1, first), 512)

    offering = threading.Thread(target=offer, daemon=True)
    offering.start()
    offering.join(60.0)
    assert not offering.is_alive(), "offering waits for nobody"
    held.set()
    stream.close(0.5)
    report = stream.report(0.0)
    assert report.sent + report.dropped == 2 * QUEUE_SPANS
    assert report.dropped >= QUEUE_SPANS
    assert sum(report.problems.values()) == report.dropped
    assert "the receiver is too slow, and the queue was full" in report.problems


def test_a_stream_sends_all_that_waits_when_it_is_closed() -> None:
    with Receiver(answers=[(503, {})]) as receiver:
        stream = Stream(sender := Sender(receiver.url, float("inf")), encode)
        for number in range(40):
            stream.offer((500, 1 + 500 * number), 500)
        stream.close()
    assert (sender.sent, sender.dropped) == (20_000, 0)
    assert len({span.id for span in receiver.spans}) == 20_000


def test_the_end_of_a_run_waits_for_a_dead_receiver_no_longer_than_it_says() -> None:
    with closed_port() as port:
        stream = Stream(Sender(f"http://127.0.0.1:{port}", float("inf")), encode)
        for number in range(4):
            stream.offer((5, 1 + 5 * number), 5)
        stream.close(0.5)
    report = stream.report(0.0)
    assert (report.sent, report.dropped) == (0, 20)


def test_a_receiver_that_never_answers_is_left() -> None:
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = Stream(Sender(f"http://127.0.0.1:{server.getsockname()[1]}", float("inf")), encode)
        stream.offer((5, 1), 5)
        stream.close(0.3)
        report = stream.report(0.0)
        assert (report.sent, report.dropped) == (0, 5)
    assert threading.active_count() <= threads + 2, "its thread, and the limit of its exchange"


def test_a_batch_that_is_taken_after_the_end_counts_once(monkeypatch) -> None:
    """The thread may still wait for an answer when the run is over."""
    with Receiver() as receiver:
        stream = Stream(sender := Sender(receiver.url, float("inf")), encode)
        held, taken = threading.Event(), sender._taken
        monkeypatch.setattr(sender, "_taken", lambda content, spans: held.wait() and taken(content, spans))
        stream.offer((3, 1), 3)
        assert until(lambda: bool(receiver.requests)), "it is on its way"
        stream.close(0.0)
        before = stream.report(0.0)
        held.set()
        stream._thread.join()
        after = stream.report(0.0)
    assert (before.sent, before.dropped) == (0, 3)
    assert before.problems == {"the run was over before the receiver took them": 3}
    assert (after.sent, after.dropped, after.problems) == (3, 0, {})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:4318",
        "ftp://a",
        "http://",
        "http://a:0",
        "http://a:99999",
        "http://u:p@a",
        "http://a?b",
        "http://a/b c",
        "http://a/\n",
        "http://a/é",
        None,
    ],
)
def test_what_is_no_url_is_refused(url) -> None:
    with pytest.raises(MeshsimError, match="is not the URL of an OTLP receiver; write one such as"):
        endpoint(url)


def test_urls_with_and_without_the_path() -> None:
    for url in ("http://a:4318", "http://a:4318/", "http://a:4318/v1/traces"):
        assert endpoint(url).geturl() == "http://a:4318/v1/traces"
    assert endpoint("https://a/otlp").geturl() == "https://a/otlp/v1/traces"


def test_headers_come_from_the_usual_variable(monkeypatch) -> None:
    assert own_headers("") == {}
    assert own_headers("Api-Key=a%20b, x = 1") == {"api-key": "a b", "x": "1"}
    with pytest.raises(MeshsimError, match="end of a line"):
        own_headers("a=b%0d%0aevil: 1")
    for name in ("a b", "é", "", "Content-Length", "transfer-encoding"):
        with pytest.raises(MeshsimError, match="can't be the name of a header here"):
            own_headers(f"{name}=1")
    for value in ("%00", "é", "%ff"):
        with pytest.raises(MeshsimError, match="more than printable ASCII"):
            own_headers(f"x={value}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x")
    with Receiver() as receiver:
        sender = Sender(receiver.url)
        sender.send(message(1), 1)
        sender.close()
    assert receiver.requests[0][1]["authorization"] == "Bearer x"
