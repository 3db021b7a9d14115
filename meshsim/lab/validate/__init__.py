"""Theory, simulation and the real mesh side by side: the verb behind ``meshsim validate``.

`calibration` measures what a hop costs here, which the model gets as an added delay, and nothing else; then
the scenario is solved, simulated and run live (`observation`) on the same draws, and `judgement` holds every
number against its tolerance. `stages` does one after the other; the statistics are in `meshsim.measure`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.jobs.interrupt import interruptible
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.run import first_seed
from meshsim.lab.validate.observation import Live, Observation, on_this_machine
from meshsim.lab.validate.stages import ENVOY, MESHSIM, Stages, Watch
from meshsim.lab.validate.validation import Validation
from meshsim.plain import converted
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides
from meshsim.scenario.topology import Topology

__all__ = ["PROXIES", "Observation", "Validation", "validate", "validate_each"]

PROXIES = {MESHSIM: (MESHSIM,), ENVOY: (ENVOY,), "both": (MESHSIM, ENVOY)}
REPLICATIONS = 10
"""Simulated runs, where nobody says: the first has the live run's draws."""


@converted
def validate(
    scenario: str | Path | Scenario,
    *,
    proxy: str = MESHSIM,
    seed: int | None = None,
    overrides: Overrides = (),
    replications: int = REPLICATIONS,
    out: str | Path | None = None,
    watch: Watch | None = None,
    live: Live | None = None,
    beside: Validation | None = None,
    interrupted: Callable[[], None] | None = None,
    **options: Unpack[OutputOptions],
) -> Validation:
    """Holds theory, simulation and the live mesh of this machine against each other.

    It takes the scenario's duration in real time, and about 25 s for the calibration before and after and the
    simulated runs.

    Args (all others as of `meshsim.run`):
        proxy: whose sidecars: ``meshsim`` or ``envoy``.
        replications: simulated runs, at least 2, for the interval of each number.
        watch: called with how far it is.
        live: what runs a scenario for real; None is this machine.
        beside: a validation of the same scenario behind the other proxy, to compare the live runs of both.

    Raises:
        MeshsimError: the scenario or another argument can't be used, it can't run live, or the results could
            not be written.
        KeyboardInterrupt: Ctrl-C; half a live run can't be judged.
    """
    output(options, saved=out is not None)
    if proxy not in (MESHSIM, ENVOY):
        raise MeshsimError(f"no proxy {proxy!r}; choose {MESHSIM} or {ENVOY}")
    if replications < 2:
        raise MeshsimError(f"{replications} replications have no interval; ask for at least 2")
    chosen = _without_programs(load(scenario, overrides))
    start = first_seed(chosen.seed if seed is None else seed, replications)
    chosen = chosen.model_copy(update={"seed": start, "keep": "records"})
    if out is not None:
        files.prepare(out)
    with interruptible(interrupted) as stop:
        stages = Stages(chosen, proxy, replications, live or on_this_machine, watch, stop)
        result = stages.result(beside)
    if out is not None:
        result.save(out, **options)
    return result


@converted
def validate_each(
    scenarios: Sequence[str | Path | Scenario],
    *,
    proxy: str = MESHSIM,
    seed: int | None = None,
    overrides: Overrides = (),
    replications: int = REPLICATIONS,
    watch: Watch | None = None,
    live: Live | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Iterator[Validation]:
    """Validates scenarios in turn, behind one proxy or ``both``; all are read before the first run.

    The arguments and errors are those of `validate`.
    """
    if proxy not in PROXIES:
        raise MeshsimError(f"no proxy {proxy!r}; choose one of {', '.join(PROXIES)}")
    loaded = [_without_programs(load(scenario, overrides)) for scenario in scenarios]
    for each in loaded:
        beside: Validation | None = None
        for kind in PROXIES[proxy]:
            beside = validate(
                each, proxy=kind, seed=seed, replications=replications, watch=watch, live=live,
                beside=beside, interrupted=interrupted,
            )  # fmt: skip
            yield beside


def _without_programs(scenario: Scenario) -> Scenario:
    """The scenario, all services of which are meshsim's own: they can take no time while it calibrates."""
    if own := Topology(scenario).programs():
        raise MeshsimError(
            f"{scenario.name or 'scenario'} can't be validated: service {own[0]} is a program of yours"
            " (live.command), whose own time can't be separated from the overhead of a call; see it run with"
            " `meshsim live`, or leave `command` out"
        )
    return scenario
