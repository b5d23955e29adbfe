"""Cartilage thickness at every vertex of a bone surface, by ray casting along the vertex normals.

Two readings of the same rays are kept. *The field's* (pyMSKT's): a vertex counts only if its ray crosses the
cartilage surface exactly twice, whatever lies between bone and cartilage, and takes the most frequent label along the
way, bone and neighbours included. *Ours*: cartilage has to lie on the bone; all its pieces on the way are summed; there
is no such number (NaN) where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging.labels import (
    ANTERIOR_FEMORAL,
    LATERAL_POSTERIOR,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_TIBIAL_CARTILAGE,
    PATELLAR_CARTILAGE,
)
from ..imaging.volume import Volume
from .rays import crossings
from .surfaces import Mesh
from .records import BoneSurface, MorphometryOptions

BONE_REGIONS = {
    "femur": tuple(range(ANTERIOR_FEMORAL, LATERAL_POSTERIOR + 1)),
    "tibia": (MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE),
    "patella": (PATELLAR_CARTILAGE,),
}
"""The region labels that may lie on each bone's vertices."""

SAMPLES = 101
"""Points at which the label map is read between entering and leaving."""

DETACHED_MM = 1.0
"""Cartilage that begins further than this above the bone is not this vertex's: the ray has passed an edge, or met the
other condyle across the notch."""

CLEFT_MM = 1.0
"""A piece further than this behind the last one is not the same cartilage."""

LABELS = 16


@dataclass(frozen=True, eq=False)
class RayReading:
    """What the rays of all vertices met in one cartilage surface.

    ``thickness_mm`` (n,), 0 where none; ``label_counts`` (n, 16): how often each label was read along the way.
    """

    exactly_two: np.ndarray
    field_thickness_mm: np.ndarray
    thickness_mm: np.ndarray
    label_counts: np.ndarray


def with_thickness(
    surface: BoneSurface, cartilages: list[Mesh], subregions: Volume, options: MorphometryOptions
) -> BoneSurface:
    """The surface with thickness and regions filled in (``total_region`` still as ``region``).

    Parameters
    ----------
    surface : BoneSurface
        LPS mm.
    cartilages : list of Mesh
        The closed surfaces of the cartilages on this bone, LPS mm.
    subregions : Volume
        Label map with 11-15 in place of 4, from which regions are read.
    """
    count = len(surface.points)
    thickness, field = np.zeros(count), np.zeros(count)
    field_label = np.zeros(count, np.int64)
    label_counts = np.zeros((count, LABELS), np.int64)
    allowed = list(BONE_REGIONS[surface.bone])
    for mesh in cartilages:
        reading = read_rays(surface, mesh, subregions, options)
        thickness += reading.thickness_mm
        field += reading.field_thickness_mm
        label_counts += reading.label_counts
        # pyMSKT adds up what its cartilages say, so a vertex that two of them claim falls out of every region.
        field_label += np.where(reading.exactly_two, reading.label_counts.argmax(axis=1), 0)
    covered = thickness > 0
    region = np.array(allowed)[label_counts[:, allowed].argmax(axis=1)]
    known = covered & (label_counts[:, allowed].sum(axis=1) > 0)
    region = _spread(surface.points, np.where(known, region, 0), covered)
    field_label = np.where(np.isin(field_label, allowed), field_label, 0)
    return replace(
        surface,
        thickness_mm=np.where(covered, thickness, np.nan).astype(np.float32),
        field_thickness_mm=field.astype(np.float32),
        region=region.astype(np.uint8),
        field_region=field_label.astype(np.uint8),
        total_region=region.astype(np.uint8),
    )


