"""A run's numbers as small tables of text, for terminals and notebooks alike."""

from __future__ import annotations

import html as markup
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshsim.lab.show.flags import explain
from meshsim.measure.latency import FEWEST
from meshsim.measure.objectives import ObjectiveResult, meets
from meshsim.measure.parts import Answered, CertificateSummary, ConnectionSummary, StationSummary
from meshsim.measure.result import at
from meshsim.measure.summary import Summary
from meshsim.scenario.model import CLIENT
from meshsim.units import duration_text, points_text

if TYPE_CHECKING:
    from meshsim.theory import Prediction, Solution

NOTHING = "-"
RARE = ("denied", "dropped")
"""Columns that are shown where one row has a number."""
Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text: the first column holds names, the others numbers unless their index is in `words`."""

    title: str
    columns: tuple[str, ...]
    rows: Rows
    words: tuple[int, ...] = ()


# ---- numbers for people -----------------------------------------------------------------------------


def count(value: float | None) -> str:
    """``12345`` -> ``12,345``."""
    return NOTHING if value is None else f"{value:,.0f}"


def plural(number: int, word: str) -> str:
    """``3, "file"`` -> ``3 files``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def often(number: int) -> str:
    """``1`` -> ``once``, ``3`` -> ``3 times``."""
    return "once" if number == 1 else f"{number:,} times"


def number(value: float | None) -> str:
    """Three or four digits: ``80.036`` -> ``80.04``."""
    return NOTHING if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def rate(value: float | None) -> str:
    """``80.036`` -> ``80.04/s``."""
    return NOTHING if value is None else f"{number(value)}/s"


def share(value: float | None) -> str:
    """``0.98765`` -> ``98.77 %``; what is not quite all is never rounded up to it."""
    if value is None:
        return NOTHING
    percent = 100.0 * value
    text = f"{percent:.2f}".rstrip("0").rstrip(".")
    if text == "100" and value < 1.0:
        text = f"{percent:.6g}"
    elif text == "0" and value > 0.0:
        text = f"{percent:.2g}"
    return f"{text} %"


def time(value: float | None) -> str:
    """``0.0125`` -> ``12.5 ms``."""
    return NOTHING if value is None else duration_text(value)


def percentile(value: float | None, key: str, completed: int) -> str:
    """A percentile of so many latencies; nothing where they are too few for it."""
    return time(value) if completed >= FEWEST[key] else NOTHING


# ---- sheets -----------------------------------------------------------------------------------------

HEADLINE: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("offered", "requests.rate", rate),
    ("goodput", "requests.goodput", rate),
    ("success", "requests.success_ratio", share),
    ("latency, mean", "latency.mean", time),
    ("latency, p50", "latency.p50", time),
    ("latency, p90", "latency.p90", time),
    ("latency, p99", "latency.p99", time),
    ("amplification", "attempts.amplification", number),
)


def headline(summary: Summary) -> Sheet:
    """What matters most, with the half widths of the intervals where there are any."""
    several = bool(summary.ci)
    rows: Rows = []
    requests = summary.requests
    for name, path, show in HEADLINE:
        interval = summary.ci.get(path)
        margin = (f"± {show(interval.half_width)}" if interval else NOTHING,) if several else ()
        enough = requests.completed >= FEWEST.get(path.rpartition(".")[2], 0)
        rows.append((name, show(at(summary, path)) if enough else NOTHING, *margin))
    counts = f"{count(requests.offered)} requests, {count(requests.failed)} failed"
    if requests.unfinished:
        counts += f", {count(requests.unfinished)} unfinished"
    measured = f"{summary.measured * summary.replications:g} s measured"
    columns = ("", "value", *(("95 %",) if several else ()))
    return Sheet(f"{summary.scenario or 'run'}: {counts} in {measured}", columns, rows)


