"""Where the networks run, and what to do when memory does not suffice."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from ..errors import ConfigError, GpuMemoryError, KneePipelineError, MemoryCriticalError

if TYPE_CHECKING:
    import torch

GIB = 1024**3


def choose_device(name: str = "auto") -> tuple[torch.device, list[tuple[str, str]]]:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, and warnings.

    ``auto`` takes a CUDA GPU, else an Apple GPU, else the CPU; that it fell to the CPU is said in a warning.

    Raises
    ------
    ConfigError
        If the name is unknown or the device asked for is not there: a GPU asked for by name is never replaced.
    """
    import torch

    kind, _, index = name.lower().partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and (kind != "cuda" or not index.isdigit())):
        raise ConfigError(f"'{name}' is no device.", "Choose auto, cpu, cuda, cuda:N or mps.")
    has_cuda = torch.cuda.is_available()
    has_mps = torch.backends.mps.is_available()
    if kind == "auto":
        if has_cuda:
            return torch.device("cuda", 0), []
        if has_mps:
            return torch.device("mps"), []
        return torch.device("cpu"), [("CPU_ONLY", "No usable GPU was found: the segmentation ran on the CPU.")]
    if kind == "cuda":
        number = int(index or 0)
        if not has_cuda or number >= torch.cuda.device_count():
            raise ConfigError(f"The GPU '{name}' is not usable here.",
                              "Take --device auto or cpu, or let `doctor` say what is missing.")
        return torch.device("cuda", number), []
    if kind == "mps" and not has_mps:
        raise ConfigError("No Apple GPU is usable here.", "Take --device auto or cpu.")
    return torch.device(kind), []


def free_bytes(device: torch.device) -> int:
    """Memory that can still be taken on the device: GPU memory for CUDA, host memory otherwise."""
    import torch

    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    import psutil

    return int(psutil.virtual_memory().available)


def release_memory(device: torch.device) -> None:
    """Hand cached memory back to the system."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def is_memory_error(error: BaseException) -> bool:
    """Whether the error means that memory ran out, on the host or on a GPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch's host allocator, cuDNN and MPS tell it only in words of their own: foreign output, matched as text.
    words = ("not enough memory", "out of memory", "cudnn_status_alloc_failed", "could not create a memory object")
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)


def memory_error(device: torch.device, what: str) -> KneePipelineError:
    """The typed error for memory that does not suffice even for the smallest batch on this device."""
    free_gib = round(free_bytes(device) / GIB, 1)
    if device.type in ("cuda", "mps"):
        return GpuMemoryError(f"The GPU's memory does not suffice for {what}.",
                              "Close other programs that use the GPU, or run with --device cpu.", free_gib=free_gib)
    return MemoryCriticalError(f"The computer's memory does not suffice for {what}.",
                               "Close other programs or use a computer with more memory.", free_gib=free_gib)
