"""A live mesh that is none: the engine, with an overhead nobody told the model of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from meshsim.lab.engines import Progress, engine
from meshsim.lab.run import Run, provenance
from meshsim.lab.validate import Observation
from meshsim.measure.disturbance import Evidence, Lag
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.scenario.mesh import Link, Proxy
from meshsim.scenario.model import Event, Scenario
from meshsim.scenario.times import LogNormalTime, MeanCv, SumTime

QUIET = Evidence(Lag(2e-4, 1e-3, 4e-3), Lag(1e-4, 8e-4, 3e-3), 0.4, 0.0)
BUSY = Evidence(Lag(5e-3, 9e-2, 0.4), Lag(4e-3, 6e-2, 0.3), 0.99, 0.0)


@dataclass
class Fake:
    """Simulates what is to run live.

    Attributes:
        overhead: mean of what each hop costs, each way, s.
        slow: by service, a factor on its times that the model does not know.
        evidence: of the machine.
        balancers: by service, in place of the scenario's.
        ran: every scenario and proxy.
    """

    overhead: float = 0.0009
    slow: dict[str, float] = field(default_factory=dict)
    evidence: Evidence = QUIET
    balancers: dict[str, Any] = field(default_factory=dict)
    ran: list[tuple[Scenario, str]] = field(default_factory=list)

    def __call__(self, scenario: Scenario, *, proxy: str, progress: Progress | None = None) -> Observation:
        self.ran.append((scenario, proxy))
        extra = LogNormalTime(lognormal=MeanCv.model_construct(mean=self.overhead, cv=0.5))
        links = {
            f"{caller} -> {service}": Link.model_construct(
                latency=SumTime.model_construct(sum=(scenario.link(caller, service).latency, extra)),
                loss=scenario.link(caller, service).loss,
            )
            for caller, service in scenario.edges()
        }
        events = [Event.model_construct(at=0.0, service=name, slow=by) for name, by in self.slow.items()]
        real = scenario.model_copy(
            update={
                "links": links,
                "mesh": scenario.mesh.model_copy(update={"proxy": Proxy()}),
                "events": (*scenario.events, *events),
            }
        )
        records = engine("auto", self.balancers)(real, scenario.seed, progress=progress)
        assert isinstance(records, Records)
        self.change(records)
        numbers = replace(summarise([records], scenario), provenance=provenance(scenario))
        return Observation(Run(scenario, [records], numbers), self.evidence)

    def change(self, records: Records) -> None:
        """For tests that want something to go wrong."""
