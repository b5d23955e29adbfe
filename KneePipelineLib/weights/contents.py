"""Whether the files of a model can be what their names say, by their first and last bytes: standard library only.

What opens a network for good needs the private environment (`opening`); what people really bring instead of one, such
as a pointer of Git LFS, a login page, or the half of a file, shows without it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .disguises import disguise
from .entries import Model
from .failures import ImportRefusedError
from .layouts import MAX_JSON_BYTES, SHAPE_CONFIG, bscore_parameters, json_object, latent_size

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
AGAIN = "Get the model again from where it came."
_HEAD_BYTES = 512
_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"


def check_content(model: Model, folder: Path, installed: Iterable[str]) -> None:
    """Raise ImportRefusedError for the first file of a model that cannot be what its name says."""
    for name in installed:
        path = folder / name
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if name.endswith(".json"):
            _check_json(path, name, size)
        elif found := disguise(path):
            raise ImportRefusedError(f"{name} {found[0]}.", found[1])
        elif name.endswith((".h5", ".hdf5")):
            _check_hdf5(name, head, size)
        elif name.endswith(".pth"):
            _check_checkpoint(path, name, head)


def _check_json(path: Path, name: str, size: int) -> None:
    content = json_object(path.read_bytes() if size <= MAX_JSON_BYTES else b"", name)
    checks: dict[str, Callable[[dict], object]] = {"model.json": bscore_parameters, SHAPE_CONFIG: latent_size}
    if name in checks:
        checks[name](content)


def _check_hdf5(name: str, head: bytes, size: int) -> None:
    if not head.startswith(HDF5_SIGNATURE):
        raise ImportRefusedError(f"{name} is not an HDF5 file.", AGAIN)
    said = _stated_hdf5_size(head)
    if said is not None and said > size:
        raise ImportRefusedError(f"{name} is cut off: {size:,} of {said:,} bytes are there.", AGAIN)


def _stated_hdf5_size(head: bytes) -> int | None:
    """The end-of-file address of the superblock (HDF5 File Format Specification 3.0, II.A); None where unknown."""
    version = head[8] if len(head) > 8 else 255
    place, width = {0: (24, 13), 1: (28, 13), 2: (12, 9), 3: (12, 9)}.get(version, (0, 0))
    if not width or len(head) <= width or head[width] not in (4, 8):
        return None
    start, size = place + 2 * head[width], head[width]
    return int.from_bytes(head[start:start + size], "little") if len(head) >= start + size else None


def _check_checkpoint(path: Path, name: str, head: bytes) -> None:
    """PyTorch writes zip archives, whose table of contents stands at the end; before version 1.6, pickles."""
    if head.startswith(_ZIP):
        if not zipfile.is_zipfile(path):
            raise ImportRefusedError(f"{name} is cut off: the end of the file is missing.", AGAIN)
    elif not head.startswith(_PICKLE):
        raise ImportRefusedError(f"{name} is no PyTorch file.", AGAIN)
