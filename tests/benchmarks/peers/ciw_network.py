"""Ciw: a network of nodes. The chain needs a node class of one's own, see `Holding`."""

from __future__ import annotations

from importlib.metadata import version

import ciw
from common import Run, System, main


class Holding(ciw.Node):
    """A node whose server stays busy until its customer leaves the whole network.

    Ciw's customers move on and free their server (or, blocked, keep it until the next node has room), so this
    takes its internals: a server that is left stays `busy` and is noted down with its customer, and the last
    node sets all of them free.
    """

    def detatch_server(self, server, individual):
        """Keep the server for now; the last node gives them all back."""
        held = individual.__dict__.setdefault("held", [])
        held.append((self, server))
        individual.server = False
        if individual.destination == -1:
            for _, each in held:
                each.cust, each.busy = False, False

    def begin_service_if_possible_release(self, next_individual, newly_free_server):
        """Serve whoever waits for the servers that have become free, at whichever node."""
        if not newly_free_server.busy:
            for node, server in next_individual.__dict__.pop("held"):
                super(Holding, node).begin_service_if_possible_release(next_individual, server)


def build(system: System, requests: int, seed: int) -> Run:
    """The stations as nodes in a row."""
    count = len(system.stations)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(system.rate), *[None] * (count - 1)],
        service_distributions=[ciw.dists.Exponential(1.0 / each.mean) for each in system.stations],
        number_of_servers=[each.workers for each in system.stations],
        routing=[[1.0 if column == row + 1 else 0.0 for column in range(count)] for row in range(count)],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network, node_class=Holding if count > 1 else None)

    def run():
        simulation.simulate_until_max_customers(requests, method="Finish")
        records = [each.data_records for each in simulation.nodes[-1].all_individuals]
        return lambda: [each[-1].exit_date - each[0].arrival_date for each in records]

    return run


if __name__ == "__main__":
    main("Ciw", version("ciw"), {"network": build})
