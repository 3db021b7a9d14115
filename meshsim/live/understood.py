"""What a live mesh knows of the keys under `mesh`; any other that is set is refused, never ignored."""

from __future__ import annotations

import re

from meshsim.errors import MeshsimError
from meshsim.scenario.model import Scenario
from meshsim.scenario.settings import set_keys

MESH = {
    "mesh.dataplane=sidecar", "mesh.proxy.time", "mesh.proxy.workers", "mesh.push_delay",
    "mesh.preset=envoy", "mesh.preset=istio", "mesh.preset=linkerd",
}  # fmt: skip
"""Patterns of :mod:`meshsim.scenario.settings`."""
CONNECTIONS = r"\.(connect|keep_alive)$|\.connection$"
"""Keys of how long connections last, which are not run live yet."""


def refuse_unknown(scenario: Scenario) -> None:
    """Raises MeshsimError with every key of the data plane and control plane that can't be run live."""
    found = [each for each, _ in set_keys(scenario) if each.startswith("mesh.") and each not in MESH]
    found += [place for each, place in set_keys(scenario) if re.search(CONNECTIONS, each)]
    if found:
        raise MeshsimError(f"a live mesh can't do {', '.join(found)} yet; simulate it, or leave it out")
