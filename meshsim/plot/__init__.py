"""Pictures of runs and sweeps, made with matplotlib but without pyplot: no window, no global state."""

from meshsim.plot.run import run_figure
from meshsim.plot.style import Picture
from meshsim.plot.sweep import sweep_figure

__all__ = ["Picture", "run_figure", "sweep_figure"]