def read_rays(surface: BoneSurface, mesh: Mesh, subregions: Volume, options: MorphometryOptions) -> RayReading:
    """Cast every vertex's ray through one cartilage surface; see `with_thickness`."""
    center = surface.points.mean(axis=0, dtype=np.float64)
    normals = surface.normals.astype(np.float64)
    origins = surface.points - center - options.ray_inside_mm * normals
    length = options.ray_inside_mm + options.ray_outside_mm
    local = ((mesh[0] - center).astype(np.float32), mesh[1])
    distances, entering = crossings(local, origins, normals, length)
    number = np.isfinite(distances).sum(axis=1)
    two = number == 2
    thickness, first, last = pieces_on_bone(distances, entering, length, options.ray_inside_mm + DETACHED_MM)
    rays = np.flatnonzero(two | (thickness > 0))
    near, far = np.where(two, distances[:, 0], first)[rays], np.where(two, distances[:, 1], last)[rays]
    counts = np.zeros((len(origins), LABELS), np.int64)
    counts[rays] = count_labels(subregions, origins[rays] + center, normals[rays], near, far)
    return RayReading(two, np.where(two, distances[:, 1] - distances[:, 0], 0.0), thickness, counts)


def pieces_on_bone(
    distances: np.ndarray, entering: np.ndarray, length_mm: float, latest_mm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the pieces inside cartilage of each ray, as long as they lie on the bone and on each other.

    Parameters
    ----------
    distances, entering : (n, k)
        As `crossings` gives them. A ray that begins inside leaves first, one that ends inside enters last.
    length_mm : float
        Where the rays end.
    latest_mm : float
        The first piece must begin before this.

    Returns
    -------
    thickness, first, last : (n,) floats
        Summed length in mm (0: none), where the first counted piece begins and where the last ends.
    """
    rays, columns = distances.shape
    thickness, first, last = np.zeros(rays), np.zeros(rays), np.zeros(rays)
    begun = np.where(np.isfinite(distances[:, 0]) & ~entering[:, 0], 0.0, np.nan)
    reached = np.full(rays, np.nan)
    open_end = np.ones(rays, bool)
    for column in range(columns + 1):
        here = distances[:, column] if column < columns else np.full(rays, length_mm)
        valid = np.isfinite(here)
        goes_in = valid & (entering[:, column] if column < columns else False)
        goes_out = valid & ~goes_in & np.isfinite(begun)
        limit = np.where(np.isnan(reached), latest_mm, reached + CLEFT_MM)
        counts = goes_out & open_end & (begun <= limit)
        first = np.where(counts & np.isnan(reached), begun, first)
        thickness = thickness + np.where(counts, here - begun, 0.0)
        last = np.where(counts, here, last)
        open_end &= ~(goes_out & ~counts)
        reached = np.where(counts, here, reached)
        begun = np.where(goes_in & np.isnan(begun), here, np.where(goes_out, np.nan, begun))
    return thickness, first, last


def count_labels(
    labels: Volume, origins: np.ndarray, directions: np.ndarray, near: np.ndarray, far: np.ndarray
) -> np.ndarray:
    """How often each label below 16 other than 0 is the nearest voxel's at ``SAMPLES`` points of each ray segment.

    Returns
    -------
    (n, 16) int64
    """
    steps = np.linspace(0.0, 1.0, SAMPLES)
    start = labels.to_indices(origins)
    along = labels.to_indices(origins + directions) - start
    flat = np.zeros((len(origins), SAMPLES), np.int64)
    inside = np.ones((len(origins), SAMPLES), bool)
    distance = near[:, None] + steps * (far - near)[:, None]
    for axis, size, stride in zip(range(3), labels.size, (1, labels.size[0], labels.size[0] * labels.size[1]),
                                  strict=True):
        index = np.rint(start[:, axis, None] + along[:, axis, None] * distance).astype(np.int64)
        inside &= (index >= 0) & (index < size)
        flat += np.clip(index, 0, size - 1) * stride
    values = np.ascontiguousarray(labels.array).ravel()[flat].astype(np.int64)
    values[~inside | (values >= LABELS)] = 0
    rows = np.arange(len(origins))[:, None] * LABELS
    counts = np.bincount((rows + values).ravel(), minlength=len(origins) * LABELS).reshape(-1, LABELS)
    counts[:, 0] = 0
    return counts


def _spread(points: np.ndarray, region: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Covered vertices whose ray met no region voxel (cartilage thinner than a voxel) take their neighbour's."""
    from scipy.spatial import cKDTree

    orphans, known = covered & (region == 0), region > 0
    if not orphans.any() or not known.any():
        return region
    nearest = cKDTree(points[known]).query(points[orphans])[1]
    region = region.copy()
    region[orphans] = region[known][nearest]
    return region
