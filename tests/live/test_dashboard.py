"""The generated dashboard asks for nothing that the page of a live mesh, or of a run, has not."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from meshsim.lab.observe import dashboard
from meshsim.lab.observe.scrape import configuration
from meshsim.lab.run import run
from meshsim.live.scrape import merged_page
from meshsim.measure.exposition import page
from meshsim.measure.pilot import control_plane_metrics
from meshsim.measure.telemetry import metrics_page
from meshsim.mesh.control_plane import Push
from meshsim.scenario.model import Scenario
from tests.live.proxy.ends import HOST
from tests.live.proxy.rig import live
from tests.live.tls.mesh import pair

Page = dict[str, set[str]]
"""The labels of each series, by its name."""
SCENARIO = {
    "duration": "5s",
    "services": {"cart": {}},
    "load": [{"to": "cart", "rate": "50/s"}],
    "mesh": {"dataplane": "sidecar", "mtls": {"mode": "strict"}},
}
SERIES = re.compile(r"([a-z_]+)(?:\{(.*)\})? \S+")
ASKED = re.compile(r"([a-z_]+)(?:\{([^}]*)\})?\[")
BY = re.compile(r"by \(([^)]*)\)")


def read(text: bytes) -> Page:
    found: Page = {}
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            match = SERIES.fullmatch(line)
            assert match, line
            found.setdefault(match[1], set()).update(re.findall(r'([a-z_]+)="', match[2] or ""))
    return found


def lacking(told: Page) -> list[str]:
    """What the dashboard asks for that a page has not."""
    missing = []
    for expression in dashboard.expressions():
        asked = ASKED.findall(expression)
        assert asked, expression
        for name, matchers in asked:
            labels = set(re.findall(r"([a-z_]+)(?:=|!)", matchers))
            labels |= {label.strip() for found in BY.findall(expression) for label in found.split(",")}
            missing += [f"{name}{{{label}}}" for label in labels - told.get(name, set())]
            missing += [] if name in told else [name]
    return missing


@live
async def test_a_live_mesh_has_all_that_it_asks_for() -> None:
    async with pair() as mesh:
        assert (await mesh.ask()).status == 200
        targets = {
            name: (HOST, rig.ports["admin"])
            for name, rig in (("client/0", mesh.caller), ("cart/0", mesh.callee))
        }
        own = page(control_plane_metrics([Push(1, 0.0, 0.1, 2, 0, [0.2, 0.3])]))
        assert lacking(read(await merged_page(targets, own))) == []


def test_a_simulated_run_has_all_that_it_asks_for() -> None:
    found = run(Scenario.model_validate(SCENARIO))
    assert lacking(read(metrics_page(found.records[0], found.scenario))) == []


def test_what_is_missing_would_be_noticed() -> None:
    assert "pilot_xds_pushes" in lacking({"istio_requests_total": {"reporter"}})
    assert "istio_requests_total{response_code}" in lacking({"istio_requests_total": {"reporter"}})


def test_grafana_finds_what_it_needs() -> None:
    found = json.loads(dashboard.dashboard())
    places: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & places, f"{panel['title']} covers another"
        places |= cells
    assert {x for x, _ in places} == set(range(24))
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids)) == len(dashboard.ROWS) + sum(map(len, dashboard.ROWS.values()))
    variables = {each["name"] for each in found["templating"]["list"]}
    assert variables == {"datasource", "service"}
    assert set(re.findall(r"\$\{?([a-z]+)", dashboard.dashboard())) <= variables


promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus)"
)


def check(*arguments: str) -> None:
    promtool_does("check", *arguments)


def promtool_does(*arguments: str) -> None:
    found = subprocess.run(["promtool", *arguments], capture_output=True, check=False, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@promtool
def test_promtool_reads_all_expressions(tmp_path: Path) -> None:
    asked = [each.replace("$__rate_interval", "1m") for each in dashboard.expressions()]
    rules: dict[str, Any] = {
        "groups": [
            {"name": "all", "rules": [{"record": f"x:{n}", "expr": each} for n, each in enumerate(asked)]}
        ]
    }
    (tmp_path / "rules.json").write_text(json.dumps(rules), encoding="utf-8")
    check("rules", "--lint=none", str(tmp_path / "rules.json"))


@promtool
def test_promtool_reads_the_configurations(tmp_path: Path) -> None:
    ready = {
        "proxies": [{"id": 'a"b/0', "admin": "http://127.0.0.1:1"}, {"id": "c/0", "admin": "http://[::1]:2"}]
    }
    (tmp_path / "ready.json").write_text(json.dumps(ready), encoding="utf-8")
    for number, source in enumerate(("http://127.0.0.1:15014", str(tmp_path / "ready.json"))):
        file = tmp_path / f"{number}.yml"
        file.write_text(configuration(source), encoding="utf-8")
        check("config", "--lint=none", str(file))


@promtool
def test_what_has_not_happened_is_shown_as_0(tmp_path: Path) -> None:
    """A graph without lines says that there are no data, and so that something is broken."""
    sides = {
        "source": '{destination_workload="b", source_workload="a"}',
        "destination": '{destination_workload="b"}',
    }
    labels = 'source_workload="a",destination_workload="b",response_code="200",response_flags="-"'
    asked = {
        panel.title: panel.targets[0][0]
        for row in ("By edge", "Resilience", "Security")
        for panel in dashboard.ROWS[row]
        if panel.title.startswith(("Errors", "Refused", "Denied", "Share"))
    }
    tests = [
        {
            "expr": re.sub(r"\$__rate_interval", "1m", expression).replace("$service", ".*"),
            "eval_time": "5m",
            "exp_samples": [
                {"labels": sides["source" if "source" in expression else "destination"], "value": 0}
            ],
        }
        for expression in asked.values()
    ]
    series = [
        {"series": f'istio_requests_total{{reporter="{side}",{labels}}}', "values": "0+60x10"}
        for side in sides
    ]
    assert len(tests) == 4
    group = {"interval": "30s", "input_series": series, "promql_expr_test": tests}
    (tmp_path / "tests.json").write_text(json.dumps({"tests": [group]}), encoding="utf-8")
    promtool_does("test", "rules", str(tmp_path / "tests.json"))


# ---- a run over time ------------------------------------------------------------------------------------

BUSY = {
    "duration": "30s",
    "mesh": {
        "dataplane": "sidecar",
        "mtls": {"mode": "strict", "certificate_ttl": "20s", "ca": {"time": "1ms"}},
        "push_delay": "100ms",
        "control_plane": {},
    },
    "services": {
        "cart": {
            "replicas": 3,
            "time": {"exponential": "20ms"},
            "errors": "20%",
            "script": [{"call": "api", "optional": True}],
        },
        "api": {"time": "1ms"},
    },
    "policies": {
        "cart": {
            "retries": {"attempts": 2, "on": ["5xx"]},
            "circuit_breaker": {"max_requests": 4},
            "outlier_detection": {"consecutive_5xx": 3, "interval": "1s", "max_ejection_percent": "50%"},
        },
    },
    "access": [{"deny": {"to": "api", "from": ["cart"]}}],
    "load": [{"to": "cart", "rate": "100/s"}],
    "events": [{"at": "10s", "set": {"policies.cart.timeout": "50ms"}, "nack": ["cart"]}],
}
"""Something happens on each graph."""


@contextmanager
def served(blocks: Path) -> Iterator[str]:
    """A Prometheus that has these blocks, by its URL."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    config = blocks / "prometheus.yml"
    config.write_text("", encoding="utf-8")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={blocks}", "--log.level=error"]
    program = subprocess.Popen([*command, f"--web.listen-address={HOST}:{port}"])
    try:
        url = f"http://{HOST}:{port}"
        for _ in range(300):
            try:
                urlopen(f"{url}/-/ready").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        program.terminate()
        program.wait(60.0)


