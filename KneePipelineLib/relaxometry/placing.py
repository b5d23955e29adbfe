"""A T2 map in the space of the segmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..imaging import Volume, resample_to
from .mapping import Status, T2Map

GRID_TOLERANCE_MM = 0.01


def place(t2: T2Map, reference: Volume) -> T2Map:
    """The map on the grid of ``reference``; the same numbers where the grids are equal.

    Otherwise a point takes the status of the nearest voxel. Where that is measured, its T2 is the linear interpolation
    over the measured voxels around it (those of another status have no weight); elsewhere it is the nearest voxel's.
    Fluid and noise therefore never mix into cartilage.
    """
    if t2.t2_ms.same_grid(reference, GRID_TOLERANCE_MM):
        return t2
    status = resample_to(t2.status, reference, "nearest", outside=float(Status.OUTSIDE))
    measured = t2.status.array == Status.MEASURED
    values = np.where(measured, t2.t2_ms.array, np.float32(0))
    weight = resample_to(t2.status.with_array(measured.astype(np.float32)), reference).array
    total = resample_to(t2.t2_ms.with_array(values), reference).array
    nearest = resample_to(t2.t2_ms, reference, "nearest", outside=np.nan).array
    inside = status.array == Status.MEASURED
    placed = np.where(inside, total / np.where(inside & (weight > 0), weight, 1), nearest).astype(np.float32)
    lost = inside & (weight <= 0)
    placed[lost] = nearest[lost]
    r2 = resample_to(t2.r2, reference, "nearest", outside=np.nan) if t2.r2 is not None else None
    return replace(t2, t2_ms=replace(status, array=placed, meta=dict(t2.t2_ms.meta)), status=status, r2=r2)
