"""Failures as the orchestrator understands them: exceptions, exit statuses, foreign output; and the retry table."""

from __future__ import annotations

import errno
import json

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


def test_retry_table() -> None:
    assert [next_attempt(TIMEOUT, n, Hints(), False) is not None for n in range(4)] == [True, True, True, False]
    assert [next_attempt(TIMEOUT, n, Hints(), False).delay_s for n in range(3)] == [1.0, 2.0, 4.0]
    assert [next_attempt(NETWORK, n, Hints(), False).delay_s for n in range(3)] == [5.0, 5.0, 5.0]
    assert next_attempt(NETWORK, 3, Hints(), False) is None
    assert next_attempt(NEVER, 0, Hints(), False) is None
    assert next_attempt(MEMORY, 0, Hints(), True).hints == Hints(0.5, False)
    assert next_attempt(MEMORY, 1, Hints(0.5), True).hints == Hints(0.5, True)
    assert next_attempt(MEMORY, 1, Hints(0.5), False).hints == Hints(0.25, False)
    assert next_attempt(MEMORY, 2, Hints(), True) is None
