"""Many scenario files at once: `files` runs them, `entry` is one's result, `result` all of them."""

from meshsim.lab.batch.entry import Entry
from meshsim.lab.batch.files import batch
from meshsim.lab.batch.result import Batch

__all__ = ["Batch", "Entry", "batch"]
