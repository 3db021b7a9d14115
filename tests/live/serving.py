"""A mesh of fakes that serves until tests kill it, and says what there is of it, and its services' places."""

from __future__ import annotations

import json
import sys
import time

from meshsim.live.launch import LiveMesh
from meshsim.live.options import Options
from meshsim.scenario import loads
from tests.live.fakes import ROLES
from tests.live.processes import traces

if __name__ == "__main__":
    scenario = loads(sys.argv[1])
    with LiveMesh(scenario, scenario.seed, Options(load=False, roles=ROLES)) as mesh:
        mesh.launch()
        mesh.start()
        print(json.dumps([*traces(mesh), list(mesh.apps.values())]), flush=True)
        time.sleep(60.0)
