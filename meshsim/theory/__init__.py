"""Closed forms, each with its source, and `solve`: what they say about a scenario, found from its structure.

The formulas are plain functions in the modules of this package, one family each; `recognise` puts them
together. What is solved when: docs/background/theory.md.
"""

from meshsim.theory.recognise import DERIVED, Prediction, Solution, measured, solve

__all__ = ["DERIVED", "Prediction", "Solution", "measured", "solve"]
