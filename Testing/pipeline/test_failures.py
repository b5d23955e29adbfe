"""Failures as the orchestrator understands them: exceptions, exit statuses, foreign output; and the retry table."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib import errors
from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.pipeline.failures import (
    MEMORY,
    NETWORK,
    NEVER,
    TIMEOUT,
    Hints,
    error_from_dict,
    from_exception,
    from_exit,
    next_attempt,
    recognise,
)
from KneePipelineLib.system import memory


@pytest.mark.parametrize(("text", "kind", "code"), [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", MEMORY, "GPU_OOM"),
    ("RuntimeError: MPS backend out of memory (MPS allocated: 9 GB)", MEMORY, "GPU_OOM"),
    ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", MEMORY, "E_HARD_002"),
    ("numpy._ArrayMemoryError: Unable to allocate 12.3 GiB for an array", MEMORY, "E_HARD_002"),
    ("OSError: [Errno 28] No space left on device", NEVER, "PIPELINE_ERROR"),
    ("OSError: [Errno 122] Disk quota exceeded", NEVER, "PIPELINE_ERROR"),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", NEVER, "PIPELINE_ERROR"),
    ("ImportError: DLL load failed while importing _sitk", NEVER, "PIPELINE_ERROR"),
    ("ModuleNotFoundError: No module named 'vtk'", NEVER, "PIPELINE_ERROR"),
    ("urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>", NETWORK, "PIPELINE_ERROR"),
])
def test_foreign_output_is_recognised(text: str, kind: str, code: str) -> None:
    failure = recognise(text)
    assert failure is not None
    assert (failure.kind, failure.error.code) == (kind, code)
    assert failure.error.hint


def test_ordinary_output_is_not_taken_for_a_failure() -> None:
    assert recognise("Using 3 GiB of memory; wrote 12 files; 0 errors") is None


@pytest.mark.parametrize(("error", "kind", "code"), [
    (MemoryError(), MEMORY, "E_HARD_002"), (TimeoutError(), TIMEOUT, "TIMEOUT"),
    (OSError(errno.ENOSPC, "full"), NEVER, "PIPELINE_ERROR"), (FileNotFoundError("x"), NEVER, "FILE_NOT_FOUND"),
    (PermissionError("x"), NEVER, "PIPELINE_ERROR"), (ValueError("x"), NEVER, "NSM_FAILED"),
    (errors.GpuMemoryError("x"), MEMORY, "GPU_OOM"), (errors.DicomError("x"), NEVER, "DICOM_ERROR"),
    (errors.ShapeModelError("x", retry="model_load"), "model_load", "NSM_FAILED"),
    (KneePipelineError("x", retry="network"), NETWORK, "PIPELINE_ERROR"),
])
def test_exceptions_become_failures(error: Exception, kind: str, code: str) -> None:
    failure = from_exception(error, "NSM_FAILED")
    assert (failure.kind, failure.error.code) == (kind, code)


@pytest.mark.parametrize(("status", "kind", "word"), [
    (-9, MEMORY, "memory"), (-11, NEVER, "SIGSEGV"), (-6, NEVER, "SIGABRT"),
    (7, NEVER, "status 7"),
])
def test_exit_statuses_become_failures(status: int, kind: str, word: str) -> None:
    failure = from_exit(status, "")
    assert failure.kind == kind
    assert word in failure.error.message


@pytest.mark.parametrize(("cause", "kind"), [
    (OSError(5, "Input/output error"), "model_load"), (RuntimeError("PytorchStreamReader failed"), "model_load"),
    (OSError(12, "Cannot allocate memory"), MEMORY), (KeyError("network_weights"), NEVER), (None, NEVER),
])
def test_weights_that_could_not_be_read_are_loaded_again(cause: Exception | None, kind: str) -> None:
    error = errors.WeightsCorruptError("Damaged.")
    error.__cause__ = cause
    assert from_exception(error, "PIPELINE_ERROR").kind == kind


@pytest.mark.parametrize(("words", "code"), [
    ("Connection refused by the licence server", "E_HARD_002"), ("CUDA out of memory", "GPU_OOM"),
])
def test_a_killed_worker_died_of_memory_whatever_else_it_said(words: str, code: str) -> None:
    failure = from_exit(-9, words)
    assert (failure.kind, failure.error.code) == (MEMORY, code)


def test_errors_survive_the_way_from_the_worker() -> None:
    sent = errors.WeightsCorruptError("Damaged.", "Download again.", file="x.pth")
    received = error_from_dict(json.loads(json.dumps(sent.to_dict())))
    assert type(received) is errors.WeightsCorruptError
    assert received.to_dict() == sent.to_dict()


@pytest.mark.parametrize(("text", "kind"), [
    ("ImportError: libtorch_cpu.so: failed to map segment from shared object", MEMORY),
    ("OpenBLAS error: Memory allocation still failed after 10 retries, giving up.", MEMORY),
    ("OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 2: Resource temporarily unavailable", MEMORY),
    ("RuntimeError: can't start new thread", MEMORY),
    ("Traceback (most recent call last):\nMemoryError", MEMORY),
    ("OSError: [Errno 27] File too large", NEVER),
])
def test_limits_of_a_batch_job_are_told_as_such(text: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "allowed_bytes", lambda: 3 << 29)
    failure = recognise(text)
    assert failure.kind == kind
    assert ("1.5 GiB" if kind == MEMORY else "ulimit -f") in failure.error.hint
    assert from_exit(1, text).error.to_dict() == failure.error.to_dict()


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.parametrize(("limit", "expected"), [("ulimit -v 600000", 614400000), (":", None)])
def test_the_limit_of_a_shell_is_read(limit: str, expected: int | None, repository: Path) -> None:
    program = "from KneePipelineLib.system import memory as m; print(min(m._resource_limits(), default=None))"
    said = subprocess.run(["bash", "-c", f"{limit}; {shlex.quote(sys.executable)} -S -c {shlex.quote(program)}"],
                          cwd=repository, capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(expected)


FIRST = Hints()


def attempt(kind: str, already: int, hints: Hints = FIRST, *, on_gpu: bool = False,
            shrinks: bool = False) -> Hints | None:
    """What the next attempt does differently; None when there is none."""
    found = next_attempt(kind, already, hints, on_gpu, shrinks)
    return found and found.hints


def test_retry_table() -> None:
    assert [attempt(TIMEOUT, n) is not None for n in range(4)] == [True, True, True, False]
    assert [next_attempt(TIMEOUT, n, Hints(), False, False).delay_s for n in range(3)] == [1.0, 2.0, 4.0]
    assert [next_attempt(NETWORK, n, Hints(), False, False).delay_s for n in range(3)] == [5.0, 5.0, 5.0]
    assert attempt(NETWORK, 3) is None
    assert attempt(NEVER, 0) is None


def test_memory_is_asked_for_less_where_a_step_can_do_with_less() -> None:
    """Half, then the CPU or the smallest portions; a step without portions gets the CPU and the whole machine."""
    assert attempt(MEMORY, 0, on_gpu=True, shrinks=True) == Hints(0.5)
    assert attempt(MEMORY, 1, Hints(0.5), on_gpu=True, shrinks=True) == Hints(0.5, force_cpu=True)
    assert attempt(MEMORY, 1, Hints(0.5), shrinks=True) == Hints(0.0)
    assert attempt(MEMORY, 2, Hints(0.0), shrinks=True) is None
    assert attempt(MEMORY, 0, on_gpu=True) == Hints(force_cpu=True)
    assert attempt(MEMORY, 1, Hints(force_cpu=True)) == Hints(force_cpu=True, alone=True)
    assert attempt(MEMORY, 0) == Hints(alone=True)
    assert attempt(MEMORY, 1, Hints(alone=True)) is None


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\ud800", "x" * 5000, " ", "\u202e"])
def test_a_message_is_one_line_whatever_a_file_brings_into_it(name: str) -> None:
    message = KneePipelineError(f"The table knows no structure '{name}'.").message
    assert message.isprintable()
    assert len(message) <= 1000
    assert message.endswith(".")
    message.encode()
