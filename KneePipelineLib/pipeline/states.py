"""The ten states of a run (and the error state), numbered as the orchestration document numbers them."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Where a run stands; the name is what the events carry."""

    ERROR = -1
    INIT = 0
    RECEIPT = 1
    VALIDATION = 2
    PREPROCESSING = 3
    DETECTION = 4
    ANALYSIS = 5
    FUSION = 6
    SCORING = 7
    FORMATTING = 8
    COMPLETE = 9


WORKING_STATES = (State.VALIDATION, State.PREPROCESSING, State.DETECTION, State.ANALYSIS, State.FUSION, State.SCORING,
                  State.FORMATTING)
"""The states whose work is a list of steps (see `plan`); the others belong to the orchestrator itself."""
