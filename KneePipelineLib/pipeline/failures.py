"""What went wrong, of which kind it is, and how often each kind is tried again.

Errors raised by our own code carry their code in their type. Text is matched only for what foreign code leaves behind:
a native library's last words, an exit status, an exception of somebody else's.
"""

from __future__ import annotations

import errno
import re
import signal
from dataclasses import dataclass, replace

from .. import errors
from ..errors import KneePipelineError
from ..system.memory import NO_MEMORY, WORDS, memory_hint

TIMEOUT, MEMORY, MODEL_LOAD, NETWORK, NEVER = "timeout", "memory", "model_load", "network", "never"

MAX_RETRIES = {TIMEOUT: 3, MEMORY: 2, MODEL_LOAD: 2, NETWORK: 3, NEVER: 0}
"""How often a step is repeated after a failure of each kind (design, section 5)."""

FIRST_DELAY_S = {TIMEOUT: 1.0, NETWORK: 5.0}
"""Pause before the first repetition; doubled each time after a time-out, always the same after a network failure."""

DISK_FULL_HINT = "Free some space on the disk of the output folder, then run the same command again."
_SIZE_HINT = ("Give an output folder on a file system that takes larger files, or raise the limit on their size "
              "(ulimit -f), then run the same command again.")

_FOREIGN = (
    (r"CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|MPS backend out of memory"
     r"|hipErrorOutOfMemory|CUDA error: out of memory",
     errors.GpuMemoryError, MEMORY, "The GPU's memory does not suffice.",
     "Give --device cpu, or a smaller batch_size."),
    (WORDS,
     errors.MemoryCriticalError, MEMORY, NO_MEMORY, ""),
    (r"No space left on device|Disk quota exceeded|There is not enough space on the disk",
     KneePipelineError, NEVER, "The disk is full.", DISK_FULL_HINT),
    (r"File too large",
     KneePipelineError, NEVER, "The disk does not take files of this size.", _SIZE_HINT),
    (r"error while loading shared libraries|cannot open shared object file|Library not loaded|DLL load failed",
     KneePipelineError, NEVER, "A system library that a package needs is missing on this computer.",
     "Run 'python3 -m KneePipelineLib doctor'; it names what is missing and the command that mends it."),
    (r"No module named '[\w.]+'",
     KneePipelineError, NEVER, "A Python package is missing in the environment.",
     "Run 'python3 -m KneePipelineLib setup --repair'."),
    (r"Read-only file system",
     KneePipelineError, NEVER, "The output folder is read-only.", "Give a folder in which you may write."),
    (r"Connection (?:refused|reset|aborted|timed out)|Name or service not known|Temporary failure in name resolution"
     r"|getaddrinfo failed|Network is unreachable",
     KneePipelineError, NETWORK, "The network did not answer.", "Check the connection or the proxy, then try again."),
)


@dataclass(frozen=True)
class Failure:
    """A failed attempt: the error as people see it, and its kind, which decides whether it is tried again."""

    error: KneePipelineError
    kind: str = NEVER

    @property
    def is_unexpected(self) -> bool:
        """Whether nobody foresaw it: an exception of somebody else's, a worker that died, fell silent or starved."""
        foreign = {"exception", "exit_status", "recognised"} & self.error.details.keys()
        return bool(foreign) or self.kind in (MEMORY, TIMEOUT)


def error_from_dict(values: dict) -> KneePipelineError:
    """The error that another process reported as `KneePipelineError.to_dict`, in its own class again."""
    classes = [KneePipelineError, *(c for c in vars(errors).values()
                                    if isinstance(c, type) and issubclass(c, KneePipelineError))]
    chosen = next((c for c in classes if c.code == values.get("code")), KneePipelineError)
    details = {str(key): value for key, value in (values.get("details") or {}).items()
               if key not in ("message", "hint", "self")}
    return chosen(str(values.get("message", "")), str(values.get("hint", "")), **details)


def kind_of(error: KneePipelineError) -> str:
    """The kind of one of our own errors.

    A room says ``retry="model_load"`` or ``"network"`` among the details, or raises WeightsCorruptError from the
    error that reading the weights met.
    """
    asked = error.details.get("retry")
    if asked in MAX_RETRIES:
        return str(asked)
    cause = error.__cause__
    if isinstance(error, errors.WeightsCorruptError) and isinstance(cause, (OSError, EOFError, RuntimeError)):
        # Reading failed; a checksum that differs has no such cause and would differ again.
        known = recognise(str(cause))
        return known.kind if known is not None else MODEL_LOAD
    return MEMORY if isinstance(error, errors.GpuMemoryError) else NEVER


