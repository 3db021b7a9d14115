"""Ctrl-C while spans are being sent: it ends soon, says what was sent, and results are saved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import meshsim
from meshsim.interop.otlp.sender import Sender, Stream
from meshsim.scenario import loads
from tests.live.otlp.receiver import Receiver
from tests.live.otlp.shop import LIVE, TEXT
from tests.live.otlp.test_sender import encode
from tests.live.processes import until

CLOCK = 60.0
"""So long nothing here takes, unless it hangs, s."""


@contextmanager
def program(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A verb as a program; it is ended if it has not ended by itself."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    begun = subprocess.Popen([sys.executable, "-m", "meshsim", *map(str, words)], process_group=0, **pipes)
    try:
        yield begun
    finally:
        begun.kill()
        begun.wait()


def pressed(begun: subprocess.Popen[str], when: Callable[[], bool]) -> tuple[str, str]:
    """What a program has printed that gets Ctrl-C as soon as something is true."""
    assert until(when, CLOCK)
    begun.send_signal(signal.SIGINT)
    return begun.communicate(timeout=CLOCK)


def told(code: int, numbers: dict[str, Any], receiver: Receiver, spans: int) -> None:
    """The sending was cut short, and every span is accounted for."""
    assert code == 130
    assert numbers["interrupted"]
    assert 0 < numbers["sent"] < spans
    assert numbers["sent"] + numbers["dropped"] == spans
    assert numbers["problems"] == {"interrupted": numbers["dropped"]}
    assert len(receiver.spans) >= numbers["sent"]


def test_after_a_run_the_results_are_saved_and_not_called_partial(tmp_path: Path) -> None:
    file, out = tmp_path / "shop.yaml", tmp_path / "out"
    file.write_text(TEXT)
    with Receiver(delay=0.5) as receiver, program("run", file, "--out", out, "--otlp", receiver.url) as run:
        printed, said = pressed(run, lambda: len(receiver.requests) > 1)
        summary = json.loads((out / "summary.json").read_text())
        told(run.returncode, summary["traces"], receiver, len(meshsim.run(loads(TEXT)).spans))
    assert not summary["partial"]
    assert "interrupted; not all spans were sent" in said
    assert "did not reach" in printed + said
    assert (out / "spans.parquet").exists()


def test_an_export_ends(tmp_path: Path) -> None:
    spans = len(meshsim.run(loads(TEXT), out=tmp_path).spans)
    with (
        Receiver(delay=0.5) as receiver,
        program("export", "otlp", tmp_path, "--to", receiver.url, "--json") as export,
    ):
        printed, said = pressed(export, lambda: len(receiver.requests) > 1)
        told(export.returncode, json.loads(printed)["traces"], receiver, spans)
    assert "interrupted" in said


def test_a_live_run_that_is_over_waits_no_longer(tmp_path: Path) -> None:
    file, out = tmp_path / "shop.yaml", tmp_path / "out"
    file.write_text(meshsim.scenario.config.text(loads(TEXT, overrides=[*LIVE, "duration=2s"])))

    def over() -> bool:
        """The mesh is gone, and what waits is being sent."""
        children = Path(f"/proc/{live.pid}/task/{live.pid}/children").read_text()
        if not receiver.requests or children:
            return False
        time.sleep(0.5)
        return True

    with Receiver(delay=1.0) as receiver, program("live", file, "--out", out, "--otlp", receiver.url) as live:
        _, said = pressed(live, over)
        summary = json.loads((out / "summary.json").read_text())
        told(live.returncode, summary["traces"], receiver, len(summary_spans(out)))
    assert not summary["partial"]
    assert "interrupted; not all spans were sent" in said


def summary_spans(out: Path) -> list[str]:
    import pyarrow.parquet as pq

    found: list[str] = pq.read_table(out / "spans.parquet").column("span_id").to_pylist()
    return found


def test_a_stream_counts_what_it_leaves_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_batches(item: tuple[int, int]) -> Iterator[tuple[Any, int]]:
        for first in range(50):
            yield from encode((1, item[1] + first))

    with Receiver(delay=0.2) as receiver:
        stream = Stream(sender := Sender(receiver.url, float("inf")), in_batches)
        stream.offer((50, 1), 50)
        assert until(lambda: sender.sent > 0)
        waits, join = threading.Event(), stream._thread.join
        monkeypatch.setattr(stream._thread, "join", lambda limit: waits.set() or join(limit))

        def press(here: int = threading.get_ident()) -> None:
            waits.wait()
            time.sleep(0.2)  # Python loses one for as long as a wait lasts that is just being begun
            signal.pthread_kill(here, signal.SIGINT)

        pressing = threading.Thread(target=press)
        pressing.start()
        stream.close()
        report = stream.report(0.0)
        pressing.join()
    assert report.interrupted
    assert 0 < report.sent < 50
    assert report.sent + report.dropped == 50
