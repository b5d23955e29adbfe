"""Surfaces between two steps: NumPy archives without pickles, written the same for the same content."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from ...imaging import read_labels
from ...morphometry import AnatomicalFrame, BoneSurface, PreparedKnee
from ..files import read_json, write_json

_ARRAYS = tuple(f.name for f in fields(BoneSurface) if f.name != "bone")


def save_surfaces(surfaces: Mapping[str, BoneSurface], path: Path, **more: np.ndarray) -> None:
    """Write bone surfaces, and any further arrays, into one ``.npz``."""
    arrays = {f"surface/{bone}/{name}": np.asarray(getattr(surface, name))
              for bone, surface in surfaces.items() for name in _ARRAYS}
    with open(path, "wb") as file:
        np.savez(file, **arrays, **more)


def load_surfaces(path: Path) -> dict[str, BoneSurface]:
    """The bone surfaces that `save_surfaces` wrote, in their order."""
    with np.load(path, allow_pickle=False) as archive:
        bones = dict.fromkeys(name.split("/")[1] for name in archive.files if name.startswith("surface/"))
        return {bone: BoneSurface(bone, *(archive[f"surface/{bone}/{name}"] for name in _ARRAYS)) for bone in bones}


def save_prepared(prepared: PreparedKnee, path: Path) -> None:
    """Write what `load_prepared` needs beside ``labels.nrrd`` and ``subregions.nrrd``."""
    more: dict[str, np.ndarray] = {}
    for bone, (points, triangles) in prepared.dense_bones.items():
        more[f"dense/{bone}/points"], more[f"dense/{bone}/triangles"] = points, triangles
    for (bone, index), (points, triangles) in prepared.cartilage_surfaces.items():
        more[f"cartilage/{bone}/{index}/points"], more[f"cartilage/{bone}/{index}/triangles"] = points, triangles
    frame = prepared.frame
    more["frame/origin"], more["frame/axes"] = np.asarray(frame.origin), np.asarray(frame.axes)
    save_surfaces(prepared.surfaces, path, **more)
    write_json(path.with_suffix(".json"), {"side": prepared.side, "frame_side": frame.side,
                                           "warnings": [list(w) for w in prepared.warnings]})


def load_prepared(folder: Path) -> PreparedKnee:
    """The prepared knee that a step left in its folder."""
    path = folder / "surfaces.npz"
    about = read_json(path.with_suffix(".json"))
    with np.load(path, allow_pickle=False) as archive:
        dense = {bone: (archive[f"dense/{bone}/points"], archive[f"dense/{bone}/triangles"])
                 for bone in _second_parts(archive.files, "dense")}
        cartilages = {}
        for name in archive.files:
            if name.startswith("cartilage/") and name.endswith("/points"):
                _, bone, index, _ = name.split("/")
                cartilages[bone, int(index)] = (archive[name], archive[f"cartilage/{bone}/{index}/triangles"])
        frame = AnatomicalFrame(archive["frame/origin"], archive["frame/axes"], about["frame_side"])
    return PreparedKnee(
        side=about["side"], labels=read_labels(folder / "labels.nrrd"),
        subregions=read_labels(folder / "subregions.nrrd"), surfaces=load_surfaces(path), dense_bones=dense,
        cartilage_surfaces=cartilages, warnings=[tuple(w) for w in about["warnings"]], frame=frame,
    )


def _second_parts(names: list[str], first: str) -> dict[str, None]:
    return dict.fromkeys(name.split("/")[1] for name in names if name.startswith(first + "/"))


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
