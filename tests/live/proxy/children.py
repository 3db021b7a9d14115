"""A proxy in a process of its own, driven as the launcher drives it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

SCENARIO = """
duration: 1h
services: {cart: {}}
mesh: {dataplane: sidecar}
policies: {cart: {timeout: 0s, retries: {attempts: 1}}}
load: [{to: cart, rate: 1/s}]
"""
HOST = "127.0.0.1"


class Child:
    """`python -m meshsim.live` as the client's proxy before one upstream.

    Args:
        upstream: the port of `cart/0`, or of the application behind it.
        id: whose proxy it is: the client's, or that of `cart/0`.
        keep: whether it keeps rows.
        log: file of its access log.
        scenario: with one service, `cart`.
    """

    def __init__(
        self,
        upstream: int,
        *,
        id: str = "client/0",
        keep: bool = False,
        log: Path | None = None,
        scenario: str = SCENARIO,
    ) -> None:
        command = [sys.executable, "-m", "meshsim.live"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.say(
            role="proxy", id=id, scenario=scenario, folder=None, seed=7, host=HOST, keep=keep,
            context="x-meshsim", access_log=None if log is None else str(log),
        )  # fmt: skip
        self.ports: dict[str, Any] = self.hear("listening")
        app = None if id == "client/0" else [HOST, upstream]
        self.say(addresses={"cart/0": [HOST, upstream]}, app=app, urls={})
        assert self.hear("ready")
        self.say(start=time.monotonic())

    def say(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, what: str) -> Any:
        """What the next message of this kind says."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            message = json.loads(line)
            if what in message:
                return message[what]
        raise AssertionError(f"the proxy ended before it said what {what}")

    @property
    def port(self) -> int:
        """Of the listener for `cart`: the client's, or its own."""
        port: int = self.ports["inbound"] or self.ports["urls"]["cart"]
        return port

    def memory(self) -> int:
        """What of its memory is in use now, bytes."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """What was at most, bytes."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self) -> int:
        """Ends it; returns its exit code, once it has sent what it has to."""
        self.say(stop=True)
        assert self.process.stdout is not None
        self.process.stdout.read(self.hear("rows"))
        return self.process.wait(timeout=10)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
