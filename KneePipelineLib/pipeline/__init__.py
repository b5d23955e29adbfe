"""One run of the pipeline: states, steps, checkpoints, retries, events.

`run_job` is all a caller needs. Importing this package imports nothing heavy, so that a finished run is recognised as
such within a moment.
"""

from __future__ import annotations

from .orchestrator import run_job
from .states import State

__all__ = ["State", "run_job"]
