"""What a live mesh knows of the keys under `mesh`; any other that is set is refused, never ignored."""

from __future__ import annotations

from meshsim.errors import MeshsimError
from meshsim.scenario.model import Scenario
from meshsim.scenario.settings import set_keys
from meshsim.scenario.topology import Topology

MESH = {
    "mesh.dataplane=sidecar", "mesh.proxy.time", "mesh.proxy.workers", "mesh.push_delay",
    "mesh.mtls", "mesh.mtls.mode=strict", "mesh.mtls.mode=permissive", "mesh.mtls.mode=disable",
    "mesh.mtls.handshake", "mesh.mtls.round_trips", "mesh.mtls.certificate_ttl", "mesh.mtls.rotate_at",
    "mesh.mtls.jitter", "mesh.mtls.ca.time", "mesh.mtls.ca.workers", "mesh.mtls.ca.retry.base",
    "mesh.mtls.ca.retry.max",
    "mesh.control_plane", "mesh.control_plane.debounce", "mesh.control_plane.debounce_max",
    "mesh.control_plane.time", "mesh.control_plane.workers", "mesh.control_plane.ordered",
    "mesh.preset=envoy", "mesh.preset=istio", "mesh.preset=linkerd",
}  # fmt: skip
"""Patterns of :mod:`meshsim.scenario.settings`."""

TTL_LEAST = 2.0
"""Of a certificate, s."""


def refuse_unknown(scenario: Scenario) -> None:
    """Raises MeshsimError with every key of the data plane and control plane that can't be run live."""
    found = [each for each, _ in set_keys(scenario) if each.startswith("mesh.") and each not in MESH]
    if found:
        raise MeshsimError(f"a live mesh can't do {', '.join(found)} yet; simulate it, or leave it out")
    mtls = scenario.mesh.mtls
    if mtls is not None and mtls.certificate_ttl < TTL_LEAST:
        raise MeshsimError(
            f"mesh.mtls.certificate_ttl: real certificates have whole seconds; write at least {TTL_LEAST:g}s"
        )
    for replica in () if scenario.mesh.dataplane == "sidecar" else Topology(scenario).replicas:
        if replica.deployment.live is not None and replica.deployment.keep_alive:
            raise MeshsimError(
                f"services.{replica.service}.keep_alive: without sidecars the program's own keep-alive counts"
                " (leave it out, or write mesh.dataplane: sidecar)"
            )
