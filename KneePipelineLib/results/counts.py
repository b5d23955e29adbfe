"""How many voxels and surface points stand behind each region's numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..imaging.labels import (
    ANTERIOR_FEMORAL,
    BY_NAME,
    FEMORAL_CARTILAGE,
    LATERAL_POSTERIOR,
    REGIONS,
)
from ..imaging.slices import slice_axis
from ..imaging.volume import Volume

FACING = float(np.cos(np.radians(35)))
"""Cosine with the slice direction above which thickness is read across slices rather than within them."""

_FEMORAL = range(ANTERIOR_FEMORAL, LATERAL_POSTERIOR + 1)


def region_counts(
    *,
    labels: Volume | None = None,
    subregions: Volume | None = None,
    surfaces: Mapping[str, object] | None = None,
) -> dict[str, dict[str, int]]:
    """Numbers of points by region and meniscus; what cannot be counted from what is given is left out.

    Parameters
    ----------
    labels, subregions : Volume, optional
        Canonical labels, without and with femoral subregions; one of them suffices for the voxels.
    surfaces : mapping of str to BoneSurface, optional
        For ``vertices_total`` (in tAB), ``vertices_covered`` (in cAB), ``vertices_field`` (in ``mm_mean``) and, where
        slices are thick, ``vertices_along_slices``: those in tAB whose bone faces along the slice direction.
    """
    counts: dict[str, dict[str, int]] = {}
    volume = subregions if subregions is not None else labels
    if volume is not None:
        _add(counts, "voxels", histogram(volume.array), names=(*REGIONS, "med_meniscus", "lat_meniscus"),
             divided=subregions is not None)
    axis = None if volume is None else slice_axis(volume.spacing)
    for surface in (surfaces or {}).values():
        covered = np.isfinite(surface.thickness_mm)
        own = [n for n in REGIONS if _bone(n) == surface.bone]
        _add(counts, "vertices_total", histogram(surface.total_region), own)
        _add(counts, "vertices_covered", histogram(surface.region[covered]), own)
        _add(counts, "vertices_field", histogram(surface.field_region), own)
        if axis is not None:
            facing = np.abs(surface.normals @ volume.direction[:, axis]) > FACING
            _add(counts, "vertices_along_slices", histogram(surface.total_region[facing]), own)
    return counts


def _bone(region: str) -> str:
    from .wording import REGION_BONES

    return REGION_BONES[region]


def histogram(values: np.ndarray) -> np.ndarray:
    """Numbers of the values 0 to 255; slice by slice, because a whole volume as 64-bit numbers leaves the cache."""
    array = np.atleast_2d(np.asarray(values))
    return sum(np.bincount(part.ravel(), minlength=256) for part in array)


def _add(counts: dict, kind: str, histogram: np.ndarray, names: tuple | list, divided: bool = True) -> None:
    for name in names:
        value = BY_NAME[name].value
        if value in _FEMORAL and not divided:
            continue
        total = int(histogram[value])
        if value == FEMORAL_CARTILAGE:
            total += int(sum(histogram[v] for v in _FEMORAL))
        counts.setdefault(name, {})[kind] = total
