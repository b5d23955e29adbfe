"""Decoding the pixels of DICOM files.

Uncompressed and RLE pixels are decoded here, by pydicom alone. The other compressions (JPEG 2000, JPEG lossless,
JPEG-LS) need gdcm, which on damaged streams ends the whole process; they are decoded in a child process, so that a
damaged file costs a sentence and not the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import DicomError
from .dicom_frames import may_need_memory, quiet_pydicom

PURE_PYTHON = {
    "",  # a bare data set without file meta information: uncompressed by definition
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
}
"""Transfer syntaxes for which no native decoder is called: uncompressed, deflated, big endian, RLE."""

CHILD_TIMEOUT_S = 540
"""Below the ten minutes after which a stage without events counts as hung."""

_THREADS = min(4, os.cpu_count() or 1)
_FILES_WORTH_A_CHILD = 16
"""A child takes about half a second to start, as long as it needs for so many slices."""

_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from KneePipelineLib.imaging.dicom_pixels import child; child()"

Request = tuple[Path, list[int | None]]
"""A file and the numbers of the wanted frames; None for the only image of a classic file."""


def decode(requests: list[Request], syntaxes: list[str]) -> list[np.ndarray | None]:
    """The stored values of each file's wanted frames, (frames, rows, columns), or None for a file that has none.

    Raises
    ------
    DicomError
        The native decoder broke down or took too long.
    """
    results: list[np.ndarray | None] = [None] * len(requests)
    here = [n for n, syntax in enumerate(syntaxes) if syntax in PURE_PYTHON]
    apart = [n for n, syntax in enumerate(syntaxes) if syntax not in PURE_PYTHON]
    with quiet_pydicom(), ThreadPoolExecutor(_THREADS) as pool:
        for n, planes in zip(here, pool.map(lambda n: decode_file(*requests[n]), here), strict=True):
            results[n] = planes
    if apart:
        children = min(_THREADS, -(-len(apart) // _FILES_WORTH_A_CHILD))
        shares = [apart[n::children] for n in range(children)]
        with ThreadPoolExecutor(children) as pool:
            decoded = pool.map(lambda share: _decode_apart([requests[n] for n in share]), shares)
            for share, arrays in zip(shares, decoded, strict=True):
                for n, planes in zip(share, arrays, strict=True):
                    results[n] = planes
    return results


def decode_file(path: Path, frames: list[int | None]) -> np.ndarray | None:
    """Decode one file in this process; None if it cannot be done."""
    import pydicom

    try:
        dataset = pydicom.dcmread(path, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _bare_syntax(*dataset.original_encoding)
        pixels = dataset.pixel_array
        planes = [pixels if frame is None or pixels.ndim == 2 else pixels[frame] for frame in frames]
        return np.stack(planes) if all(plane.ndim == 2 for plane in planes) else None
    except MemoryError:
        if may_need_memory(path):
            raise
        return None
    except Exception:  # damage and missing decoders come as a dozen exception types
        return None


def _bare_syntax(implicit_vr: bool, little_endian: bool) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if implicit_vr:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian


def _decode_apart(requests: list[Request]) -> list[np.ndarray | None]:
    """Decode in a child process, which leaves one array file for each file that it managed."""
    package = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="kneepipeline-", ignore_cleanup_errors=True) as folder:
        order = {"out": folder, "requests": [[str(path.resolve()), frames] for path, frames in requests]}
        try:
            done = subprocess.run([sys.executable, "-c", _CHILD, str(package)], input=json.dumps(order).encode(),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CHILD_TIMEOUT_S,
                                  check=False)
        except subprocess.TimeoutExpired:
            raise DicomError("Decoding the series' compressed pixels took too long.",
                             "Export the series again, uncompressed.", seconds=CHILD_TIMEOUT_S) from None
        if done.returncode != 0:
            raise DicomError("The series' compressed pixels are damaged: their decoder broke down.",
                             "Export the series again, uncompressed.", exit_status=done.returncode)
        files = [Path(folder, f"{n}.npy") for n in range(len(requests))]
        return [np.load(file) if file.exists() else None for file in files]


def child() -> None:
    """What the child process runs: the order on stdin, arrays into the order's folder."""
    order = json.load(sys.stdin)
    with quiet_pydicom():
        for n, (path, frames) in enumerate(order["requests"]):
            planes = decode_file(Path(path), frames)
            if planes is not None:
                np.save(Path(order["out"], f"{n}.npy"), planes)
