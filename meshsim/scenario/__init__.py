"""YAML scenarios and the frozen models they become."""

from meshsim.scenario.dump import dump
from meshsim.scenario.load import load, loads
from meshsim.scenario.model import Scenario
from meshsim.scenario.schema import schema

__all__ = ["Scenario", "dump", "load", "loads", "schema"]
