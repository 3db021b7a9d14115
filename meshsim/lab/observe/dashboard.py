"""A Grafana dashboard that reads a live mesh and a simulated run alike: both have the series it asks for.

Source: Grafana, dashboard JSON model (schema 39); the four golden signals: Beyer et al., Site Reliability
Engineering (2016), chapter 6. Saturation is the number of requests in flight, by Little's law: the rate at
which their durations are spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meshsim.lab.files import json_text
from meshsim.lab.observe.scrape import INTERVAL

WINDOW = "[$__rate_interval]"
NAME = "meshsim.json"


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: its expressions, each with the legend of its lines; `unit` is Grafana's name of one."""

    title: str
    unit: str
    targets: tuple[tuple[str, str], ...]


def _graph(title: str, unit: str, *targets: tuple[str, str]) -> Panel:
    return Panel(title, unit, targets)


def _by(labels: str, metric: str, where: str = "") -> str:
    """The rate of a counter, summed by labels."""
    return f"sum by ({labels}) (rate({metric}{{{where}}}{WINDOW}))"


def _those(labels: str, where: str, among: str) -> str:
    """The rate of those of some requests that have a property; 0 where none has had it yet."""
    return f"({_by(labels, REQUESTS, f'{among},{where}')} or {_by(labels, REQUESTS, among)} * 0)"


def _share(labels: str, where: str, among: str) -> str:
    """Which share of some requests has a property."""
    return f"{_those(labels, where, among)} / {_by(labels, REQUESTS, among)}"


def _quantiles(
    shares: tuple[float, ...], labels: str, histogram: str, where: str = ""
) -> tuple[tuple[str, str], ...]:
    """Quantiles of a histogram, by labels, with their legends."""
    buckets = _by(f"{labels}, le".removeprefix(", "), f"{histogram}_bucket", where)
    legend = " → ".join(f"{{{{{label}}}}}" for label in labels.split(", ") if label)
    return tuple((f"histogram_quantile({q}, {buckets})", f"{legend} p{100 * q:g}".strip()) for q in shares)


REQUESTS, DURATION = "istio_requests_total", "istio_request_duration_milliseconds"
SOME = 'destination_workload=~"$service"'
THERE, HERE = f'reporter="destination",{SOME}', f'reporter="source",{SOME}'
SERVICE, EDGE = "destination_workload", "source_workload, destination_workload"
TO, FROM_TO = "{{destination_workload}}", "{{source_workload}} → {{destination_workload}}"
ERRORS, DENIED = 'response_code=~"5.."', 'response_code="403"'
FLAGGED, OVERFLOW = 'response_flags!="-"', 'response_flags=~".*UO.*"'
MUTUAL, PROVEN = 'connection_security_policy="mutual_tls"', "{{source_principal}} → {{destination_workload}}"

CLUSTER, AT = "app, envoy_cluster_name", 'envoy_cluster_name=~"$service"'
APP_TO = "{{app}} → {{envoy_cluster_name}}"
TRIES, RETRIES = "envoy_cluster_upstream_rq_total", "envoy_cluster_upstream_rq_retry"
EJECTIONS = "envoy_cluster_outlier_detection_ejections_enforced_total"
PUSHES, REJECTS = "pilot_xds_pushes", "pilot_total_xds_rejects"
CONVERGENCE = "pilot_proxy_convergence_time"

ROWS: dict[str, tuple[Panel, ...]] = {
    "Golden signals, by service": (
        _graph("Traffic", "reqps", (_by(SERVICE, REQUESTS, THERE), TO)),
        _graph("Errors (5xx)", "percentunit", (_share(SERVICE, ERRORS, THERE), TO)),
        _graph("Latency", "ms", *_quantiles((0.5, 0.99), SERVICE, DURATION, THERE)),
        _graph("Requests in flight", "short", (f"{_by(SERVICE, f'{DURATION}_sum', THERE)} / 1000", TO)),
    ),
    "By edge": (
        _graph("Traffic", "reqps", (_by(EDGE, REQUESTS, HERE), FROM_TO)),
        _graph("Errors (5xx)", "percentunit", (_share(EDGE, ERRORS, HERE), FROM_TO)),
        _graph("Latency", "ms", *_quantiles((0.99,), EDGE, DURATION, HERE)),
        _graph(
            "Answers with flags",
            "reqps",
            (
                _by(f"{EDGE}, response_flags", REQUESTS, f"{HERE},{FLAGGED}"),
                f"{FROM_TO} {{{{response_flags}}}}",
            ),
        ),
    ),
    "Resilience": (
        _graph("Retries", "reqps", (_by(CLUSTER, RETRIES, AT), APP_TO)),
        _graph(
            "Retries among tries",
            "percentunit",
            (f"{_by(CLUSTER, RETRIES, AT)} / {_by(CLUSTER, TRIES, AT)}", APP_TO),
        ),
        _graph("Ejections", "ops", (_by(CLUSTER, EJECTIONS, AT), APP_TO)),
        _graph("Refused by a breaker (UO)", "reqps", (_those(EDGE, OVERFLOW, HERE), FROM_TO)),
    ),
    "Security": (
        _graph("Share with mutual TLS", "percentunit", (_share(SERVICE, MUTUAL, THERE), TO)),
        _graph("Callers", "reqps", (_by(f"source_principal, {SERVICE}", REQUESTS, THERE), PROVEN)),
        _graph("Denied (403)", "reqps", (_those(SERVICE, DENIED, THERE), TO)),
        _graph("Certificates", "ops", (_by("event", "meshsim_certificates_total"), "{{event}}")),
    ),
    "Control plane": (
        _graph(
            "Configurations",
            "ops",
            (f"sum(rate({PUSHES}{WINDOW}))", "reached a proxy"),
            (f"sum(rate({REJECTS}{WINDOW}))", "refused by a proxy"),
        ),
        _graph("From a change to the proxies", "s", *_quantiles((0.5, 0.99), "", CONVERGENCE)),
    ),
}
"""The panels of each row."""

WIDTH, HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """The dashboard's JSON."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        width = WIDTH // len(row)
        panels += [_panel(panel, n * width, top + 1, width) for n, panel in enumerate(row)]
        top += 1 + HEIGHT
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return json_text(
        {
            "title": "Service mesh (meshsim)",
            "uid": "meshsim-mesh",
            "tags": ["meshsim", "istio"],
            "schemaVersion": 39,
            "editable": True,
            "refresh": "5s",
            "time": {"from": "now-15m", "to": "now"},
            "templating": {"list": [_datasource(), _service()]},
            "panels": panels,
        }
    )


def expressions() -> list[str]:
    """All that its panels ask."""
    return [expression for row in ROWS.values() for panel in row for expression, _ in panel.targets]


def _panel(panel: Panel, left: int, top: int, width: int) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": top, "w": width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "expr": expression,
                "legendFormat": legend,
                "interval": INTERVAL,  # "Min step": rates are taken over four of them, at least
                "datasource": _SOURCE,
            }
            for number, (expression, legend) in enumerate(panel.targets)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _service() -> dict[str, Any]:
    """Which services are shown."""
    query = f"label_values({REQUESTS}, destination_workload)"
    return {
        "name": "service",
        "label": "Service",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "service"},
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }
