"""The errors a person may meet, each with a code, one clear sentence and a way out.

They are raised at the place of failure, by any room. ``pipeline/`` turns them into events and exit codes; nothing else
needs to know how. The codes are those of the design's section 5.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_PIPELINE_ERROR = 1
EXIT_USAGE = 2
EXIT_CANCELLED = 3
EXIT_TIMED_OUT = 4

MAX_MESSAGE = 1000
MAX_HINT = 4000


def _one_line(message: str) -> str:
    """A message as one line of bounded length, whatever the names in somebody's file bring into it."""
    return _bounded(" ".join(_printable(message).split()), MAX_MESSAGE)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))


def _bounded(line: str, most: int) -> str:
    return line if len(line) <= most else line[:most - 3].rstrip() + "..."


class KneePipelineError(Exception):
    """Something that stops the work and that a person can act on.

    Parameters
    ----------
    message : str
        One sentence: what is wrong, and where. It is kept as one line of at most 1,000 characters.
    hint : str
        One sentence: what to do about it; a line of at most 4,000 characters.
    details : object
        Anything that helps to find the cause (numbers, names); JSON-serialisable, never patient identifiers or paths.
    """

    code = "PIPELINE_ERROR"
    exit_code = EXIT_PIPELINE_ERROR

    def __init__(self, message: str, hint: str = "", **details: object) -> None:
        message = _one_line(message)
        super().__init__(message)
        self.message = message
        self.hint = _bounded(_printable(hint), MAX_HINT)
        self.details = details

    def to_dict(self) -> dict:
        """The error as the ``error`` event and results.json carry it."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "details": self.details}


class InvalidFormatError(KneePipelineError):
    """The input is there but is not what it should be."""

    code = "INVALID_FORMAT"


class MissingFileError(KneePipelineError):
    """A file or folder does not exist or vanished."""

    code = "FILE_NOT_FOUND"


class DicomError(KneePipelineError):
    """A DICOM series cannot be read as one regular volume."""

    code = "DICOM_ERROR"


class SegmentationError(KneePipelineError):
    """The segmentation failed or its labels make no sense."""

    code = "SEGMENTATION_FAILED"


class ShapeModelError(KneePipelineError):
    """The neural shape model could not be fitted."""

    code = "NSM_FAILED"


class FileInUseError(KneePipelineError, PermissionError):
    """A file cannot be replaced, because another program has it open (Windows)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} cannot be replaced: it is open in another program, or may not be written.",
                         "Close it there, then run the same command again.", file=name)


class ConfigError(KneePipelineError):
    """An option is unknown, out of range or contradicts another."""

    code = "CONFIG_ERROR"
    exit_code = EXIT_USAGE


class GpuMemoryError(KneePipelineError):
    """The GPU's memory does not suffice."""

    code = "GPU_OOM"


class TimedOutError(KneePipelineError):
    """The run's deadline passed."""

    code = "TIMEOUT"
    exit_code = EXIT_TIMED_OUT


class NothingUsableError(KneePipelineError):
    """Hard stop: the input holds nothing that can be analysed."""

    code = "E_HARD_001"


class MemoryCriticalError(KneePipelineError):
    """Hard stop: not even the smallest tile fits into memory."""

    code = "E_HARD_002"


class WeightsCorruptError(KneePipelineError):
    """Hard stop: a model's weights are damaged."""

    code = "E_HARD_003"


class InputTooLargeError(KneePipelineError):
    """Hard stop: the input exceeds the size limit."""

    code = "E_HARD_004"


class CancelledError(KneePipelineError):
    """The person or the system asked the run to stop."""

    code = "CANCELLED"
    exit_code = EXIT_CANCELLED
