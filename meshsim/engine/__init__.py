"""Bodies for the mesh that simulate it: clocks, and putting a mesh together."""

from meshsim.engine.fast import FastSimulation
from meshsim.engine.simulation import Simulation, simulate

__all__ = ["FastSimulation", "Simulation", "simulate"]
