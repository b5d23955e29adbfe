"""Want of memory, as the many libraries put it that run into it; few of them raise MemoryError."""

from __future__ import annotations

import re

WORDS = (r"std::bad_alloc|Cannot allocate memory|DefaultCPUAllocator: (?:not enough|can't allocate) memory"
         r"|Unable to allocate [\d.]+ [KMGT]iB|\bMemoryError\b|failed to map segment from shared object"
         r"|OpenBLAS error: Memory allocation|OpenBLAS blas_thread_init: pthread_create failed|can't start new thread"
         r"|Thread creation failed: Resource temporarily unavailable|insufficient memory|out of memory"
         r"|memory allocation of \d+ bytes failed")
"""A regular expression, to be searched without regard to case."""
SENTENCE = ("The memory does not suffice: the computer's, or what a limit leaves of it (ulimit -v, a container, the "
            "memory that a batch job asked for).")


def is_meant_by(text: str) -> bool:
    """Whether what a program said speaks of too little memory."""
    return re.search(WORDS, text, flags=re.IGNORECASE) is not None
