"""A femur brought into the shape model's coordinates: mirrored, clipped, laid onto the mean surface, normalised.

Coordinates are LPS millimetres: x medial-lateral, y anterior-posterior, z superior. The models know right knees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeModelError
from .alignment import apply, similarity_icp

Mesh = tuple[np.ndarray, np.ndarray]
"""(points (n, 3) float32, triangles (m, 3) int32, counter-clockwise from outside)."""

CLIP_WHEN_TALLER = 0.7
"""Height over depth (anterior-posterior) above which the shaft is cut at a fraction of the width."""
CLIP_WIDTHS = 0.7
CLIP_HEIGHT = 0.95


@dataclass(frozen=True, eq=False)
class PreparedFemur:
    """Surfaces in the model's coordinates and the way back.

    Attributes
    ----------
    original : tuple of Mesh
        What is fitted, in LPS mm: the bone (clipped) and, when there is one, its cartilage.
    surfaces : tuple of Mesh
        The same in the model's coordinates; points float64.
    icp_transform : (4, 4) float64
        Onto the mean surface; from LPS mm, mirrored if ``mirrored``.
    center : (3,) float64
        Mean bone vertex after it.
    scale : float
        Largest distance of any vertex from the centre.
    mirrored : bool
        Whether a left knee was made a right one.
    mirror_x_mm : float
        The plane x = constant it was mirrored about.
    """

    original: tuple[Mesh, ...]
    surfaces: tuple[Mesh, ...]
    icp_transform: np.ndarray
    center: np.ndarray
    scale: float
    mirrored: bool
    mirror_x_mm: float

    @property
    def to_model(self) -> np.ndarray:
        """(4, 4) from LPS mm to the model's coordinates."""
        normalise = np.eye(4)
        normalise[:3, :3] /= self.scale
        normalise[:3, 3] = -self.center / self.scale
        return normalise @ self.icp_transform @ (_mirror(self.mirror_x_mm) if self.mirrored else np.eye(4))

    def to_original(self, mesh: Mesh) -> Mesh:
        """A mesh in the model's coordinates back in LPS mm, on the knee's own side."""
        points = apply(np.linalg.inv(self.to_model), mesh[0]).astype(np.float32)
        return points, np.ascontiguousarray(mesh[1][:, ::-1]) if self.mirrored else mesh[1]

    @property
    def mm_per_unit(self) -> float:
        """Millimetres that one unit of the model is long."""
        return float(1 / np.cbrt(abs(np.linalg.det(self.to_model[:3, :3]))))


def prepare_femur(bone: Mesh, cartilage: Mesh | None, side: str, mean_bone: Mesh, *,
                  clip: bool = True) -> PreparedFemur:
    """Bring a femur into the model's coordinates.

    Parameters
    ----------
    bone : Mesh
        The dense femur before resampling, LPS mm.
    cartilage : Mesh or None
        Femoral cartilage, LPS mm; None for a bone-only model.
    side : {"right", "left"}
    mean_bone : Mesh
        The mean bone (`mean_surface`: zero latent decoded).
    clip : bool
        Whether to cut the shaft first (`clip_shaft`).

    Raises
    ------
    ShapeModelError
        If a surface is empty or is no femur's size.
    """
    if side not in ("right", "left"):
        raise ShapeModelError("The side of the knee is not known, so the shape model cannot be fitted.",
                              "Give --side right or --side left.")
    for name, mesh in (("femur", bone), ("femoral cartilage", cartilage)):
        if mesh is not None and (len(mesh[1]) < 4 or not np.isfinite(mesh[0]).all()):
            raise ShapeModelError(f"The surface of the {name} is empty or damaged.",
                                  "Check the label map in 3D Slicer.")
    if clip:
        bone = clip_shaft(bone)
    original = (bone,) if cartilage is None else (bone, cartilage)
    mirror_x_mm = float(np.mean(bone[0][:, 0], dtype=np.float64))
    mirrored = side == "left"
    placed = [apply(_mirror(mirror_x_mm), points) if mirrored else points.astype(np.float64) for points, _ in original]
    triangles = [t[:, ::-1] if mirrored else t for _, t in original]
    transform = similarity_icp(placed[0], mean_bone)
    placed = [apply(transform, points) for points in placed]
    center = placed[0].mean(0)
    scale = float(max(np.linalg.norm(points - center, axis=1).max() for points in placed))
    surfaces = tuple(((points - center) / scale, np.ascontiguousarray(t))
                     for points, t in zip(placed, triangles, strict=True))
    return PreparedFemur(original, surfaces, transform, center, scale, mirrored, mirror_x_mm)


def clip_shaft(bone: Mesh) -> Mesh:
    """The distal part of a femur, closed with a flat cap.

    If the superior-inferior height exceeds 0.7 x the anterior-posterior depth, cut at 0.7 x the medial-lateral width
    above the lowest point, otherwise at 95 % of the height. The cap adds triangles and the points of its rim only.
    """
    low, high = bone[0].min(0).astype(np.float64), bone[0].max(0).astype(np.float64)
    width, depth, height = high - low
    kept_mm = CLIP_WIDTHS * width if height > CLIP_WHEN_TALLER * depth else CLIP_HEIGHT * height
    return bone if kept_mm >= height else _below(bone, float(low[2] + kept_mm))


def _below(mesh: Mesh, z_mm: float) -> Mesh:
    """The part of a closed surface below a height, closed again."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

    surface, points, cells = vtk.vtkPolyData(), vtk.vtkPoints(), vtk.vtkCellArray()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh[0], np.float64), deep=1))
    cells.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(mesh[1], np.int64).ravel(), deep=1))
    surface.SetPoints(points)
    surface.SetPolys(cells)
    plane, planes = vtk.vtkPlane(), vtk.vtkPlaneCollection()
    plane.SetOrigin(0, 0, z_mm)
    plane.SetNormal(0, 0, -1)
    planes.AddItem(plane)
    clipper = vtk.vtkClipClosedSurface()
    clipper.SetInputData(surface)
    clipper.SetClippingPlanes(planes)
    triangulated = vtk.vtkTriangleFilter()
    triangulated.SetInputConnection(clipper.GetOutputPort())
    triangulated.PassLinesOff()
    triangulated.PassVertsOff()
    triangulated.Update()
    output = triangulated.GetOutput()
    if output.GetNumberOfPolys() == 0:
        raise ShapeModelError("Nothing of the femur is left below the clipping height.",
                              "Run without clipping: clip_femur_top false.")
    kept = vtk_to_numpy(output.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    used, triangles = np.unique(kept, return_inverse=True)
    return vtk_to_numpy(output.GetPoints().GetData())[used].astype(np.float32), \
        triangles.reshape(-1, 3).astype(np.int32)


def _mirror(x_mm: float) -> np.ndarray:
    transform = np.diag([-1.0, 1.0, 1.0, 1.0])
    transform[0, 3] = 2 * x_mm
    return transform
