"""How much a mesh carries: the verb ``capacity``.

Four questions, answered by the same means. *How much load* can come before an objective is missed? *How few
replicas* meet the objectives at the scenario's own load? Where is *the knee*, beyond which more load buys
mostly waiting? And below which load does the mesh *recover* from what its events do to it?

Each is a search, and each step of it asks of one candidate (a load, some replicas): are the objectives met?
A run answers that with noise, so the step adds replications until the answer is clear, or says that it is
too close to call. `inquiry` does this and knows nothing of simulation; `evidence` has the statistics; the
searches stand on both. What they are given to look with is a callable, so tests give them a noisy function.
"""

from meshsim.lab.capacity.run import Capacity, capacity

__all__ = ["Capacity", "capacity"]
