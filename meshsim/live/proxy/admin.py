"""The admin listener: readiness and statistics, to read and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from meshsim.live.ports import NO_DOMAIN
from meshsim.live.servers import PageHandler
from meshsim.live.wire import NOBODY, RequestHead, ServerConnection, ServerStream
from meshsim.measure.exposition import CONTENT_TYPE, Metric, page

HOST = re.compile(NO_DOMAIN.encode())


class Admin(PageHandler):
    """Answers ``/ready`` (whether the proxy knows its upstreams), ``/stats`` and ``/stats/prometheus``."""

    def __init__(self, metrics: Callable[[], list[Metric]], stats: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self.ready = False
        self.stats = stats
        self.metrics = metrics

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
            return 200, CONTENT_TYPE, page(self.metrics())
        if path == b"/stats":
            return 200, "application/json", json.dumps(self.stats()).encode() + b"\n"
        return 404, "text/plain", b"no such page; there are /ready, /stats and /stats/prometheus\n"
