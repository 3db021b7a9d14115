"""The picture of a run: what was asked of the mesh, what it gave, what its retries cost, who was busy."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from meshsim.measure.grid import Floats, Truths
from meshsim.measure.latency import FEWEST
from meshsim.measure.result import at
from meshsim.measure.series import whole
from meshsim.measure.summary import Summary
from meshsim.measure.table import Table
from meshsim.plot import marks, style
from meshsim.scenario.model import Scenario
from meshsim.units import duration_text, ratio_text

BUSIEST = 4
"""So many services at most in the last panel."""
WIDE = 130
"""Characters of a line of the caption."""
MOST_NOTES = 3
"""Of the notes that the caption shows; each has two lines at most."""
PERCENTILES = ("p50", "p90", "p99")
DRAIN_SHOWN_RATIO = 0.15
"""Of the duration: as much of a long drain as is shown."""


def run_figure(scenario: Scenario, summary: Summary, series: Table) -> style.Picture:
    """Four panels over time: load and goodput, latency, amplification, the busiest services.

    Events are shaded and named, warm-up and drain hatched. `series` has the bins to draw, as
    `meshsim.measure.series` makes them.
    """
    figure = style.Picture(10.5)
    client, stop = _rows(series, "client"), scenario.duration
    top = style.heading(figure, _title(summary), scenario.description)
    bottom = style.caption(figure, _caption(scenario, summary, client))
    panels = figure.subplots(4, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 2, 2]})
    names = ["attempts", *(style.shortened(name) for name in _busiest_names(summary)[0])]
    right = style.right_of(names)
    figure.subplots_adjust(left=style.LEFT, right=right, top=top, bottom=bottom, hspace=0.24)
    end = float((series["time"] + series["width"]).max())
    shown = min(end, (1.0 + DRAIN_SHOWN_RATIO) * stop)
    panels[0].set_xlim(0.0, shown)
    last = min(end, stop + scenario.drain_limit)  # the last bin may reach beyond it
    labels = marks.mark_window(panels, summary.warmup, stop, last)
    labels += marks.mark_events(panels, scenario.events, shown)
    labels += marks.mark_pushes(panels, [time for time in _pushed(scenario, summary) if time <= shown])
    _load(panels[0], client, stop, labels)
    _latency(panels[1], client, stop)
    _amplification(panels[2], client, stop)
    _busiest(panels[3], summary, series, stop)
    panels[3].set_xlabel("time, s", **style.TEXT)
    figure.alt = alt_text(scenario, summary, client)
    return figure


def _pushed(scenario: Scenario, summary: Summary) -> list[float]:
    """When pushes began that no event of the scenario tells the time of, s: of replicas, or ordered live."""
    if summary.pushes is None or not (summary.live or any(event.rolls for event in scenario.events)):
        return []
    return [push.begun for push in summary.pushes.each]


def alt_text(scenario: Scenario, summary: Summary, client: Table) -> str:
    """The picture in one sentence; `client` has its rows of the series."""
    offered, goodput = summary.requests.rate or 0.0, summary.requests.goodput or 0.0
    sent = f"the client sends {offered:.4g} requests/s and gets {goodput:.4g} successes/s"
    words = [f"{summary.scenario}: {sent}"]
    inside = (client["time"] >= summary.warmup) & (client["time"] < summary.warmup + summary.measured)
    if inside.any():
        lowest = int(np.argmin(np.where(inside, client["goodput"], np.inf)))
        words.append(
            f"goodput is lowest, {client['goodput'][lowest]:.3g}/s, at {client['time'][lowest]:.4g} s"
        )
    if summary.latency.p99 is not None:
        words.append(f"99 % of answers take at most {duration_text(summary.latency.p99)}")
    amplification = _while_requests_come(client, scenario.duration)
    if np.any(amplification > 1.0):
        words.append(f"attempts per request peak at {np.nanmax(amplification):.2f}")
    busiest = _ranked(summary, "utilisation")
    if busiest:
        share = ratio_text(summary.services[busiest[0]].utilisation or 0.0)
        words.append(f"{busiest[0]} is busiest at {share}")
    events = [f"{marks.describe(event)} from {event.at:g} s" for event in scenario.events]
    return "; ".join(words) + (f" (events: {'; '.join(events)})." if events else ".")


def _rows(series: Table, kind: str, name: str | None = None) -> Table:
    """The rows of a kind, or of one of its members, without bins that are cut short.

    What came in a few milliseconds is not a valid rate.
    """
    take = whole(series["width"]) & (series["kind"] == kind)
    if name is not None:
        take &= series["name"] == name
    return {column: values[take] for column, values in series.items()}


def _title(summary: Summary) -> str:
    """The scenario's name, and that it was no simulation where it was none."""
    if summary.live is None:
        return str(summary.scenario)
    whose = "meshsim's proxies" if summary.engine == "live" else "Envoys"
    return f"{summary.scenario or 'scenario'}, live behind {whose}"