def services(summary: Summary) -> Sheet:
    """One row a service, and one each of its versions."""
    rows: Rows = []
    for name, service in summary.services.items():
        rows.append((name, *_station(service)))
        rows += [(f"  {version}", *_station(part)) for version, part in service.versions.items()]
    columns = ("service", "attempts", "rate", "failed", *RARE, "utilisation", "queue", "p50", "p99")
    return _without_zeros(Sheet("services", columns, rows))


def _without_zeros(sheet: Sheet, rare: Sequence[str] = RARE) -> Sheet:
    """The sheet without those of some columns that say nothing but 0."""
    places = [
        place
        for place, name in enumerate(sheet.columns)
        if name not in rare or any(row[place] != "0" for row in sheet.rows)
    ]
    columns, *rows = (tuple(row[place] for place in places) for row in (sheet.columns, *sheet.rows))
    return replace(sheet, columns=columns, rows=rows)


def _station(part: StationSummary) -> tuple[str, ...]:
    return (
        count(part.requests),
        rate(part.rate),
        share(part.failed_ratio),
        count(part.denied or 0),
        count(part.dropped),
        share(part.utilisation),
        number(part.queue_mean),
        *_tail(part),
    )


def _tail(part: Answered) -> tuple[str, ...]:
    return tuple(percentile(at(part.latency, key), key, part.answered) for key in ("p50", "p99"))


def edges(summary: Summary) -> Sheet:
    """One row an edge."""
    rows: Rows = []
    for name, edge in summary.edges.items():
        counts = map(count, (edge.requests, edge.attempts, edge.retries, edge.hedges))
        rows.append((name, *counts, share(edge.failed_ratio), *_tail(edge)))
    columns = ("edge", "calls", "attempts", "retries", "hedges", "failed", "p50", "p99")
    return _without_zeros(Sheet("calls", columns, rows), ("retries", "hedges"))


def connections(summary: Summary) -> Sheet:
    """One row an edge whose connections are tracked: how many opened, and why they were closed."""
    found = {name: vars(edge.connections) for name, edge in summary.edges.items() if edge.connections}
    names = list(vars(ConnectionSummary()))
    rows: Rows = [(edge, *(count(counts[name]) for name in names)) for edge, counts in found.items()]
    sheet = Sheet("connections", ("edge", *(name.replace("_", " ") for name in names)), rows)
    return _without_zeros(sheet, ("secured", "untrusted", "rejected"))


def pushes(summary: Summary) -> Sheet:
    """What became of the control plane's pushes, if there were any."""
    found = summary.pushes
    rows: Rows = []
    if found is not None:
        lasted = time(found.convergence_mean), time(found.convergence_max), time(found.disagreed)
        rows.append((count(found.total), count(found.nacked), *lasted))
    columns = ("pushes", "nacked", "to a proxy, mean", "max", "proxies disagreed")
    return Sheet("control plane", columns, rows)


def certificates(summary: Summary) -> Sheet:
    """What became of the certificates of all proxies, if they have any."""
    found = summary.certificates
    rows: Rows = [] if found is None else [("all", *map(count, vars(found).values()))]
    return Sheet("certificates", ("proxies", *vars(CertificateSummary())), rows)


def endpoints(summary: Summary) -> Sheet:
    """One row an endpoint of each service that has any: the attempts that asked for it."""
    rows: Rows = [
        (f"{name}/{endpoint}".rstrip("/"), f"{part.method} {part.path}", count(part.requests),
         rate(part.rate),
         share(part.failed_ratio), count(part.denied or 0), count(part.dropped), *_tail(part))
        for name, service in summary.services.items()
        for endpoint, part in (service.endpoints or {}).items()
    ]  # fmt: skip
    columns = ("endpoint", "asked by", "attempts", "rate", "failed", *RARE, "p50", "p99")
    return _without_zeros(Sheet("endpoints", columns, rows, words=(1,)))


