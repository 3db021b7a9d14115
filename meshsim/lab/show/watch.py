"""A live mesh on a terminal while it runs: one row an edge, as its callers' proxies see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from meshsim.lab.show import sheets, terminal
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet
from meshsim.lab.show.terminal import escape
from meshsim.live.launch import LiveMesh
from meshsim.live.proxies import url
from meshsim.live.stats import EdgeCounts, by_edge
from meshsim.measure.latency import QUANTILES
from meshsim.scenario.topology import CLIENT_PROXY

SPAN = 5.0
"""Rates and latencies are those of the last so many s."""
LISTENERS = ("inbound", "outbound", "admin")
"""Of a proxy, by the names of their addresses."""
COLUMNS = ("edge", "rate", "success", "p50", "p99", "retries", "hedges", "ejections", "out", "active/pending")


class Window:
    """What edges have counted, now and some seconds ago."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[str, EdgeCounts]]] = deque()

    def add(self, now: float, counts: dict[str, EdgeCounts]) -> None:
        """What they have counted by `now`, s."""
        self._seen.append((now, counts))
        while len(self._seen) > 2 and now - self._seen[1][0] >= SPAN:
            self._seen.popleft()

    def rows(self) -> list[tuple[str, ...]]:
        """One row an edge: rates and latencies of the window, events since the start, and what is now."""
        if not self._seen:
            return []
        (began, before), (now, counts) = self._seen[0], self._seen[-1]
        if len(self._seen) == 1:
            began, before = 0.0, {}
        return [
            _row(edge, total, total.since(before.get(edge, EdgeCounts())), max(now - began, 1e-9))
            for edge, total in counts.items()
        ]


def _row(edge: str, total: EdgeCounts, lately: EdgeCounts, seconds: float) -> tuple[str, ...]:
    return (
        edge,
        sheets.rate(lately.calls / seconds),
        sheets.share(lately.ok / lately.calls if lately.calls else None),
        *(sheets.percentile(lately.quantile(QUANTILES[key]), key, lately.calls) for key in ("p50", "p99")),
        *map(sheets.count, (total.retries, total.hedges, total.ejections, total.ejected)),
        f"{sheets.count(total.active)}/{sheets.count(total.pending)}",
    )


class Dashboard:
    """The table, refreshed whenever it is called with the mesh."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._window = Window()

    def say(self, words: str) -> None:
        """Shows what is being done, before there is a table."""
        self._live.update(Text.from_markup(f"[dim]{escape(words)} …[/]"), refresh=True)

    def clear(self) -> None:
        """Takes what it shows off the screen, for other words there."""
        self._live.update(Text(), refresh=True)

    def __call__(self, mesh: LiveMesh) -> None:
        self._window.add(mesh.now, by_edge(mesh.reports()))
        self._live.update(Group(Text.from_markup(headline(mesh)), self._table(mesh)), refresh=True)

    def _table(self, mesh: LiveMesh) -> Any:
        order = [f"{caller} -> {service}" for caller, service in mesh.scenario.edges()]
        rows = sorted(self._window.rows(), key=lambda row: order.index(row[0]) if row[0] in order else 0)
        return terminal.rendered(self._live.console, Sheet("", COLUMNS, rows))


def headline(mesh: LiveMesh) -> str:
    """What is running, and how far it is."""
    scenario = mesh.scenario
    name = escape(scenario.name or "mesh")
    if not mesh.options.load:
        said = f"[bold]{name}[/] serves, for {max(0.0, mesh.now):.0f} s so far; Ctrl-C ends it"
    elif mesh.now <= scenario.duration:
        far = f"{max(0.0, mesh.now):.0f} s of {scenario.duration:g} s"
        said = f"[bold]{name}[/] {far}; control plane: {escape(mesh.control.url)}; Ctrl-C ends it early"
    else:
        said = f"[bold]{name}[/] {mesh.now:.0f} s; the load has ended; requests in flight are completing"
    return f"{said}\n{mesh.control.remark}" if mesh.control.remark else said


class Lines:
    """What is being done, a line each, where there is no terminal for a table."""

    def __init__(self, err: Console) -> None:
        self._err = err
        self._runs = False

    def say(self, words: str) -> None:
        """Says what is being done."""
        self._err.print(f"{escape(words)} …")

    def clear(self) -> None:
        """Lines stay."""

    def __call__(self, mesh: LiveMesh) -> None:
        if not self._runs:
            self._runs = True
            self._err.print(Text.from_markup(headline(mesh)).plain, markup=False)


@contextmanager
def dashboard(*, quiet: bool) -> Iterator[Dashboard | Lines | None]:
    """The table on standard error; lines where that is no terminal, and None where nobody watches."""
    err = terminal.console(stderr=True)
    if quiet:
        yield None
        return
    if not err.is_terminal:
        yield Lines(err)
        return
    with Live(console=err, transient=True, auto_refresh=False) as live:
        yield Dashboard(live)


def ready_message(mesh: LiveMesh) -> dict[str, Any]:
    """What machines get once a mesh serves: where, by URL; `pod` is the id of a process in a replica's."""

    def link(address: tuple[str, int] | None) -> str | None:
        return None if address is None else url(*address)

    pods = mesh.pods.inside(mesh.keeper.processes)
    proxies: list[dict[str, Any]] = [
        {"id": id_, **{name: link(getattr(listeners, name)) for name in LISTENERS}}
        | ({"pod": pods[id_]} if id_ in pods else {})
        for id_, listeners in mesh.listeners.items()
    ]
    control = mesh.control
    return {
        "ready": True,
        "entry": mesh.listeners[CLIENT_PROXY].urls,
        "control_plane": {"pid": control.pid, "url": control.url},
        "proxies": proxies,
    }


def proxies_sheet(said: Mapping[str, Any]) -> Sheet:
    """Where a mesh serves, for people."""
    pods = ("pod",) if any("pod" in each for each in said["proxies"]) else ()
    columns = ("id", *LISTENERS, *pods)
    rows: Rows = [tuple(str(each.get(name) or NOTHING) for name in columns) for each in said["proxies"]]
    return Sheet("proxies", columns, rows, words=(1, 2, 3))
