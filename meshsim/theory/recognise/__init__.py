"""What can be solved of a scenario, found from its structure, and why the rest can't."""

from meshsim.theory.recognise.solution import DERIVED, Prediction, Solution, measured
from meshsim.theory.recognise.solver import solve

__all__ = ["DERIVED", "Prediction", "Solution", "measured", "solve"]