def lines(url: str, expression: str, since: float, until: float) -> list[list[float]]:
    """What Prometheus answers where Grafana asks for a graph: the values of each line."""
    query = expression.replace("$__rate_interval", "5s").replace("$service", ".*")
    asked = urlencode({"query": query, "start": since, "end": until, "step": 1})
    with urlopen(f"{url}/api/v1/query_range?{asked}") as answer:
        found = json.load(answer)["data"]["result"]
    return [[float(value) for _, value in line["values"]] for line in found]


@promtool
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="there is no prometheus (Debian: prometheus)")
def test_each_graph_has_lines_of_a_simulated_run(tmp_path: Path) -> None:
    found = run(Scenario.model_validate(BUSY), out=tmp_path / "out", metrics_every="1s")
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", tmp_path / "out/metrics.om", blocks]
    assert subprocess.run(made, capture_output=True, check=False).returncode == 0
    since, until = (each / 1000 for each in times(blocks))
    assert until - since == pytest.approx(math.ceil(found.records[0].end), abs=0.01)
    with served(blocks) as url:
        drawn = {each: lines(url, each, since, until) for each in dashboard.expressions()}
        offered = lines(
            url, f'sum({dashboard.REQUESTS}{{reporter="source",source_app="client"}})', until, until
        )
    silent = [
        each for each, got in drawn.items() if not any(0 < value < math.inf for line in got for value in line)
    ]
    assert silent == []
    assert offered == [[found.summary["requests"]["offered"]]], "the last sample has all"


def times(blocks: Path) -> tuple[int, int]:
    """When the first and the last sample in some blocks are, ms."""
    found = [json.loads(each.read_text(encoding="utf-8")) for each in blocks.glob("*/meta.json")]
    return min(each["minTime"] for each in found), max(each["maxTime"] for each in found) - 1