def failures(summary: Summary) -> Sheet:
    """Why requests failed; what flags the calls between services got, and why others of them failed."""
    between = {name: edge for name, edge in summary.edges.items() if not name.startswith(f"{CLIENT} -> ")}
    found = {
        "requests": summary.failures,
        **{name: edge.flags | (edge.statuses or {}) for name, edge in between.items()},
    }
    rows: Rows = [
        (name, key, count(times), explain(key))
        for name, counts in found.items()
        for key, times in counts.items()
    ]
    return Sheet("failures and flags", ("where", "flag or status", "times", "meaning"), rows, words=(1, 3))


def objectives(summary: Summary) -> Sheet:
    """One row a limit: what was asked, what was measured, whether it was met."""
    rows: Rows = [
        (objective.target, key, wanted, measured, "met" if met else "MISSED")
        for objective in summary.objectives
        for key, wanted, measured, met in limits(objective)
    ]
    return Sheet("objectives", ("service", "of", "wanted", "measured", ""), rows, words=(1, 4))


def limits(objective: ObjectiveResult) -> Iterator[tuple[str, str, str, bool]]:
    """Of each limit of an objective: its key, the limit, what was measured, and whether it was met."""
    for key, limit in objective.limits.items():
        show, sign = (share, "≥") if key == "success" else (time, "≤")
        measured = objective.measured[key]
        yield key, f"{sign} {show(limit)}", show(measured), meets(key, measured, limit)


def formulas(solution: Solution) -> list[str]:
    """Each formula that a solution rests on, once, with its source."""
    return list(dict.fromkeys(_formula(prediction) for prediction in solution.predictions))


def _formula(prediction: Prediction) -> str:
    return f"{prediction.formula} [{prediction.source}]"


def theory(solution: Solution) -> Sheet:
    """One row a prediction, with the number (from 1) of its formula."""
    numbers = {formula: str(number) for number, formula in enumerate(formulas(solution), 1)}
    rows: Rows = [
        (each.metric, of_metric(each.metric)(each.value), each.kind, numbers[_formula(each)])
        for each in solution.predictions
    ]
    return Sheet(f"{solution.scenario or 'scenario'}: theory", ("", "value", "", "by"), rows, words=(2,))


def of_metric(metric: str) -> Callable[[float | None], str]:
    """How numbers of a metric are shown, by its path in the summary; objectives are shares or latencies."""
    last, objective = metric.rpartition(".")[2], metric.startswith("objectives.")
    if last.endswith(("ratio", "share", "utilisation")) or (objective and last == "success"):
        return share
    if objective or last == "wait_mean" or {"latency", "ok_latency"} & set(metric.split(".")):
        return time
    return rate if last in ("rate", "goodput", "throughput") else number


def of_difference(metric: str) -> Callable[[float], str]:
    """How differences of a metric are shown: those of shares in percentage points."""
    show = of_metric(metric)
    return points_text if show is share else show


def line(kind: str, name: str, *said: str) -> str:
    """What a result is in one line, for its `repr`: ``<Run 'shop': 12 requests, 100 % ok>``."""
    return " ".join(f"<{kind} {name[:60]!r}: {', '.join(each for each in said if each)}>".split())


def run_line(kind: str, summary: Summary) -> str:
    """A run in one line."""
    replications = summary.replications
    return line(
        kind,
        summary.scenario,
        f"{count(summary.requests.offered)} requests",
        f"{share(summary.requests.success_ratio)} ok",
        f"mean latency {time(summary.latency.mean)}",
        f"{replications} replications" if replications > 1 else "",
        f"engine {summary.engine}",
        f"seed {summary.seed}",
        "unstable" if summary.unstable else "",
        "partial" if summary.partial else "",
    )


def html(sheet: Sheet, notes: Sequence[str]) -> str:
    """A sheet as an HTML table with notes below."""

    def each(tag: str, texts: Iterable[str]) -> str:
        return "".join(f"<{tag}>{markup.escape(text)}</{tag}>" for text in texts)

    body = "".join(f"<tr>{each('td', row)}</tr>" for row in sheet.rows)
    head = f"{each('caption', [sheet.title])}<thead><tr>{each('th', sheet.columns)}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>{each('p', notes)}"
