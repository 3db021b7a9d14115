"""Which engine runs a scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from meshsim.errors import MeshsimError
from meshsim.forms import FORM, REMEDY
from meshsim.measure.measurements import Measurements
from meshsim.scenario.model import Scenario

if TYPE_CHECKING:
    from meshsim.engine.simulation import UserProcess
    from meshsim.scenario.machines import BalancerFactory, RetryRuleFactory

Progress = Callable[[float], None]
"""Called with the time simulated so far, s: at most the duration times the replications."""

NAMES = ("auto", "fast", "simpy", "reference")
"""Engines; ``auto`` is the fast one where it is compiled and no process of the user's own takes part."""


class Engine(Protocol):
    """What simulates: the `simulate` of an engine or of the reference model."""

    def __call__(
        self, scenario: Scenario, seed: int | None = None, *, progress: Progress | None = None
    ) -> Measurements:
        """One run."""


def engine(
    name: str,
    balancers: Mapping[str, BalancerFactory] | None = None,
    retry_rules: Mapping[str, RetryRuleFactory] | None = None,
    processes: Sequence[UserProcess] = (),
) -> Engine:
    """The engine of a name, imported only when wanted, with the user's own parts; else MeshsimError."""
    if name not in NAMES:
        raise MeshsimError(f"no engine {name!r}; choose one of {', '.join(NAMES)}")
    if name == "auto":
        name = "fast" if FORM.compiled and not processes else "simpy"
    if name == "reference":
        from meshsim.reference import simulate as reference  # noqa: PLC0415

        if balancers or retry_rules or processes:
            own = "balancers, retry rules or processes of your own"
            raise MeshsimError(f"the reference model takes no {own}; leave engine out")
        return reference
    if name == "fast":
        from meshsim.engine.fast import simulate as fast  # noqa: PLC0415

        if processes:
            raise MeshsimError("processes of your own need SimPy's clock; leave engine out, or choose simpy")
        return partial(fast, balancers=balancers, retry_rules=retry_rules)
    from meshsim.engine import simulate as simpy  # noqa: PLC0415

    return partial(simpy, balancers=balancers, retry_rules=retry_rules, processes=processes)


def is_reference(simulate: Engine) -> bool:
    """Whether it is the reference model."""
    return getattr(simulate, "__module__", "").startswith("meshsim.reference")


_complained: list[str] = []


def complaint(name: str) -> list[str]:
    """Says, once in a process, that a run could be much faster, and how."""
    if FORM.compiled or not FORM.reason or name not in ("auto", "fast") or _complained:
        return []
    _complained.append(FORM.reason)
    return [f"{FORM.reason[0].upper()}{FORM.reason[1:]}, so this runs some thirty times slower: {REMEDY}."]
