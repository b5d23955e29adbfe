"""Surfaces as legacy VTK files: what 3D Slicer, ParaView and PyVista all read, with coordinates in LPS millimetres.

Format: VTK's "Simple legacy formats" (The VTK User's Guide, chapter 19), version 4.2, binary, big-endian. 3D Slicer
takes the coordinate system from ``SPACE=LPS`` in the title line and warns where it is missing. Array names are
percent-encoded, as VTK itself does it: ``thickness (mm)`` is stored as ``thickness%20(mm)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from ..imaging.labels import BONE_CARTILAGES, BY_NAME, BY_VALUE
from ..system.atomic import write_atomically
from .outputs import Output
from .threads import in_threads

THICKNESS_ARRAY = "thickness (mm)"
REGION_ARRAY = "region"
SUBREGION_ARRAY = "subregion"
DENUDED_ARRAY = "denuded"
_TITLE = "KneePipeline surface in mm; SPACE=LPS"
_VTK_TYPES = {"float32": "float", "float64": "double", "uint8": "unsigned_char", "int32": "int"}

Surface = tuple[np.ndarray, np.ndarray]


def write_mesh_files(
    folder: Path | str,
    surfaces: Mapping[str, object] | None = None,
    *,
    raw_femur: Surface | None = None,
    cartilage_surfaces: Mapping[tuple[str, int], Surface] | None = None,
) -> list[Output]:
    """Write ``<bone>_mesh.vtk``, ``femur_mesh_raw.vtk`` and ``<bone>_cart_<i>_mesh.vtk``, side by side.

    May be called twice: by the stage that makes the surfaces, with thickness still all NaN, and by the one that
    measures, which writes the bones again with their scalars.

    Parameters
    ----------
    folder : path-like
        Where the files go.
    surfaces : mapping of str to BoneSurface
        By bone; points in LPS mm, ``thickness_mm`` NaN where there is no cartilage, ``region`` the canonical label.
    raw_femur : (points, triangles), optional
        The dense femur.
    cartilage_surfaces : mapping of (bone, i) to (points, triangles), optional
        ``i`` counts the bone's cartilages (`BONE_CARTILAGES`).

    Returns
    -------
    list of Output
        In the order given.
    """
    folder = Path(folder)
    calls, outputs = [], []

    def plan(output: Output, points: np.ndarray, triangles: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
        outputs.append(output)
        calls.append(lambda: write_vtk(folder / output.path, points, triangles, arrays))

    for bone, surface in (surfaces or {}).items():
        plan(bone_output(bone), surface.points, surface.triangles, _bone_arrays(surface))
    if raw_femur is not None:
        plan(raw_femur_output(), *raw_femur, {})
    for (bone, index), (points, triangles) in (cartilage_surfaces or {}).items():
        plan(cartilage_output(bone, index), points, triangles, {})
    in_threads(calls)
    return outputs


def bone_output(bone: str) -> Output:
    """The listing of a bone's surface."""
    structure = BY_NAME[bone]
    return Output(role="bone_surface", path=f"{bone}_mesh.vtk", type="model", structure=bone, title=structure.title,
                  color=structure.color, units="mm", scalars=THICKNESS_ARRAY)


def raw_femur_output() -> Output:
    """The listing of the dense femur, which the shape fit starts from."""
    structure = BY_NAME["femur"]
    return Output(role="raw_bone_surface", path="femur_mesh_raw.vtk", type="model", structure="femur",
                  title="Femur, dense", color=structure.color)


def cartilage_output(bone: str, index: int) -> Output:
    """The listing of cartilage number ``index`` of a bone."""
    structure = BY_VALUE[BONE_CARTILAGES[BY_NAME[bone].value][index]]
    return Output(role="cartilage_surface", path=f"{bone}_cart_{index}_mesh.vtk", type="model",
                  structure=structure.name, title=structure.title, color=structure.color)


def write_vtk(
    path: Path | str, points: np.ndarray, triangles: np.ndarray, point_arrays: Mapping[str, np.ndarray] | None = None
) -> Path:
    """One triangle mesh as binary legacy VTK, atomically.

    Parameters
    ----------
    path : path-like
        The file.
    points : (n, 3) array
        LPS mm; stored as float32.
    triangles : (m, 3) array of int
        Vertex indices.
    point_arrays : mapping of str to (n,) array, optional
        float32, float64, uint8 or int32; the first becomes the active scalars.

    Raises
    ------
    ValueError
        If a triangle names a vertex that is not there, or an array has not one value a vertex.
    """
    points = np.asarray(points, dtype=np.float32).reshape(-1, 3)
    triangles = np.asarray(triangles, dtype=np.int32).reshape(-1, 3)
    arrays = {name: np.asarray(values) for name, values in (point_arrays or {}).items()}
    if triangles.size and not (triangles.min() >= 0 and triangles.max() < len(points)):
        raise ValueError("a triangle names a vertex that is not there")
    for name, values in arrays.items():
        if values.shape != (len(points),):
            raise ValueError(f"array '{name}' has shape {values.shape}, the mesh has {len(points)} vertices")
        if values.dtype.name not in _VTK_TYPES:
            raise ValueError(f"array '{name}' has type {values.dtype}; VTK files carry {', '.join(_VTK_TYPES)}")

    def write(stream: IO[bytes]) -> None:
        _text(stream, f"# vtk DataFile Version 4.2\n{_TITLE}\nBINARY\nDATASET POLYDATA\nPOINTS {len(points)} float\n")
        _binary(stream, points)
        _text(stream, f"POLYGONS {len(triangles)} {4 * len(triangles)}\n")
        _binary(stream, np.column_stack([np.full(len(triangles), 3, np.int32), triangles]))
        if arrays:
            _point_data(stream, arrays, len(points))

    return write_atomically(path, write)


def _bone_arrays(surface: object) -> dict[str, np.ndarray]:
    return {
        THICKNESS_ARRAY: np.asarray(surface.thickness_mm, dtype=np.float32),
        REGION_ARRAY: np.asarray(surface.region, dtype=np.uint8),
        SUBREGION_ARRAY: np.asarray(surface.subregion, dtype=np.uint8),
        DENUDED_ARRAY: ((surface.total_region > 0) & ~np.isfinite(surface.thickness_mm)).astype(np.uint8),
    }


def _point_data(stream: IO[bytes], arrays: Mapping[str, np.ndarray], count: int) -> None:
    _text(stream, f"POINT_DATA {count}\n")
    (first, values), *others = arrays.items()
    _text(stream, f"SCALARS {_encoded(first)} {_VTK_TYPES[values.dtype.name]} 1\nLOOKUP_TABLE default\n")
    _binary(stream, values)
    if others:
        _text(stream, f"FIELD FieldData {len(others)}\n")
        for name, more in others:
            _text(stream, f"{_encoded(name)} 1 {count} {_VTK_TYPES[more.dtype.name]}\n")
            _binary(stream, more)


def _encoded(name: str) -> str:
    """A name as one word: what is not printable ASCII, and `"` and `%`, becomes %XX (vtkDataWriter's own rule)."""
    return "".join(chr(b) if 33 <= b <= 126 and b not in (34, 37) else f"%{b:02X}" for b in name.encode("utf-8"))


def _text(stream: IO[bytes], text: str) -> None:
    stream.write(text.encode("ascii"))


def _binary(stream: IO[bytes], values: np.ndarray) -> None:
    stream.write(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder(">")).tobytes())
    stream.write(b"\n")
