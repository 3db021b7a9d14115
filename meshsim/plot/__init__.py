"""Pictures of runs, made with matplotlib but without pyplot: no window, no global state."""

from meshsim.plot.run import alt_text, run_figure
from meshsim.plot.style import Picture

__all__ = ["Picture", "alt_text", "run_figure"]
