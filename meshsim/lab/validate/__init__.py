"""Theory, simulation and the real mesh side by side: the verb ``validate``.

A calibration run measures what a hop costs on this machine; the model gets that as an added delay, and
nothing else. Then the scenario is solved, simulated and run live on the same draws, and every number is held
against what it may differ by. `calibration` measures, `judgement` decides, `live` runs; the statistics are in
`meshsim.measure`.
"""

from meshsim.lab.validate.live import Observation
from meshsim.lab.validate.run import PROXIES, validate, validate_each
from meshsim.lab.validate.validation import Validation

__all__ = ["PROXIES", "Observation", "Validation", "validate", "validate_each"]
