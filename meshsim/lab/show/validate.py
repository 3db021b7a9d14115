"""A validation as small tables of text, for terminals and notebooks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim.lab.show import sheets
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, of_metric
from meshsim.units import change_text, points_text

Summary = dict[str, Any]
SAID = {"pass": "PASS", "fail": "FAIL", "noisy": "NOISY"}


def signed(share: float | None) -> str:
    """An error: ``0.0123`` -> ``+1.23 %``."""
    return NOTHING if share is None else change_text(share)


def headline(summary: Summary) -> Sheet:
    """One row a number: what theory, simulation and the live mesh say, and how far apart they may be."""
    rows: Rows = []
    for each in summary["metrics"]:
        show = of_metric(each["metric"]) if each["metric"] != "requests.throughput" else sheets.rate
        between = NOTHING
        if each["interval"] is not None:
            low, high = each["interval"]
            between = f"{show(low)} .. {show(high)}"
        allowed = each["tolerance"]
        rows.append(
            (
                each["metric"],
                ("≈ " if each["theory_kind"] == "approx" else "") + show(each["theory"]),
                show(each["simulation"]),
                between,
                show(each["live"]),
                signed(each["error"]),
                sheets.share(allowed),
                "ok" if each["ok"] else "OFF",
            )
        )
    columns = ("", "theory", "simulated", "95 % of seeds", "live", "error", "allowed", "")
    title = (
        f"{summary['scenario'] or 'scenario'} behind {summary['proxy']}: {SAID[summary['verdict']]},"
        f" {summary['measured']:g} s measured, seed {summary['seed']}"
    )
    return Sheet(title, columns, rows, words=(7,))


def paired(summary: Summary) -> Sheet:
    """Request by request."""
    found = summary["paired"]
    if not found["requests"]:
        return Sheet("request by request", ("",), [])
    rest = found["residuals"]
    rows: Rows = [
        ("same status", sheets.share(found["status_equal"])),
        ("as many tries", sheets.share(found["attempts_equal"])),
        *(
            (f"{key}, live against simulated", signed(found[f"{key}_error"]))
            for key in ("p50", "p99")
            if found[f"{key}_error"] is not None
        ),
    ]
    if rest is not None:
        rows.append(("live - simulated, mean", sheets.time(rest["mean"])))
        rows.append(("80 % of them between", f"{sheets.time(rest['p10'])} .. {sheets.time(rest['p90'])}"))
    return Sheet(f"request by request: {sheets.count(found['requests'])} pairs", ("", ""), rows)


def overhead(summary: Summary) -> Sheet:
    """What a call costs on this machine, by edge."""
    rows: Rows = [
        (edge, sheets.count(each["calls"]), *(sheets.time(each[key]) for key in ("mean", "p50", "p99")))
        for edge, each in summary["overhead"].items()
    ]
    return Sheet("overhead of a call, calibrated", ("edge", "calls", "mean", "p50", "p99"), rows)


def machine(summary: Summary) -> Sheet:
    """How quiet the machine was."""
    rows: Rows = []
    for name, seen in summary["machine"].items():
        load, service = seen["load_lag"], seen["service_lag"]
        rows.append(
            (
                name,
                *(
                    sheets.time(lag[key] if lag else None)
                    for lag in (load, service)
                    for key in ("p50", "p99")
                ),
                sheets.share(seen["cpu_busy"]),
                sheets.share(seen["cpu_steal"]),
            )
        )
    columns = ("", "load late, p50", "p99", "services late, p50", "p99", "busy", "stolen")
    return Sheet("the machine", columns, rows)


def proxies(summary: Summary) -> Sheet:
    """Both proxies' mechanisms; nothing where only one was run."""
    rows: Rows = []
    for each in summary.get("proxies", ()):
        show = of_metric(each["metric"]) if each["metric"] != "requests.throughput" else sheets.rate
        apart = points_text if show is sheets.share else show
        numbers = (*(show(each[key]) for key in ("other", "own")),
                   *(apart(each[key]) for key in ("difference", "allowed")))  # fmt: skip
        rows.append((each["metric"], *numbers, "equal" if each["ok"] else "DIFFERENT"))
    columns = ("", "meshsim", "envoy", "difference", "allowed", "")
    return Sheet("mechanisms, live behind both proxies", columns, rows, words=(5,))


WORST = ("latency.mean", "latency.p50", "latency.p90", "latency.p99")


def table(summaries: Sequence[Summary]) -> Sheet:
    """One row a validation."""
    rows: Rows = []
    for summary in summaries:
        errors = {each["metric"]: each["error"] for each in summary["metrics"]}
        off = [each["metric"] for each in summary["metrics"] if not each["ok"]]
        rows.append(
            (
                summary["scenario"] or "scenario",
                summary["proxy"],
                *(signed(errors.get(metric)) for metric in WORST),
                signed(errors.get("requests.success_ratio")),
                signed(errors.get("attempts.total")),
                sheets.share(summary["paired"]["status_equal"]),
                SAID[summary["verdict"]],
                ", ".join(off) or NOTHING,
            )
        )
    columns = (
        "scenario", "proxy", "mean", "p50", "p90", "p99", "success", "attempts", "same status", "verdict",
        "off",
    )  # fmt: skip
    return Sheet("live against simulated", columns, rows, words=(1, 9, 10))


def sentences(summary: Summary) -> list[str]:
    """Why it is not a pass, and what a reader must know."""
    return [*summary["reasons"], *summary["notes"]]
