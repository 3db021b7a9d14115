"""Many scenario files at once: run, judged, put into one table.

=============  ===================================================================================
`run`          the verb: finds the files, runs them in the pool, keeps each one's results
`entry`        what came of one file
`result`       what came of all: the table, JSON, verdicts for JUnit
`sheets`       the same for people
=============  ===================================================================================
"""

from meshsim.lab.batch.entry import Entry
from meshsim.lab.batch.files import batch
from meshsim.lab.batch.result import Batch

__all__ = ["Batch", "Entry", "batch"]
