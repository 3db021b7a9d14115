"""A comparison as small tables of text and sentences."""

from __future__ import annotations

from meshsim.lab.show import sheets
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, of_difference, of_metric
from meshsim.measure.comparison import ComparisonNumbers
from meshsim.measure.differences import Difference
from meshsim.measure.request_pairs import AllRequestPairs
from meshsim.units import ratio_text

COLUMNS = ("", "A", "B", "B - A", "95 %", "B is", "correlation", "unpaired")
SHORT = 6
"""So many of the columns are shown unless all are asked for."""
LATENCY_OF_OK = " of successful requests"
BUSIEST = 4
"""So many services' utilisation is shown."""


def significance(found: Difference) -> str:
    """What a difference says, in a word; a star where it says so alone but not together with all others."""
    if found.identical:
        return "identical"
    if not found.told:
        return "not significant"
    return ("higher" if found.difference > 0 else "lower") + ("" if found.told_jointly else "*")


def change(found: Difference) -> str:
    """A difference with its sign."""
    return ("+" if found.difference > 0 else "") + of_difference(found.metric)(found.difference)


def row(name: str, found: Difference) -> tuple[str, ...]:
    """One metric."""
    show, same = of_metric(found.metric), found.identical
    return (
        name,
        show(found.a),
        show(found.b),
        "0" if same else change(found),
        NOTHING if same else f"± {of_difference(found.metric)(found.half_width)}",
        significance(found),
        NOTHING if found.correlation is None else f"{found.correlation:.2f}",
        NOTHING if same else sheets.count(found.unpaired_replications),
    )


def headline(numbers: ComparisonNumbers, *, every: bool = True) -> Sheet:
    """What matters most, and the metric that the comparison is about; `every` column or what each says."""
    found, a, seeds = numbers.by_metric, numbers.a, numbers.seeds
    wanted = [(path, name) for name, path, _ in sheets.HEADLINE if path != "attempts.amplification"]
    wanted += [(f"ok_latency.{key}", f"{LATENCY_OF_OK.strip()}, {key}") for key in ("mean", "p50", "p99")]
    if numbers.metric not in dict(wanted):
        wanted.append((numbers.metric, numbers.metric))
    title = (
        f"A {a.label}, B {numbers.b.label}: {len(seeds)} pairs of runs, seeds {seeds[0]} to {seeds[-1]},"
        f" {a.measured:g} s measured in each"
    )
    return _cut(title, [row(name, found[path]) for path, name in wanted if path in found], every)


def cost(numbers: ComparisonNumbers, *, every: bool = True) -> Sheet:
    """What the answers cost: attempts, workers, and the utilisation of the busiest services."""
    found = {each.metric: each for each in [*numbers.cost, *numbers.differences]}
    busy = {path: each for path, each in found.items() if path.endswith(".utilisation")}
    busiest = sorted(busy, key=lambda path: -max(busy[path].a, busy[path].b))[:BUSIEST]
    wanted = {
        "attempts.rate": "attempts",
        "attempts.amplification": "amplification",
        "services.busy_mean": "busy workers, all services",
        **{path: f"utilisation, {_service(path)[0]}" for path in busy if path in busiest},
    }
    return _cut("cost", [row(name, found[path]) for path, name in wanted.items() if path in found], every)


def _cut(title: str, rows: Rows, every: bool) -> Sheet:
    width = len(COLUMNS) if every else SHORT
    return Sheet(title, COLUMNS[:width], [each[:width] for each in rows], words=(5,))


def services(numbers: ComparisonNumbers) -> Sheet:
    """One row a service and metric; a service that is the same in both by every metric is left out."""
    groups: dict[str, Rows] = {}
    for found in numbers.differences:
        if found.metric.startswith("services.") and not found.identical:
            name, key = _service(found.metric)
            rows = groups.setdefault(name, [])
            rows.append(row(f"  {key}" if rows else f"{name}  {key}", found))
    return Sheet("services", COLUMNS, [each for rows in groups.values() for each in rows], words=(5,))


SERVICE_WORDS = {
    "rate": "attempts",
    "utilisation": "utilisation",
    "queue_mean": "queue",
    "latency.mean": "latency, mean",
    "latency.p99": "latency, p99",
}


def _service(metric: str) -> tuple[str, str]:
    """Name and, in words, number of a service's metric."""
    key = next(key for key in SERVICE_WORDS if metric.endswith(f".{key}"))
    return metric[len("services.") : -len(key) - 1], SERVICE_WORDS[key]


