"""Volumes and SimpleITK images, and one volume on another one's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from .volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

INTERPOLATIONS = ("linear", "nearest", "cubic")


def to_sitk(volume: Volume) -> sitk.Image:
    """A SimpleITK image with the same voxels (copied) and the same place in space; truth values become uint8."""
    import SimpleITK as sitk

    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.spacing.tolist())
    image.SetOrigin(volume.origin.tolist())
    image.SetDirection(volume.direction.ravel().tolist())
    return image


def from_sitk(image: sitk.Image, meta: dict | None = None) -> Volume:
    """The Volume of a 3-D scalar SimpleITK image (voxels copied)."""
    import SimpleITK as sitk

    direction = np.array(image.GetDirection()).reshape(3, 3)
    return Volume(sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), direction, dict(meta or {}))


def resample_to(volume: Volume, reference: Volume, interpolation: str = "linear", outside: float = 0.0) -> Volume:
    """``volume`` on the grid of ``reference`` (which lends its geometry only).

    Parameters
    ----------
    interpolation : str
        ``"nearest"`` keeps the type and never mixes values (label maps); ``"linear"`` and ``"cubic"`` (third-order
        B-spline) return float32.
    outside : float
        The value of points that lie outside ``volume``.

    Raises
    ------
    ConfigError
        Unknown interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(f"Interpolation '{interpolation}' is not known.", "Choose " + ", ".join(INTERPOLATIONS) + ".")
    import SimpleITK as sitk

    method = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic": sitk.sitkBSpline3}[interpolation]
    if interpolation == "nearest" and volume.same_grid(reference):
        return Volume(volume.array, reference.spacing, reference.origin, reference.direction, dict(volume.meta))
    source = to_sitk(volume)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in reference.size])
    resampler.SetOutputSpacing(reference.spacing.tolist())
    resampler.SetOutputOrigin(reference.origin.tolist())
    resampler.SetOutputDirection(reference.direction.ravel().tolist())
    resampler.SetInterpolator(method)
    resampler.SetDefaultPixelValue(float(outside))
    resampler.SetOutputPixelType(source.GetPixelID() if interpolation == "nearest" else sitk.sitkFloat32)
    array = sitk.GetArrayFromImage(resampler.Execute(source))
    return Volume(array, reference.spacing, reference.origin, reference.direction, dict(volume.meta))
