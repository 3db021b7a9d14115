"""Which processes of a mesh are in pods, and what differs for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshsim.live import Address, Message
from meshsim.live.intercept.addresses import POD_HOST, addresses
from meshsim.live.ports import HTTP, accepts, listens
from meshsim.live.processes import Keeper, Process
from meshsim.live.proxies import Listeners, url
from meshsim.scenario.model import CLIENT, Scenario


class PodPlan:
    """Of one mesh: every replica behind a sidecar is in a pod of its own, if that is `wanted`; else nobody.

    Replicas, by id, may come while the mesh runs.
    """

    def __init__(self, scenario: Scenario, wanted: bool) -> None:
        self.scenario = scenario
        self.wanted = wanted
        self.names = addresses(list(scenario.services))

    def prepare(self, keeper: Keeper) -> None:
        """Has a keeper make pods from here on; MeshsimError if the system bears none."""
        if self.wanted:
            keeper.intercept(self.names)

    def in_pod(self, id_: str) -> bool:
        """Whether a replica is in a pod."""
        service = id_.partition("/")[0]
        return self.wanted and service != CLIENT and self.scenario.has_sidecar(service)

    def place(self, role: str, id_: str) -> Message:
        """Where a process is started, for the keeper: a sidecar is beside its pod."""
        if role not in ("proxy", "service", "program") or not self.in_pod(id_):
            return {}
        return {"pod": id_, "beside": role == "proxy"}

    def services(self, role: str, id_: str) -> dict[str, str]:
        """All services by their addresses in pods; nothing for who is in none."""
        return {address: name for name, address in self.names.items()} if self.place(role, id_) else {}

    def app(self, id_: str, address: Address) -> Address:
        """Where an application listens that would listen on an address of this machine."""
        return (POD_HOST, address[1]) if self.in_pod(id_) else address

    def listeners(self, id_: str, found: Listeners) -> Listeners | None:
        """Those of its sidecar that a program has to know; None in a pod, where names are enough."""
        return None if self.in_pod(id_) else found

    def urls(self, role: str, id_: str, found: Mapping[str, str]) -> dict[str, str]:
        """By which a process calls services, which else it would do by their listeners."""
        inside = role == "service" and self.in_pod(id_)
        return {name: url(self.names[name], HTTP) for name in found} if inside else dict(found)

    def inside(self, processes: Iterable[Process]) -> dict[str, int]:
        """The id of a process in each pod, by replica: through it others find the pod (nsenter)."""
        places = [(process.place, process.pid) for process in processes if process.code is None]
        return {place["pod"]: pid for place, pid in places if place and not place["beside"]}

    def serves(self, program: Process, app: Address) -> bool:
        """Whether a program serves; to one in a pod nobody can connect but its sidecar."""
        return listens(program.pid, app[1]) if self.wanted else accepts(app)
