"""A validation as small tables of text, for terminals and notebooks alike."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.lab.show import sheets
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, of_difference, of_metric
from meshsim.measure.disturbance import Lag
from meshsim.measure.validation import Metric, ValidationNumbers
from meshsim.units import change_text

SHOWN = {
    **{key: f"latency.{key}" for key in ("mean", "p50", "p90", "p99")},
    "success": "requests.success_ratio",
    "attempts": "attempts.total",
}
"""Metrics whose errors the table of several validations has, by column."""


def signed(share: float | None) -> str:
    """An error: ``0.0123`` -> ``+1.23 %``."""
    return NOTHING if share is None else change_text(share)


def sheets_of(numbers: ValidationNumbers) -> list[Sheet]:
    """All tables of one validation."""
    return [part(numbers) for part in (headline, paired, proxies, overhead, machine)]


def headline(numbers: ValidationNumbers) -> Sheet:
    """One row a number: what theory, simulation and the live mesh say, and how far apart they may be."""
    columns = ("", "theory", "simulated", "95 % of seeds", "live", "error", "tolerance", "")
    title = (
        f"{numbers.scenario or 'scenario'} behind {numbers.proxy}: {numbers.verdict.upper()},"
        f" {numbers.measured:g} s measured, seed {numbers.seed}"
    )
    return Sheet(title, columns, [_row(each) for each in numbers.metrics], words=(7,))


def _row(each: Metric) -> tuple[str, ...]:
    show = of_metric(each.metric)
    return (
        each.metric,
        ("≈ " if each.theory_kind == "approx" else "") + show(each.theory),
        show(each.simulation),
        NOTHING if each.interval is None else " .. ".join(map(show, each.interval)),
        show(each.live),
        signed(each.error),
        sheets.share(each.tolerance),
        "ok" if each.ok else "OUTSIDE",
    )


def paired(numbers: ValidationNumbers) -> Sheet:
    """Request by request."""
    found = numbers.paired
    if not found.requests:
        return Sheet("request by request", ("",), [])
    rows: Rows = [
        ("same status", sheets.share(found.status_equal)),
        ("same number of attempts", sheets.share(found.attempts_equal)),
    ]
    for key, error in (("p50", found.p50_error), ("p99", found.p99_error)):
        if error is not None:
            rows.append((f"{key}, live against simulated", signed(error)))
    if found.residuals is not None:
        rows.append(("live - simulated, mean", sheets.time(found.residuals.mean)))
        between = f"{sheets.time(found.residuals.p10)} .. {sheets.time(found.residuals.p90)}"
        rows.append(("80 % of them between", between))
    return Sheet(f"request by request: {sheets.count(found.requests)} pairs", ("", ""), rows)


def overhead(numbers: ValidationNumbers) -> Sheet:
    """What a call costs on this machine, by edge."""
    rows: Rows = [
        (edge, sheets.count(each.calls), *map(sheets.time, (each.mean, each.p50, each.p99)))
        for edge, each in numbers.overhead.items()
    ]
    return Sheet("overhead of a call, as calibrated", ("edge", "calls", "mean", "p50", "p99"), rows)


def machine(numbers: ValidationNumbers) -> Sheet:
    """How quiet the machine was."""
    rows: Rows = []
    for name, seen in numbers.machine.items():
        cpu = map(sheets.share, (seen.cpu_busy, seen.cpu_steal))
        rows.append((name, *_late(seen.load_lag), *_late(seen.service_lag), *cpu))
    columns = ("", "load lag, p50", "p99", "services' lag, p50", "p99", "CPU utilisation", "CPU steal")
    return Sheet("the machine", columns, rows)


def _late(lag: Lag | None) -> tuple[str, str]:
    return (NOTHING, NOTHING) if lag is None else (sheets.time(lag.p50), sheets.time(lag.p99))


def proxies(numbers: ValidationNumbers) -> Sheet:
    """Both proxies' mechanisms; nothing where only one was run."""
    rows: Rows = []
    for each in numbers.proxies or ():
        show, apart = of_metric(each.metric), of_difference(each.metric)
        values = (show(each.other), show(each.own), apart(each.difference), apart(each.allowed))
        rows.append((each.metric, *values, "equal" if each.ok else "DIFFERENT"))
    columns = ("", "meshsim", "envoy", "difference", "tolerance", "")
    return Sheet("mechanisms, live behind both proxies", columns, rows, words=(5,))


def table(validations: Sequence[ValidationNumbers]) -> Sheet:
    """One row a validation."""
    rows: Rows = []
    for numbers in validations:
        errors = {each.metric: signed(each.error) for each in numbers.metrics}
        shown = (errors.get(metric, NOTHING) for metric in SHOWN.values())
        same, off = sheets.share(numbers.paired.status_equal), ", ".join(numbers.off) or NOTHING
        name = numbers.scenario or "scenario"
        rows.append((name, numbers.proxy, *shown, same, numbers.verdict.upper(), off))
    columns = ("scenario", "proxy", *SHOWN, "same status", "verdict", "outside tolerance")
    return Sheet("live against simulated", columns, rows, words=(1, 9, 10))
