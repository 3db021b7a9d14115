"""The pages of the control plane: what it says of itself, and where it is asked for something.

    GET  /                    for people: a page without a script
    GET  /status              the same as JSON
    GET  /stats/prometheus    the metrics of all proxies on one page, and its own
    GET  /ready               whether it serves
    POST /set, /scale         see `orders`

Given under an address only: a page from elsewhere must not read it (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from html import escape

from meshsim.live import Address, Message
from meshsim.live.control.orders import JSON, Orders
from meshsim.live.ports import NO_DOMAIN
from meshsim.live.scrape import merged_page
from meshsim.live.servers import PageHandler
from meshsim.live.wire import NOBODY, RequestHead, ServerConnection, ServerStream
from meshsim.measure.exposition import CONTENT_TYPE

HOST = re.compile(NO_DOMAIN.encode())
HTML = [(b"content-type", b"text/html; charset=utf-8")]
PLAIN = [(b"content-type", b"text/plain")]
REFRESH = 2
"""Of the page for people, s."""
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:.3em 0 1.6em}th,td{text-align:left;padding:.15em 1.2em .15em 0;"
    "border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}th{font-weight:600;color:#555}"
    "h1{font-size:1.4em}h2{font-size:1.05em;margin:0}.bad{color:#b00020}.dim{color:#777}"
)


class Pages(PageHandler):
    """Serves what `report` says, and `orders`; `admins` is where each proxy's own pages are.

    `own` makes the metrics of the control plane itself.
    """

    def __init__(
        self, report: Callable[[], Message], orders: Orders, admins: Mapping[str, Address],
        own: Callable[[], bytes],
    ) -> None:  # fmt: skip
        super().__init__()
        self.report = report
        self.orders = orders
        self.admins = admins
        self.own = own
        self._scrape: asyncio.Task[None] | None = None
        self._waiting: list[ServerConnection] = []  # for what it brings

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        if not HOST.fullmatch(head.host):
            connection.answer(403, PLAIN, b"ask by address: http://127.0.0.1 or http://localhost\n")
        elif head.page in (b"/set", b"/scale"):
            if head.method == b"POST":
                return self.orders.begin(connection, head, body, whole)
            connection.answer(405, PLAIN, b"use POST, or meshsim live set and meshsim live scale\n")
        elif head.method not in (b"GET", b"HEAD"):
            connection.answer(405, PLAIN, b"use GET\n")
        elif head.page == b"/":
            connection.answer(200, HTML, page(self.report()).encode(errors="replace"))
        elif head.page == b"/status":
            connection.answer(200, JSON, json.dumps(self.report()).encode() + b"\n")
        elif head.page == b"/stats/prometheus":
            self._waiting.append(connection)
            if self._scrape is None:
                self._scrape = asyncio.get_running_loop().create_task(self._collect())
        elif head.page == b"/ready":
            connection.answer(200, PLAIN, b"LIVE\n")
        else:
            connection.answer(404, PLAIN, b"no such page; there are /, /status, /stats/prometheus, /ready\n")
        return NOBODY

    async def _collect(self) -> None:
        """Answers all who wait with the metrics of all proxies, and its own."""
        try:
            found = await merged_page(self.admins, self.own())
        finally:
            waiting, self._waiting, self._scrape = self._waiting, [], None
        for connection in waiting:
            connection.answer(200, [(b"content-type", CONTENT_TYPE.encode())], found)


def page(report: Message) -> str:
    """The page for people."""
    name = escape(report["scenario"] or "mesh")
    behind = sum(each["version"] < report["version"] for each in report["proxies"])
    everybody = len(report["proxies"])
    summary = f"version {report['version']}, in force at {everybody - behind} of {everybody} proxies"
    proxies = _table(
        ("proxy", "version", "stream", "last refused"),
        [
            (
                escape(each["name"]),
                _marked(str(each["version"]), each["version"] < report["version"]),
                _marked("connected" if each["connected"] else "not connected", not each["connected"]),
                "" if each["nack"] is None else _marked(escape(_nack(each["nack"])), True),
            )
            for each in report["proxies"]
        ],
    )
    endpoints = _table(
        ("service", "endpoints"),
        [
            (escape(service), escape(", ".join(_with_pod(each, report["pods"]) for each in some)))
            for service, some in report["endpoints"].items()
        ],
    )
    pushes = _table(
        ("version", "begun, s", "proxies", "arrived", "refused", "last had it after, ms"),
        [
            (
                str(push["version"]),
                f"{push['begun']:.2f}",
                str(push["proxies"]),
                str(push["arrived"]),
                _marked(str(push["nacked"]), push["nacked"] > 0),
                "" if push["took"] is None else f"{1e3 * push['took']:.1f}",
            )
            for push in reversed(report["pushes"])
        ],
    )
    certificates = report.get("certificates")
    signed = (
        ""
        if certificates is None
        else f"<p>{certificates['signed']} certificates signed since the start,"
        f" {sum(certificates['refused'].values())} requests refused.</p>"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{REFRESH}">'
        f"<title>{name}: control plane</title><style>{STYLE}</style><h1>{name}: control plane</h1>"
        f"<p>{_marked(summary, behind > 0)}; {report['time']:.0f} s since the start."
        f"{_marked(' It is down, as the scenario wants.', True) if report['down'] else ''}</p>{signed}"
        f"<h2>Proxies</h2>{proxies}<h2>Endpoints</h2>{endpoints}<h2>Pushes</h2>{pushes}"
        '<p class="dim">Change it with <code>meshsim live set KEY=VALUE</code> and'
        " <code>meshsim live scale SERVICE N</code>. As JSON: <a href=/status>/status</a>;"
        " metrics: <a href=/stats/prometheus>/stats/prometheus</a></p></html>\n"
    )


def _with_pod(replica: str, pods: Mapping[str, int]) -> str:
    return f"{replica} (process {pods[replica]})" if replica in pods else replica


def _nack(nack: Message) -> str:
    return f"version {nack['version']}: {nack['error']}"


def _marked(text: str, bad: bool) -> str:
    return f"<span class=bad>{text}</span>" if bad else text


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