def _caption(scenario: Scenario, summary: Summary, client: Table) -> list[str]:
    """Where the picture comes from, and warnings."""
    measured = f"measured {summary.measured:g} s of {scenario.duration:g} s"
    said = (f"engine {summary.engine}", style.seeds(summary.seed, summary.replications), measured)
    lines = [style.source(summary.version, *said, partial=summary.partial)]
    sparse = [key for key in PERCENTILES if np.any((client["completed"] > 0) & ~_known(client, key))]
    if sparse:
        fewest = ", ".join(f"{FEWEST[key]} for {key}" for key in sparse)
        lines.append(f"percentiles of too few completed requests are left out: fewer than {fewest}")
    if summary.unstable:
        lines += textwrap.wrap(summary.unstable.reason, WIDE)[:3]
    for note in summary.notes[:MOST_NOTES]:
        lines += textwrap.wrap(note, WIDE)[:2]
    if len(summary.notes) > MOST_NOTES:
        lines.append(f"and {len(summary.notes) - MOST_NOTES} more notes in summary.json")
    return lines


class _Panel(style.Panel):
    """A panel over time."""

    def line(self, name: str, rows: Table, values: Floats, stop: float) -> None:
        """Draws a line over the middles of the bins, if it has any value.

        It is named by its last value before arrivals stop, s.
        """
        if not np.isfinite(values).any():
            return
        look, middle = self.look, rows["time"] + rows["width"] / 2.0
        # A line of one point is none, so a lonely bin gets a dot
        dots: dict[str, Any] = {"marker": ".", "markersize": 5.0, "markevery": _alone(values)}
        self.axes.plot(middle, values, linewidth=1.3, solid_capstyle="butt", **look, **dots)
        self.drawn(values)
        last = np.flatnonzero(np.isfinite(values) & (rows["time"] < stop))
        if len(last):
            self.end(name, middle[last[-1]], values[last[-1]], look["color"])


def _alone(values: Floats) -> list[int]:
    """Where a number has none on either side."""
    some = np.concatenate(([False], np.isfinite(values), [False]))
    return [int(place) for place in np.flatnonzero(some[1:-1] & ~some[:-2] & ~some[2:])]


def _load(axes: Axes, client: Table, stop: float, labels: list[marks.Label]) -> None:
    panel = _Panel(axes, "offered load and goodput, requests/s")
    marks.name_above(axes, labels)
    middle = client["time"] + client["width"] / 2.0
    axes.fill_between(middle, client["goodput"], color=style.BLUE, alpha=0.15, linewidth=0)
    panel.line("goodput", client, client["goodput"], stop)
    panel.line("offered", client, np.where(client["time"] < stop, client["rate"], np.nan), stop)
    panel.finish(0.0, 1.1 * max(1e-9, panel.highest))


def _latency(axes: Axes, client: Table, stop: float) -> None:
    panel = _Panel(axes, "latency of completed requests, failures included (log scale)")
    for key in PERCENTILES:
        known = _known(client, key) & (client[key] > 0)
        panel.line(key, client, np.where(known, client[key], np.nan), stop)
    if client["completed"].any() and not panel.highest:
        style.say(axes, "too few requests for percentiles over time")
    panel.finish_durations()


def _known(client: Table, key: str) -> Truths:
    """(bins,) whether enough requests ended in a bin for a percentile of them."""
    return np.asarray(client["completed"] >= FEWEST[key], dtype=np.bool_)


def _amplification(axes: Axes, client: Table, stop: float) -> None:
    panel = _Panel(axes, "amplification: all attempts / attempts without retries and hedges")
    axes.axhline(1.0, color=style.INK, linewidth=0.7)
    panel.line("attempts", client, _while_requests_come(client, stop), stop)
    panel.finish(0.0, 1.2 * max(1.5, panel.highest))


def _while_requests_come(client: Table, stop: float) -> Floats:
    """(bins,) amplification, NaN in the drain: the last few tries there are nearly all retries."""
    come = (client["offered"] > 0) | (client["time"] < stop)
    return np.where(come, client["amplification"], np.nan)


def _busiest(axes: Axes, summary: Summary, series: Table, stop: float) -> None:
    """The utilisation of the busiest services, or what is present at them where all workers are unlimited."""
    if not summary.measured > 0.0:
        style.tidy(axes, "the busiest services")
        style.say(axes, "ended within its warm-up: nothing measured")
        axes.set_yticks([])
        return
    names, limited = _busiest_names(summary)
    whose = "utilisation of the busiest services' workers"
    panel = _Panel(axes, whose if limited else "attempts present at the busiest services")
    for name in names:
        rows = _rows(series, "service", name)
        panel.line(name, rows, rows["utilisation" if limited else "in_flight"], stop)
    if limited:
        panel.finish_ratios()
    else:
        panel.finish(0.0, 1.2 * max(1.0, panel.highest))


def _busiest_names(summary: Summary) -> tuple[list[str], bool]:
    """The busiest services, and whether some have a limited number of workers."""
    names = _ranked(summary, "utilisation")
    return (names or _ranked(summary, "busy_mean"))[:BUSIEST], bool(names)


def _ranked(summary: Summary, key: str) -> list[str]:
    """The services that have a number, the highest first."""
    found = {name: at(service, key) for name, service in summary.services.items()}
    return sorted((name for name in found if found[name] is not None), key=lambda name: -found[name])
