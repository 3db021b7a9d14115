"""The admin listener: readiness and statistics, to read and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from meshsim.live.ports import NO_DOMAIN
from meshsim.live.proxy.series import Exposition, Series
from meshsim.live.wire import NOBODY, Handler, RequestHead, ServerConnection, ServerStream

HOST = re.compile(NO_DOMAIN.encode())


class Admin(Handler):
    """Answers ``/ready`` (whether the proxy knows its upstreams), ``/stats`` and ``/stats/prometheus``."""

    def __init__(self, series: list[Series], stats: Callable[[], dict[str, Any]]) -> None:
        self.ready = False
        self.stats = stats
        self.registry = CollectorRegistry()
        self.registry.register(Exposition(series))

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        if HOST.fullmatch(head.host):
            status, kind, text = self.page(head.method, head.path.partition(b"?")[0])
        else:
            status, kind, text = 403, "text/plain", b"ask by address: http://127.0.0.1 or http://localhost\n"
        connection.answer(status, [(b"content-type", kind.encode())], text)
        return NOBODY

    def page(self, method: bytes, path: bytes) -> tuple[int, str, bytes]:
        """Status, content type and content of a page."""
        if method not in (b"GET", b"HEAD"):
            return 405, "text/plain", b"the admin listener is read-only; use GET\n"
        if path == b"/ready":
            status, text = (200, b"LIVE\n") if self.ready else (503, b"PRE_INITIALIZING\n")
            return status, "text/plain", text
        if path == b"/stats/prometheus":
            return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry)
        if path == b"/stats":
            return 200, "application/json", json.dumps(self.stats()).encode() + b"\n"
        return 404, "text/plain", b"no such page; there are /ready, /stats and /stats/prometheus\n"
