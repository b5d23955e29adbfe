"""Cartilage thickness at every vertex of a bone surface, along the vertex normals.

Two readings are kept. *The field's* (pyMSKT's): a vertex counts only if its ray, from inside the bone, crosses the
cartilage surface exactly twice, whatever lies between bone and cartilage, and takes the most frequent label along the
way, bone and neighbours included. *Ours* (coverage.py): cartilage has to lie on the bone; all its pieces on the way are
summed; thin layers are not lost to smoothing; there is no such number (NaN) where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging.labels import (
    ANTERIOR_FEMORAL,
    BY_NAME,
    LATERAL_POSTERIOR,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_TIBIAL_CARTILAGE,
    PATELLAR_CARTILAGE,
)
from ..imaging.volume import Volume
from .coverage import THIN_MM, cartilage_share, covering_pieces, layer_thickness_mm, thin_layers_mm
from .rays import crossings
from .records import BoneSurface, MorphometryOptions
from .surfaces import Mesh
from .working import WorkingKnee

BONE_REGIONS = {
    "femur": tuple(range(ANTERIOR_FEMORAL, LATERAL_POSTERIOR + 1)),
    "tibia": (MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE),
    "patella": (PATELLAR_CARTILAGE,),
}
"""The region labels that may lie on each bone's vertices."""

SAMPLES = 101
"""Points at which the label map is read between entering and leaving."""

LABELS = 16
RIM_RINGS = 2
"""Rings of vertices around cartilage of ordinary thickness in which no thin layer is looked for."""


@dataclass(frozen=True, eq=False)
class RayReading:
    """What all vertices' rays met in one cartilage. ``*_counts`` (n, 16): how often each label was read on the way."""

    exactly_two: np.ndarray
    field_thickness_mm: np.ndarray
    field_counts: np.ndarray
    thickness_mm: np.ndarray
    counts: np.ndarray


def with_thickness(
    surface: BoneSurface,
    cartilages: dict[int, Mesh],
    knee: WorkingKnee,
    subregions: Volume,
    options: MorphometryOptions,
) -> BoneSurface:
    """The surface with thickness and regions filled in (``total_region`` still as ``region``).

    Parameters
    ----------
    surface : BoneSurface
        LPS mm.
    cartilages : dict
        Label -> closed surface of each cartilage on this bone, LPS mm.
    knee : WorkingKnee
        Canonical labels.
    subregions : Volume
        The working box with 11-15 in place of 4, from which regions are read.
    """
    count = len(surface.points)
    thickness, field = np.zeros(count), np.zeros(count)
    field_label = np.zeros(count, np.int64)
    counts = np.zeros((count, LABELS), np.int64)
    allowed = list(BONE_REGIONS[surface.bone])
    for label, mesh in cartilages.items():
        reading = read_rays(surface, label, mesh, knee, subregions, options)
        thickness += reading.thickness_mm
        field += reading.field_thickness_mm
        counts += reading.counts
        # pyMSKT adds up what its cartilages say, so a vertex that two of them claim falls out of every region.
        field_label += np.where(reading.exactly_two, reading.field_counts.argmax(axis=1), 0)
    covered = thickness > 0
    region = np.array(allowed)[counts[:, allowed].argmax(axis=1)]
    known = covered & (counts[:, allowed].sum(axis=1) > 0)
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


def read_rays(
    surface: BoneSurface,
    cartilage: int,
    mesh: Mesh,
    knee: WorkingKnee,
    subregions: Volume,
    options: MorphometryOptions,
) -> RayReading:
    """Both readings of every vertex's ray through one cartilage; see `with_thickness`."""
    center = surface.points.mean(axis=0, dtype=np.float64)
    normals = surface.normals.astype(np.float64)
    origins = surface.points - center - options.ray_inside_mm * normals
    length = options.ray_inside_mm + options.ray_outside_mm
    distances, _ = crossings(((mesh[0] - center).astype(np.float32), mesh[1]), origins, normals, length, most=3)
    two = np.isfinite(distances).sum(axis=1) == 2
    field = np.where(two, distances[:, 1] - distances[:, 0], 0.0)
    field_counts = _counts(subregions, origins + center, normals, two, distances[:, 0], distances[:, 1])
    thickness, reach = thickness_on(surface, cartilage, knee, options)
    counts = _counts(subregions, surface.points, normals, thickness > 0, np.zeros(len(reach)), reach)
    return RayReading(two, field, field_counts, thickness, counts)


def thickness_on(
    surface: BoneSurface, cartilage: int, knee: WorkingKnee, options: MorphometryOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Our reading of one cartilage at every vertex: thickness, and how far out it reaches, (n,) mm; 0 where bare."""
    normals = surface.normals.astype(np.float64)
    share, start = cartilage_share(knee, BY_NAME[surface.bone].value, cartilage, options.cartilage_variance_mm2)
    thickness, reach = covering_pieces(knee, share, start, surface.points, normals, options.ray_outside_mm)
    thickness = layer_thickness_mm(thickness, options.cartilage_variance_mm2)
    thin = thin_layers_mm(knee, cartilage, surface.points, normals, surface.triangles)
    beside = thickness >= THIN_MM
    for _ in range(RIM_RINGS):  # the last labelled voxels at the rim of thicker cartilage are no layer of their own
        beside[surface.triangles[beside[surface.triangles].any(axis=1)]] = True
    thin[beside] = 0.0
    return np.maximum(thickness, thin), np.maximum(reach, thin)


def _counts(
    subregions: Volume, origins: np.ndarray, normals: np.ndarray, rays: np.ndarray, near: np.ndarray, far: np.ndarray
) -> np.ndarray:
    """`count_labels` for the chosen rays, zeros for the others."""
    counts = np.zeros((len(origins), LABELS), np.int64)
    counts[rays] = count_labels(subregions, origins[rays], normals[rays], near[rays], far[rays])
    return counts


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
