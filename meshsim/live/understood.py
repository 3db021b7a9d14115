"""What a live mesh knows of the keys of a scenario; what it can't do is refused, never ignored."""

from __future__ import annotations

import re

from meshsim.errors import MeshsimError
from meshsim.scenario.model import Scenario
from meshsim.scenario.settings import set_keys

MESH = {"mesh.dataplane=sidecar", "mesh.proxy.time", "mesh.proxy.workers", "mesh.push_delay"}
"""Patterns of :mod:`meshsim.scenario.settings`: all that is known below `mesh`."""
NOT_YET = re.compile(r"services\..*\.repeat$|load\[\*\]\.endpoints")
"""Of the other keys, what only simulated meshes know, beside endpoints themselves and their policies."""
SHOWN = 5
"""So many keys are named at most."""


def refuse_unknown(scenario: Scenario) -> None:
    """Raises MeshsimError with every key that can't be run live."""
    found = [
        place
        for key, place in set_keys(scenario)
        if (key.startswith("mesh.") and key not in MESH) or NOT_YET.match(key)
    ]
    found += [f"policies.{name}" for name in scenario.policies if "/" in name]
    found += [f"services.{name}.endpoints" for name, each in scenario.services.items() if each.endpoints]
    if found:
        named = ", ".join(list(dict.fromkeys(found))[:SHOWN])
        raise MeshsimError(f"a live mesh can't do {named} yet; simulate it, or leave it out")
