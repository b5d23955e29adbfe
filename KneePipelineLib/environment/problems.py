"""The one error of its own that this room adds: Set up did not succeed."""

from __future__ import annotations

from ..errors import KneePipelineError


class SetupError(KneePipelineError):
    """The private environment cannot be created, changed or removed; the message says why."""
