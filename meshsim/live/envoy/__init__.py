"""Envoy as the sidecar: a scenario compiled to the configuration of real Envoys.

meshsim's own proxy decides with the classes that the engines run; where both are wrong in the same way, only
somebody else's proxy can show.

    scenario ──► refuse      what an Envoy can't do is reported by key, before anything starts
             ──► documents   bootstrap, LDS, CDS and RDS of one proxy: pure functions (resources, policy,
             │               tls, access)
             ──► Envoy       writes them to a folder, runs the process, pushes changes (process)
             ──► Agents      its certificates, which it reads from files (agents)
                  └─► its logs ──► CallRow, TryRow, Ejection      what every call did (accesslog)
                          └─► rows      the same, as meshsim.live.merge takes it (rows)
"""

from meshsim.live.envoy.accesslog import CallRow, Ejection, TryRow
from meshsim.live.envoy.process import Envoy, binary
from meshsim.live.envoy.refusals import refusals, refuse
from meshsim.live.envoy.rows import rows

__all__ = ["CallRow", "Ejection", "Envoy", "TryRow", "binary", "refusals", "refuse", "rows"]
