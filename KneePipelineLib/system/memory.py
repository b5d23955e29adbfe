"""Want of memory: how programs put it, what limits it here, and what to tell a person when it did not suffice."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from ..errors import MemoryCriticalError

GIB = 1 << 30
LEAST_BYTES = GIB // 2
"""With less, numerical libraries do not load; some of them then ask for memory for ever instead of saying so."""
_CGROUPS = Path("/sys/fs/cgroup")
NO_MEMORY = "The computer's memory does not suffice."
WORDS = (r"std::bad_alloc|Cannot allocate memory|DefaultCPUAllocator: (?:not enough|can't allocate) memory"
         r"|Unable to allocate [\d.]+ [KMGT]iB|\bMemoryError\b|failed to map segment from shared object"
         r"|OpenBLAS error: Memory allocation|OpenBLAS blas_thread_init: pthread_create failed|can't start new thread"
         r"|Thread creation failed: Resource temporarily unavailable|insufficient memory|out of memory"
         r"|memory allocation of \d+ bytes failed")
"""A regular expression, to be searched without regard to case."""


def is_meant_by(text: str) -> bool:
    """Whether what a program said speaks of too little memory; few of them raise MemoryError."""
    return re.search(WORDS, text, flags=re.IGNORECASE) is not None


def check_memory() -> None:
    """Look whether work with numerical libraries can begin at all.

    Raises
    ------
    MemoryCriticalError
        If a limit leaves too little for the libraries alone.
    """
    allowed = allowed_bytes()
    if allowed is not None and allowed < LEAST_BYTES:
        raise MemoryCriticalError("The memory that this run may take does not suffice even to begin.", memory_hint(),
                                  allowed_gib=round(allowed / GIB, 2))


def sentence() -> str:
    """That memory did not suffice, and what to do."""
    return f"{NO_MEMORY} {memory_hint()}"


def memory_hint() -> str:
    """What to do when memory did not suffice: of a limit that was set, the limit is told."""
    allowed = allowed_bytes()
    if allowed is None:
        return "Close other programs or use a machine with more memory, then run the same command again."
    return (f"This shell, container or batch job may take {allowed / GIB:.1f} GiB of memory only (ulimit -v, or the "
            "memory that was asked for): give it more, then run the same command again.")


def allowed_bytes() -> int | None:
    """The smallest limit on this process's memory that is below what the computer has; None without one."""
    found = [*_resource_limits(), *_group_limits()]
    smallest = min(found, default=None)
    total = _physical_bytes()
    return None if smallest is None or (total is not None and smallest >= total) else smallest


def _resource_limits() -> list[int]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [limit for limit in limits if limit not in (resource.RLIM_INFINITY, -1)]


def _group_limits() -> list[int]:
    """Limits of the control group (version 2 or 1), as containers and batch systems set them."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
            controllers, group = line.split(":", 2)[1:]
            files = [_CGROUPS / group.lstrip("/") / "memory.max", _CGROUPS / "memory.max"] if not controllers else [
                _CGROUPS / "memory" / group.lstrip("/") / "memory.limit_in_bytes"] if controllers == "memory" else []
            for file in files:
                with contextlib.suppress(OSError, ValueError):
                    found.append(int(file.read_text(encoding="ascii")))
    return found


def _physical_bytes() -> int | None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
