"""A volume of the scene as an uncompressed NRRD: copied on the main thread, written on another; matrices for that.

Only for nodes that have no DICOM files behind them. The copy is what costs the main thread time (about 20 ms for a
384 x 384 x 160 image); writing 50 to 100 MB happens beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import CancelledError, InvalidFormatError, KneePipelineError
from ...system.atomic import write_atomically

_TYPES = {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
          "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double"}
_SHEAR = 1e-3
_PIECE_BYTES = 4 << 20
_YIELD_S = 0.004


@dataclass(frozen=True)
class Picture:
    """A copied volume: array (z, y, x) and the 4 x 4 matrix from voxel (i, j, k) to LPS millimetres."""

    array: np.ndarray
    ijk_to_lps: np.ndarray


def picture_of(node: Any) -> Picture:
    """Copy a scalar volume node, its parent transform applied; the node itself stays as it is.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        Label map volumes too.

    Raises
    ------
    InvalidFormatError
        When it holds no image, colours, a single slice, or lies under a transform that shears it.
    """
    import slicer

    if node is None or node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0:
        raise InvalidFormatError("The input volume holds no image.", "Choose another volume under Inputs.")
    if node.GetImageData().GetNumberOfScalarComponents() > 1:
        raise InvalidFormatError("The input volume holds several values for each voxel, such as colours.",
                                 "Choose a scalar volume under Inputs.")
    transform = node.GetParentTransformNode()
    if transform is None:
        return Picture(np.array(slicer.util.arrayFromVolume(node), order="C"), ijk_to_lps(node))
    if transform.IsTransformToWorldLinear():
        # The same voxels in another place: no second copy is needed to harden this.
        return Picture(np.array(slicer.util.arrayFromVolume(node), order="C"),
                       _without_shear(to_world(transform) @ ijk_to_lps(node)))
    hardened = _hardened_copy(node, transform)
    return Picture(np.array(slicer.util.arrayFromVolume(hardened), order="C"), ijk_to_lps(hardened))


def is_moved(node: Any) -> bool:
    """Whether a node lies under a transform that is not the identity."""
    transform = node.GetParentTransformNode()
    if transform is None:
        return False
    if not transform.IsTransformToWorldLinear():
        return True
    return not np.allclose(to_world(transform), np.eye(4), atol=1e-6)


def _without_shear(matrix: np.ndarray) -> np.ndarray:
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR:
        raise InvalidFormatError(
            "The input volume lies under a transform that shears it.",
            "Resample it with the module Resample Scalar/Vector/DWI Volume, and choose the result under Inputs.")
    return matrix


def _hardened_copy(node: Any, transform: Any) -> Any:
    """A copy outside the scene with a non-linear transform applied."""
    import slicer
    import vtk

    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.CopyContent(node)
    bent = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(bent)
    copy.ApplyTransform(bent)
    return copy


def nrrd_header(picture: Picture) -> bytes:
    """The header of an attached, uncompressed NRRD file in LPS (the format's definition, section 'space')."""
    array, matrix = picture.array, picture.ijk_to_lps

    def vector(values: np.ndarray) -> str:
        return "(" + ",".join(repr(float(value)) for value in values) + ")"

    lines = ["NRRD0004", f"type: {_TYPES[array.dtype.name]}", "dimension: 3", "space: left-posterior-superior",
             "sizes: " + " ".join(str(n) for n in reversed(array.shape)),
             "space directions: " + " ".join(vector(matrix[:3, axis]) for axis in range(3)),
             "kinds: domain domain domain", "endian: little", "encoding: raw",
             f"space origin: {vector(matrix[:3, 3])}", "", ""]
    return "\n".join(lines).encode("ascii")


def write_nrrd(picture: Picture, path: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Write it; a failure, or `stopped` between two pieces, leaves nothing under that name.

    Raises
    ------
    KneePipelineError
        When the disk is full or may not be written.
    CancelledError
        When it was stopped.
    """
    array = picture.array
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype.name not in _TYPES:
        raise InvalidFormatError(f"The input volume's voxels are of type {array.dtype}.", "Cast it to a number type.")
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))

    def fill(file: IO[bytes]) -> None:
        file.write(nrrd_header(Picture(array, picture.ijk_to_lps)))
        data = memoryview(array).cast("B")
        # In pieces: a write gives up the interpreter's lock, and the GUI wants it back soon.
        for start in range(0, len(data), _PIECE_BYTES):
            if stopped():
                raise CancelledError("The export was cancelled.")
            file.write(data[start:start + _PIECE_BYTES])

    try:
        write_atomically(path, fill, durable=False)  # it is needed for one run, and removed with its folder
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KneePipelineError(f"The input volume could not be written to the temporary folder: {reason}.",
                                "Free some space, or choose another temporary folder in Slicer's settings.") from None


def elsewhere(function: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Run a function on another thread (see `Writing`), yielding until it is done; closed early it is ended."""
    writing = Writing(function, *arguments)
    try:
        while not writing.done():
            yield None
    finally:
        writing.stop()


class Writing:
    """A function that runs on another thread and is waited for without blocking.

    `done` lends the thread a few milliseconds, because Slicer's event loop may hold the interpreter's lock while it
    waits for the next event, and then no Python thread moves by itself.

    Parameters
    ----------
    function : callable
        Called with `arguments` and a function that says whether it has been `stop`-ped.
    """

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., None], arguments: tuple) -> None:
        try:
            function(*arguments, self._stopped.is_set)
        except BaseException as error:
            self._error = error

    def done(self) -> bool:
        """Whether it has finished; raises what it raised."""
        self._thread.join(_YIELD_S)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def stop(self) -> None:
        """End it at its next piece or file, and wait for that, so that its folder can be removed."""
        self._stopped.set()
        self._thread.join()


TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS to LPS, and back."""


def array_of(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_of(array: np.ndarray) -> Any:
    """A 4 x 4 array as a vtkMatrix4x4."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def ijk_to_lps(node: Any) -> np.ndarray:
    """From a volume node's voxels to LPS, its parent transform left out."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return TO_LPS @ array_of(matrix)


def to_world(transform: Any) -> np.ndarray:
    """Where a linear transform node, with those above it, takes a point; LPS to LPS."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return TO_LPS @ array_of(matrix) @ TO_LPS
