"""Label -> surface: bones cropped to a fraction of their width, cartilages whole; all in LPS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..imaging.labels import FEMUR
from .resample import evenly_resampled
from .smoothing import padding_voxels, smooth_binary
from .surfaces import Mesh, iso_surface, largest_component
from .working import WorkingKnee


@dataclass(frozen=True, eq=False)
class BoneMeshes:
    """Surfaces of one bone, LPS mm.

    Attributes
    ----------
    dense : Mesh
        The contour of the smoothed label, cropped.
    even : Mesh
        The same surface with about the number of evenly spread vertices asked for.
    height_mm, wanted_height_mm : float
        Height of bone there was and that the crop rule keeps; equal when nothing is cropped.
    """

    dense: Mesh
    even: Mesh
    height_mm: float
    wanted_height_mm: float


def bone_meshes(
    knee: WorkingKnee, label: int, variance_mm2: float, vertices: int, crop_fraction: float | None
) -> BoneMeshes:
    """Surfaces of a bone.

    Parameters
    ----------
    label : int
        Canonical label; must occur.
    variance_mm2 : float
        Of the smoothing Gaussian.
    vertices : int
        About how many evenly spread vertices to resample to.
    crop_fraction : float or None
        Keep the part within this fraction of the bone's medial-lateral width of its joint end: above the femur's
        lowest point, below the tibia's highest, along the knee's own axes.
    """
    mask = knee.mask(label)
    height = wanted = 0.0
    if crop_fraction is not None:
        mask, height, wanted = _cropped(knee, label, mask, crop_fraction)
    start = np.array([s.start for s in knee.boxes[label]])
    spacing = knee.volume.spacing
    field, offset = _smoothed(mask, variance_mm2, spacing)
    dense = largest_component(iso_surface(field, spacing))
    even = evenly_resampled(field, spacing, dense, vertices)
    dense, even = (_to_lps(mesh, start + offset, knee) for mesh in (dense, even))
    return BoneMeshes(dense, even, height, wanted)


def cartilage_mesh(knee: WorkingKnee, label: int, variance_mm2: float) -> Mesh:
    """Closed surface of a cartilage label with all its pieces, LPS mm; it must occur."""
    start = np.array([s.start for s in knee.boxes[label]])
    field, offset = _smoothed(knee.mask(label), variance_mm2, knee.volume.spacing)
    return _to_lps(iso_surface(field, knee.volume.spacing), start + offset, knee)


def _smoothed(mask: np.ndarray, variance_mm2: float, spacing_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smoothed mask with a margin, and where its first voxel lies (z, y, x) from the mask's."""
    padding = padding_voxels(variance_mm2, spacing_mm)[::-1]
    padded = np.pad(mask, [(p, p) for p in padding])
    return smooth_binary(padded, variance_mm2, spacing_mm), -padding


def _to_lps(mesh: Mesh, start_zyx: np.ndarray, knee: WorkingKnee) -> Mesh:
    volume = knee.volume
    local = mesh[0].astype(np.float64) + start_zyx[::-1] * volume.spacing
    return (local @ volume.direction.T + volume.origin).astype(np.float32), mesh[1]


def _cropped(knee: WorkingKnee, label: int, mask: np.ndarray, fraction: float) -> tuple[np.ndarray, float, float]:
    """The mask near its joint end, the height there was and the height kept."""
    axes = knee.bone_axes
    across = _coordinate(knee, label, axes.axes[0])
    upward = _coordinate(knee, label, axes.axes[2] if label == FEMUR else -axes.axes[2])
    width = _range(across, mask)[1] - _range(across, mask)[0]
    lowest, highest = _range(upward, mask)
    wanted = width * fraction
    return mask & (upward <= lowest + wanted), float(highest - lowest), float(wanted)


def _coordinate(knee: WorkingKnee, label: int, axis: np.ndarray) -> np.ndarray:
    """Millimetres along an LPS direction of every voxel of a label's box, float32."""
    steps = (knee.volume.direction * knee.volume.spacing).T @ axis
    shape = [s.stop - s.start for s in knee.boxes[label]]
    k, j, i = (np.arange(n, dtype=np.float32) * np.float32(step) for n, step in zip(shape, steps[::-1], strict=True))
    return k[:, None, None] + j[:, None] + i


def _range(values: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    inside = values[mask]
    return float(inside.min()), float(inside.max())
