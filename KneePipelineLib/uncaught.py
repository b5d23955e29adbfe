"""The last net: what is said about an exception that nobody translated, and the exit code that follows."""

from __future__ import annotations

import os
import traceback

from .errors import (
    EXIT_CANCELLED,
    EXIT_PIPELINE_ERROR,
    EXIT_TIMED_OUT,
    CancelledError,
    KneePipelineError,
    MemoryCriticalError,
)
from .system import memory
from .system.streams import say

DEBUG_VARIABLE = "KNEEPIPELINE_DEBUG"
_REPORT = (f"Set the variable {DEBUG_VARIABLE}=1 and run the same command again to see where; please report it with "
           "what it says then.")


def as_error(error: BaseException) -> KneePipelineError:
    """Any exception as one of ours: a sentence without paths, and a way out."""
    if isinstance(error, KneePipelineError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return CancelledError("Cancelled.")
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or memory.is_meant_by(said):
        return MemoryCriticalError(memory.NO_MEMORY, memory.memory_hint())
    from .pipeline.failures import recognise

    known = recognise(said)
    if known is not None:
        return known.error
    if isinstance(error, OSError) and error.strerror:
        return KneePipelineError(f"The system refused to go on: {error.strerror.lower()}.",
                                 "Check that file or folder, its permissions and its disk." if error.filename else
                                 _REPORT, exception=type(error).__name__)
    return KneePipelineError(f"An unexpected error ended this command ({type(error).__name__}).", _REPORT,
                             exception=type(error).__name__)


def tell(error: BaseException) -> int:
    """Say on stderr what ended a command, and return its exit code (0 to 4, no others)."""
    if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, BrokenPipeError):
        return EXIT_PIPELINE_ERROR  # whoever read our output has gone; nobody is there to be told
    if isinstance(error, SystemExit):
        if error.code is None or error.code in range(EXIT_TIMED_OUT + 1):
            return error.code or 0
        say(f"KneePipeline: ended by {error.code!r}.")
        return EXIT_PIPELINE_ERROR
    if isinstance(error, KeyboardInterrupt):
        say("KneePipeline: cancelled.")
        return EXIT_CANCELLED
    told = as_error(error)
    say(f"KneePipeline: {told.message}")
    if isinstance(error, OSError) and error.filename and told is not error:
        say(f"              {os.fsdecode(error.filename)}")
    if told.hint:
        say(f"              {told.hint}")
    return told.exit_code