def objectives(numbers: ComparisonNumbers, *, every: bool = True) -> Sheet:
    """One row a limit, with the runs that met it; `every` column, or what was asked, measured and met."""
    found, of = numbers.by_metric, numbers.replications
    rows: Rows = []
    for each in numbers.objectives:
        path = each.objective
        measured = row("", found[path])[1:6] if path in found else (NOTHING,) * 5
        limit = f"{'≥' if path.endswith('.success') else '≤'} {of_metric(path)(each.limit)}"
        met = NOTHING if each.met_a is None else f"{each.met_a}/{of}"
        rows.append((path.partition(".")[2], limit, *measured, met, f"{each.met_b}/{of}"))
    columns = ("", "limit of B", "A", "B", "B - A", "95 %", "B is", "A met", "B met")
    if every:
        return Sheet("objectives", columns, rows, words=(6,))
    short = [(*each[:4], *each[7:]) for each in rows]
    return Sheet("objectives: runs that met them", (*columns[:4], *columns[7:]), short)


REQUEST_WORDS = {
    "rescued": ("rescued", "no success in A, success in B"),
    "faster": ("faster", "success in both, sooner in B"),
    "same": ("the same", "success in both, at the same time"),
    "slower": ("slower", "success in both, later in B"),
    "lost": ("lost", "success in A, no success in B"),
    "failed": ("failed in both", "no success in either"),
}


def requests(numbers: ComparisonNumbers) -> Sheet:
    """Request by request: how many fared how."""
    found = numbers.requests
    if found is None:
        return Sheet("request by request", ("",), [])
    rows: Rows = []
    for key, (name, meaning) in REQUEST_WORDS.items():
        count = getattr(found, key)
        rows.append((name, sheets.count(count), f"{100.0 * count / found.count:.3g} %", meaning))
    title = f"request by request: {sheets.count(found.count)} pairs"
    return Sheet(title, ("in B", "requests", "share", "meaning"), rows, words=(3,))


# ---- sentences --------------------------------------------------------------------------------------


def sentences(numbers: ComparisonNumbers) -> list[str]:
    """What the tables say, and how sure it is."""
    found, joint = numbers.by_metric.get(numbers.metric), numbers.jointly
    worth = [] if found is None else _worth(found, numbers.replications)
    when = [] if numbers.requests is None else _when(numbers.requests)
    together = (
        f"Each interval alone has a confidence of 95 %. Jointly (Bonferroni, {joint.metrics} metrics)"
        f" {joint.told} differences are significant; those marked * only alone."
    )
    return [about(numbers), *worth, *when, together]


def about(numbers: ComparisonNumbers) -> str:
    """What the metric says that the comparison is about."""
    metric = numbers.metric
    found = numbers.by_metric.get(metric)
    if found is None:
        return f"{metric} is not compared; the notes say why."
    if found.identical:
        return f"{metric}: no pair of runs differs at all."
    show, size = of_difference(metric), abs(found.difference)
    if not found.told:
        between = f"between {show(found.low)} and {show(found.high)}"
        return f"{metric}: not significant, the difference lies {between}; more --replications narrow it."
    share = f", by {ratio_text(size / abs(found.a))}" if found.a else ""
    word = "higher" if found.difference > 0 else "lower"
    return f"{metric}: B is {show(size)} ± {show(found.half_width)} {word} than A{share}."


def _when(requests: AllRequestPairs) -> list[str]:
    """When requests were answered that succeeded in both; nothing where none of them moved."""
    found = requests.difference
    if found is None or not requests.faster + requests.slower:
        return []
    who = "Requests that succeeded in both"
    if found.low <= 0.0 <= found.high:
        sooner, later = sheets.time(-found.low), sheets.time(found.high)
        between = f"on average between {sooner} sooner and {later} later in B"
        return [f"{who} were not answered significantly sooner or later: {between}."]
    word = "later" if found.mean > 0 else "sooner"
    size, half = sheets.time(abs(found.mean)), sheets.time(found.half_width)
    return [f"{who} were answered {size} ± {half} {word} in B, on average."]


def _worth(found: Difference, pairs: int) -> list[str]:
    if found.identical or found.variance_ratio is None:
        return []
    unpaired = found.unpaired_replications
    needed = "no number of" if unpaired is None else f"{unpaired:,}"
    correlation = "" if found.correlation is None else f", correlation {found.correlation:.2f}"
    saved = (
        f"Independent runs would have needed {needed} replications of each for as narrow an interval,"
        f" instead of {pairs}: common random numbers divide the variance by"
        f" {found.variance_ratio:.3g}{correlation}."
    )
    return [saved]
