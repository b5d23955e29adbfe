"""Images and surfaces between two steps: raw NRRD, NumPy archives without pickles; equal content, equal bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from ...imaging import Volume, write_volume
from ...imaging.writing import nrrd_header
from ...morphometry import BoneSurface

_RAW_TYPES = ("uint8", "int16", "uint16", "float32")
_ARRAYS = tuple(f.name for f in fields(BoneSurface) if f.name != "bone")


def save_image(volume: Volume, path: Path) -> None:
    """Write an image as NRRD without compression: noise hardly shrinks, and compressing a knee takes seconds.

    Floating-point images are kept as float32; everything about place and acquisition as `imaging.write_volume` does.
    """
    array = volume.array
    if array.dtype.kind == "f" and array.dtype != np.float32:
        volume = volume.with_array(array.astype(np.float32))
    elif array.dtype.name not in _RAW_TYPES:
        write_volume(volume, path)
        return
    header = nrrd_header(volume).replace(b"\nencoding: gzip\n", b"\nencoding: raw\n")
    with open(path, "wb") as file:
        file.write(header)
        file.write(np.ascontiguousarray(volume.array).data)


def save_surfaces(surfaces: Mapping[str, BoneSurface], path: Path) -> None:
    """Write measured bone surfaces into one ``.npz``."""
    arrays = {f"surface/{bone}/{name}": np.asarray(getattr(surface, name))
              for bone, surface in surfaces.items() for name in _ARRAYS}
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def load_surfaces(path: Path) -> dict[str, BoneSurface]:
    """The bone surfaces that `save_surfaces` wrote, in their order."""
    with np.load(path, allow_pickle=False) as archive:
        bones = dict.fromkeys(name.split("/")[1] for name in archive.files if name.startswith("surface/"))
        return {bone: BoneSurface(bone, *(archive[f"surface/{bone}/{name}"] for name in _ARRAYS)) for bone in bones}


def finite(values: object) -> object:
    """The same nested values with NaN as None, for JSON."""
    if isinstance(values, Mapping):
        return {str(key): finite(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [finite(value) for value in values]
    if isinstance(values, float) or hasattr(values, "dtype"):
        number = float(values)
        return number if math.isfinite(number) else None
    return values


def with_nan(values: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """The reverse of `finite` for tables: None as NaN."""
    return {row: {name: float("nan") if value is None else float(value) for name, value in columns.items()}
            for row, columns in values.items()}
