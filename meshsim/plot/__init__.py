"""Pictures of runs and sweeps, made with matplotlib but without pyplot: no window, no global state."""

from meshsim.plot.run import alt_text, run_figure
from meshsim.plot.style import Picture
from meshsim.plot.sweep import sweep_alt_text, sweep_figure

__all__ = ["Picture", "alt_text", "run_figure", "sweep_alt_text", "sweep_figure"]
