"""What holds for all tests."""

from __future__ import annotations

import os
import signal

# A shell's background jobs ignore Ctrl-C, and so would all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tables are as wide as they would be on no terminal; who runs tests in parallel is told a width
os.environ.pop("COLUMNS", None)
