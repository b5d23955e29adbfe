"""Files of a run, read without the scene: label maps and volumes off the main thread, surfaces in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ...errors import InvalidFormatError, MissingFileError
from ...imaging import Volume, read_image, read_labels
from ...imaging.labels import CARTILAGES, LATERAL_MENISCUS, MEDIAL_MENISCUS

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_VTK_TYPES = {"uint8": vtk.VTK_UNSIGNED_CHAR, "int16": vtk.VTK_SHORT, "uint16": vtk.VTK_UNSIGNED_SHORT,
              "int32": vtk.VTK_INT, "float32": vtk.VTK_FLOAT, "float64": vtk.VTK_DOUBLE}
_TITLE_BYTES = 512
_SOFT = np.zeros(1 << 16, dtype=bool)
_SOFT[[*CARTILAGES, MEDIAL_MENISCUS, LATERAL_MENISCUS]] = True

Box = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass
class LabelMap:
    """A label map and where in it each value lies (lower and upper corner, (i, j, k), upper exclusive)."""

    volume: Volume
    boxes: dict[int, Box]


def checked(path: Path) -> Path:
    """``path`` if there is a file.

    Raises
    ------
    MissingFileError
        Otherwise; the message has the file's own name only.
    """
    if not path.is_file():
        raise MissingFileError(f"{path.name} is listed in results.json but is not in the results folder.",
                               "Run the analysis again, or bring the whole folder back.")
    return path


def read_label_map(folder: Path, entry: dict) -> LabelMap:
    """A label map of a run as uint8 or uint16 with the boxes of its values.

    Parameters
    ----------
    folder : path
        Of the run.
    entry : dict
        Its entry in results.json.
    """
    volume = read_labels(checked(folder / entry["path"]))
    array = np.ascontiguousarray(volume.array)
    if array.dtype.name not in ("uint8", "uint16"):
        array = array.astype(np.uint16 if array.max() > 255 else np.uint8)
    return LabelMap(volume.with_array(array), boxes_of(array))


def read_map(folder: Path, entry: dict) -> Volume:
    """An image of a run as float32, 0 where nothing was measured (NaN): Slicer's windows and histograms know no NaN."""
    volume = read_image(checked(folder / entry["path"]), allow_nan=True)
    return volume.with_array(np.nan_to_num(np.ascontiguousarray(volume.array, dtype=np.float32), nan=0.0))


def read_cartilage_map(folder: Path, entry: dict) -> Volume:
    """The same, 0 outside the cartilages and menisci of the labels that it names as ``reference``.

    A T2 map is noise there, in bone and fat, and would hide the cartilage. Labels on another grid, or none, leave the
    image whole.
    """
    volume, within = read_map(folder, entry), folder / (entry.get("reference") or "")
    if within.is_file():
        labels = read_labels(within)
        if labels.same_grid(volume):
            volume.array[~_SOFT[labels.array]] = 0.0
    return volume


def read_surface(path: Path) -> Any:
    """A surface as vtkPolyData in Slicer's RAS millimetres, with normals for smooth shading.

    Files are LPS unless their title says ``SPACE=RAS``.

    Raises
    ------
    MissingFileError, InvalidFormatError
        If there is no such file, or no surface in it.
    """
    reader = vtk.vtkXMLPolyDataReader() if path.suffix == ".vtp" else vtk.vtkPolyDataReader()
    reader.SetFileName(str(checked(path)))
    for problem in ("ErrorEvent", "WarningEvent"):  # what is wrong is said below, in a sentence
        reader.AddObserver(problem, lambda *_: None)
    reader.Update()
    mesh = reader.GetOutput()
    if not mesh.GetNumberOfPoints() or not mesh.GetNumberOfCells():
        raise InvalidFormatError(f"{path.name} holds no surface.", "Run the analysis again.")
    with path.open("rb") as file:
        is_ras = b"SPACE=RAS" in file.read(_TITLE_BYTES)
    if not is_ras:  # half a turn about the long axis: triangles keep their sense
        points = vtk_to_numpy(mesh.GetPoints().GetData())
        points[:, :2] *= -1
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(mesh)
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    output = vtk.vtkPolyData()
    output.ShallowCopy(normals.GetOutput())
    return output


def point_values(mesh: Any, name: str) -> np.ndarray | None:
    """A point array of a surface as (n,) view, or None."""
    array = mesh.GetPointData().GetArray(name)
    return None if array is None else vtk_to_numpy(array)


def ijk_to_ras(volume: Volume) -> Any:
    """vtkMatrix4x4 from voxel indices (i, j, k) to RAS millimetres."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((_LPS_TO_RAS @ volume.affine).ravel())
    return matrix


def oriented_image(volume: Volume, array: np.ndarray | None = None, lower: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """A vtkOrientedImageData of the volume, or of a box of its grid that begins at ``lower`` and holds ``array``."""
    import slicer

    values = np.ascontiguousarray(volume.array if array is None else array)
    image = slicer.vtkOrientedImageData()
    size = values.shape[::-1]
    image.SetExtent(*[edge for low, n in zip(lower, size, strict=True) for edge in (low, low + n - 1)])
    image.GetPointData().SetScalars(vtk_array(values))
    image.SetGeometryFromImageToWorldMatrix(ijk_to_ras(volume))
    return image


def vtk_array(values: np.ndarray) -> Any:
    """A vtkDataArray that owns a copy of the values, in the order in which VTK counts voxels."""
    return numpy_to_vtk(values.reshape(-1), deep=True, array_type=_VTK_TYPES[values.dtype.name])


def boxes_of(array: np.ndarray) -> dict[int, Box]:
    """Lower and upper corner, (i, j, k), upper exclusive, of the box of each value but 0."""
    depth, rows, columns = array.shape
    count = int(array.max()) + 1
    seen = [np.zeros((count, n), dtype=bool) for n in (columns, rows, depth)]
    for k in range(depth):
        present = np.flatnonzero(np.bincount(array[k].ravel(), minlength=count))
        for value in present[present > 0]:
            inside = array[k] == value
            seen[0][value] |= inside.any(axis=0)
            seen[1][value] |= inside.any(axis=1)
            seen[2][value, k] = True
    boxes = {}
    for value in range(1, count):
        ends = [np.flatnonzero(along[value]) for along in seen]
        if ends[0].size:
            boxes[value] = (tuple(int(e[0]) for e in ends), tuple(int(e[-1]) + 1 for e in ends))
    return boxes
