"""The validation scenarios: each shows its mechanism, passes on a mesh like the model, and is small."""

import sys
from pathlib import Path

import pytest

from meshsim.lab.validate import validate
from meshsim.scenario import load
from meshsim.scenario.topology import Topology

sys.path.insert(0, str(Path(__file__).parent))
from fake_live import Fake

FOLDER = Path(__file__).parents[4] / "scenarios" / "validation"
FILES = sorted(FOLDER.glob("*.yaml"))
SHOWN = {
    "access": ("edges.client -> cart.endpoints.get.failed", 130),
    "canary": ("services.cart.versions.v2.share", 0.2),
    "certificate-expiry": ("edges.client -> backend.connections.untrusted", 300),
    "chain": ("attempts.total", 4000),
    "circuit-breaker": ("failures.UO", 150),
    "config-race": ("edges.web -> cart.flags.NC", 100),
    "endpoints": ("edges.shop -> cart.endpoints.add.retries", 200),
    "fan-out": ("attempts.total", 4000),
    "handshake-storm": ("edges.client -> backend.connections.secured", 1000),
    "hedging": ("edges.client -> search.hedges", 100),
    "keep-alive-race": ("edges.client -> backend.connections.server", 100),
    "mtls": ("edges.legacy -> db.connections.rejected", 200),
    "outlier-ejection": ("edges.client -> backend.ejections", 5),
    "per-try-timeouts": ("edges.client -> backend.retries", 300),
    "preset-envoy": ("edges.client -> backend.ejections", 1),
    "preset-istio": ("edges.client -> backend.retries", 300),
    "preset-linkerd": ("edges.client -> backend.ejections", 4),
    "previous-hosts": ("edges.client -> backend.retries", 800),
    "queue": ("attempts.total", 1500),
    "rate-limit": ("failures.RL", 150),
    "retries": ("edges.client -> backend.retries", 300),
    "retry-budget": ("failures.UO", 300),
    "short-connections": ("edges.client -> backend.connections.max_requests", 100),
    "rolling-restart": ("failures.UF", 20),
    "scale-out": ("attempts.total", 900),
    "slow-replica": ("attempts.total", 2000),
}
HOPS, BUSY, PROCESSES = 250.0, 0.7, 12


def test_each_is_here() -> None:
    assert [file.stem for file in FILES] == sorted(SHOWN)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_shows_its_mechanism_and_passes(file: Path) -> None:
    scenario = load(file)
    assert scenario.name == file.stem
    assert file.read_text(encoding="utf-8").startswith("# Question.")
    result = validate(scenario, live=Fake(), replications=2)
    assert result.verdict == "pass", result.summary["reasons"]
    metric, least = SHOWN[file.stem]
    found = next(row for row in result.summary["metrics"] if row["metric"] == metric)
    assert found["simulation"] > least
    assert "latency.p99" in {row["metric"] for row in result.summary["metrics"]}, "enough requests beyond it"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_two_cores_can_run_it(file: Path) -> None:
    scenario = load(file)
    result = validate(scenario, live=Fake(), replications=2)
    summary = result.simulation.summary
    assert summary["attempts"]["total"] / summary["measured"] <= HOPS
    assert all((each["utilisation"] or 0.0) <= BUSY for each in summary["services"].values())
    replicas = sum(Topology(scenario).replica_count(service) for service in scenario.services)
    assert 2 * replicas + 2 <= PROCESSES
    assert (scenario.mesh.dataplane, scenario.links) == ("sidecar", {})
    assert scenario.duration <= 40