def from_exception(error: BaseException, code: str) -> Failure:
    """A failure from whatever a step raised.

    Parameters
    ----------
    error : BaseException
    code : str
        The code that an exception of unknown meaning takes here (`Step.failure_code`).
    """
    if isinstance(error, KneePipelineError):
        return Failure(error, kind_of(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else -1):
        return Failure(KneePipelineError("The disk is full.", DISK_FULL_HINT, reason="ENOSPC"))
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return recognise("Read-only file system") or _unexpected(error, code)
    if isinstance(error, PermissionError):
        return Failure(KneePipelineError("A file or folder may not be read or written.",
                                         "Check the permissions of the input and of the output folder."))
    known = recognise(f"{type(error).__name__}: {error}")
    if known is not None:
        return known
    if isinstance(error, FileNotFoundError):
        return Failure(errors.MissingFileError("A file that was there a moment ago is gone.",
                                               "Check that the input and the output folder are still connected."))
    if isinstance(error, MemoryError):
        return Failure(errors.MemoryCriticalError(NO_MEMORY, memory_hint()), MEMORY)
    if isinstance(error, TimeoutError):
        return Failure(errors.TimedOutError("Something did not answer in time.", "Try again."), TIMEOUT)
    return _unexpected(error, code)


def _unexpected(error: BaseException, code: str) -> Failure:
    values = {"code": code, "message": f"An unexpected error ended this step ({type(error).__name__}).",
              "hint": "log.txt in the output folder has the details; please report it with that file.",
              "details": {"exception": type(error).__name__}}
    return Failure(error_from_dict(values))


def recognise(text: str) -> Failure | None:
    """What foreign output means, or None when nothing in it is known."""
    for pattern, error_class, kind, message, hint in _FOREIGN:
        found = re.search(pattern, text, flags=re.IGNORECASE)
        if found:
            return Failure(error_class(message, hint or memory_hint(), recognised=found.group(0)[:120]), kind)
    return None


def from_exit(status: int, last_words: str) -> Failure:
    """A failure from a worker process that ended by itself.

    Parameters
    ----------
    status : int
        As `subprocess.Popen.returncode`: negative is a signal.
    last_words : str
        The end of what it wrote on stderr.
    """
    known = recognise(last_words)
    if status == -getattr(signal, "SIGKILL", 9) and (known is None or known.kind != MEMORY):
        # Nobody but the kernel's out-of-memory killer (or a person) sends SIGKILL to one of our workers.
        return Failure(errors.MemoryCriticalError("The system ended the worker, most likely for want of memory.",
                                                  memory_hint(), exit_status=status), MEMORY)
    if known is not None:
        return known
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return Failure(KneePipelineError(f"The worker crashed ({name}).",
                                         "log.txt has its last words. Run the same command again: finished steps are "
                                         "kept.", exit_status=status))
    return Failure(KneePipelineError(f"The worker ended unexpectedly (exit status {status}).",
                                     "log.txt has its last words.", exit_status=status))


@dataclass(frozen=True)
class Hints:
    """What a repeated step is asked to do differently.

    Attributes
    ----------
    scale : float
        Factor on the batch or tile: 1, then 0.5; 0 is the smallest there is.
    force_cpu : bool
        Leave the GPU.
    alone : bool
        Nothing else runs meanwhile, and idle workers have been let go.
    spare : bool
        What the step can do without is left out.
    """

    scale: float = 1.0
    force_cpu: bool = False
    alone: bool = False
    spare: bool = False


@dataclass(frozen=True)
class Retry:
    """The next attempt: after how long, with which hints, and what to tell the person."""

    delay_s: float
    hints: Hints
    sentence: str


def next_attempt(kind: str, already: int, hints: Hints, on_gpu: bool, shrinks: bool) -> Retry | None:
    """Whether and how a step is tried again.

    Parameters
    ----------
    kind : str
        Kind of the failure.
    already : int
        How many repetitions failures of this kind have had in this step.
    hints : Hints
        Those of the attempt that failed.
    on_gpu : bool
        Whether it ran on a GPU: only then can the CPU help.
    shrinks : bool
        Whether it can work in smaller portions: only then can those help.
    """
    if already >= MAX_RETRIES[kind]:
        return None
    number = f"attempt {already + 2}"
    if kind == TIMEOUT:
        delay = FIRST_DELAY_S[TIMEOUT] * 2**already
        return Retry(delay, hints, f"No answer in time; {number} in {delay:g} s.")
    if kind == NETWORK:
        delay = FIRST_DELAY_S[NETWORK]
        return Retry(delay, hints, f"The network failed; {number} in {delay:g} s.")
    if kind == MODEL_LOAD:
        return Retry(0.0, hints, f"The model could not be loaded; {number} with a fresh process.")
    better = _with_less_memory(already, hints, on_gpu, shrinks)
    return better and Retry(0.0, better[0], f"Memory did not suffice; {number} {better[1]}.")


def _with_less_memory(already: int, hints: Hints, on_gpu: bool, shrinks: bool) -> tuple[Hints, str] | None:
    """What an attempt does differently that had too little memory, and how that is said; None when nothing is left."""
    if on_gpu and (already >= 1 or not shrinks):
        return replace(hints, force_cpu=True), "on the CPU, which is slower"
    if shrinks:
        return (replace(hints, scale=0.5), "in smaller portions") if already == 0 else (
            replace(hints, scale=0.0), "in the smallest portions")
    return None if hints.alone else (replace(hints, alone=True), "with nothing else running")


def out_of_memory(error: KneePipelineError, hints: Hints, title: str, shrinks: bool, code: str) -> KneePipelineError:
    """The error of a step for which memory never sufficed.

    Parameters
    ----------
    error : KneePipelineError
        That of its last attempt.
    hints : Hints
        What that attempt did differently.
    title : str
        What a person reads while the step runs.
    shrinks : bool
        Whether it can work in smaller portions.
    code : str
        A hard stop's, or the step's own where others survive its failure.
    """
    where = " on the CPU" if hints.force_cpu else ""
    how = f"in the smallest portions{where}" if shrinks else "with nothing else running" if hints.alone else ""
    step = title[:1].lower() + title[1:]
    message = f"Memory does not suffice for this step ({step}){f', not even {how}' if how else ''}."
    return error_from_dict({**error.to_dict(), "message": message, "code": code})
