"""Many scenario files at once: run, judged, put into one table.

=============  ===================================================================================
`run`          the verb: finds the files, runs them in the pool, keeps each one's results
`result`       what came of them: an entry for each file, the table, JSON, verdicts for JUnit
`sheets`       the same for people
=============  ===================================================================================
"""

from meshsim.lab.batch.result import Batch, Entry
from meshsim.lab.batch.run import batch

__all__ = ["Batch", "Entry", "batch"]
