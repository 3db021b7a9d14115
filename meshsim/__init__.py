"""meshsim: what will this service mesh do, and how do you know?

>>> import meshsim as ms
>>> run = ms.run("scenarios/retry-storm.yaml", seed=7)  # doctest: +SKIP
>>> run.summary, run.requests, run.plot()  # doctest: +SKIP

Each verb of the command line that computes is a function here, by its name: `run`, `batch`, `sweep`,
`compare`, `capacity`, `validate`, `access`; ``live`` is `run_live` (`meshsim.live` is the package) and
``theory`` is `solve`.

The names below are imported when they are first used, so that ``import meshsim`` costs nothing.
"""

from importlib import import_module

from meshsim import forms  # noqa: F401 - decides which form of the mesh is loaded, before any of it is
from meshsim.version import VERSION

TYPE_CHECKING = False  # as of `typing`, which takes its time

if TYPE_CHECKING:
    from meshsim.engine import Simulation
    from meshsim.errors import MeshsimError, ScenarioError
    from meshsim.lab.access import access
    from meshsim.lab.batch import batch
    from meshsim.lab.capacity import capacity
    from meshsim.lab.compare import compare
    from meshsim.lab.live import run_live
    from meshsim.lab.run import Run, run
    from meshsim.lab.sweep import sweep
    from meshsim.lab.validate import validate
    from meshsim.policies.balance import Balancer
    from meshsim.policies.retry import RetryRule
    from meshsim.scenario.dump import dump
    from meshsim.scenario.load import load, loads
    from meshsim.scenario.model import Scenario
    from meshsim.scenario.variation import linspace
    from meshsim.theory import solve

__version__ = VERSION

__all__ = [
    "Balancer", "MeshsimError", "RetryRule", "Run", "Scenario", "ScenarioError", "Simulation",
    "access", "batch", "capacity", "compare", "dump", "linspace", "load", "loads", "run", "run_live", "solve",
    "sweep", "validate",
]  # fmt: skip

_HOMES = {
    "Balancer": "meshsim.policies.balance",
    "MeshsimError": "meshsim.errors",
    "RetryRule": "meshsim.policies.retry",
    "Run": "meshsim.lab.run",
    "Scenario": "meshsim.scenario.model",
    "ScenarioError": "meshsim.errors",
    "Simulation": "meshsim.engine",
    "access": "meshsim.lab.access",
    "batch": "meshsim.lab.batch",
    "capacity": "meshsim.lab.capacity",
    "compare": "meshsim.lab.compare",
    "dump": "meshsim.scenario",
    "linspace": "meshsim.scenario.variation",
    "load": "meshsim.scenario",
    "loads": "meshsim.scenario",
    "run": "meshsim.lab.run",
    "run_live": "meshsim.lab.live",
    "solve": "meshsim.theory",
    "sweep": "meshsim.lab.sweep",
    "validate": "meshsim.lab.validate",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
