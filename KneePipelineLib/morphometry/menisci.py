"""Meniscus volume, extrusion and coverage.

- Extrusion (mm): how far the meniscus reaches beyond the margin of the tibial plateau, along the tibia's medial-lateral
  axis; negative inside. Both are taken in the middle fifth of the compartment, section by section, and averaged: as it
  is read on mid-coronal slices (Costa et al., AJR 2004;183:17-23; Svensson et al., Eur Radiol 2019;29:2616-2623), with
  less chance. The margin is the bone's (see `tibial_frame`), so it does not move when cartilage wears.
- Coverage (%): the share of the plateau's total area (tAB) above which, along the tibia's proximal axis, the meniscus
  lies within 10 mm.

Only the largest piece of each meniscus counts: stray voxels are no extrusion. A meniscus that the image cuts off has
no extrusion.
"""

from __future__ import annotations

import numpy as np

from ..imaging.labels import (
    BY_VALUE,
    LATERAL_MENISCUS,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_MENISCUS,
    MEDIAL_TIBIAL_CARTILAGE,
)
from .bones import cartilage_mesh
from .rays import crossings
from .records import AnatomicalFrame, BoneSurface
from .surfaces import Mesh, largest_component
from .tibial_frame import TibialFrame, margin, sections, tibial_frame
from .working import WorkingKnee

MIDDLE_SHARE = 0.2
REACH_MM = 10.0
OUTERMOST = 0.98
"""The quantile of a section's surface points that stands for its outer edge."""

LEAST_SECTIONS = 3
NAN = float("nan")


def meniscus_measures(
    knee: WorkingKnee, tibia: BoneSurface, frame: AnatomicalFrame, variance_mm2: float
) -> dict[str, dict[str, float]]:
    """Measures of each meniscus that occurs; NaN where the tibia below it tells nothing.

    Parameters
    ----------
    knee : WorkingKnee
        Canonical labels.
    tibia : BoneSurface
        Measured: its ``total_region`` is what is covered.
    frame : AnatomicalFrame
        The knee's, with the side.
    variance_mm2 : float
        Of the Gaussian that smooths a meniscus.

    Returns
    -------
    dict
        ``med_meniscus``, ``lat_meniscus`` -> `records.MENISCUS_MEASURES` -> float.
    """
    table, axes = {}, tibial_frame(tibia, frame)
    for meniscus, cartilage, outwards in (
        (MEDIAL_MENISCUS, MEDIAL_TIBIAL_CARTILAGE, 1),
        (LATERAL_MENISCUS, LATERAL_TIBIAL_CARTILAGE, -1),
    ):
        if meniscus in knee.boxes:
            mesh = largest_component(cartilage_mesh(knee, meniscus, variance_mm2))
            cut = is_cut_off(knee, meniscus)
            table[BY_VALUE[meniscus].name] = {
                "volume_mm3": float(np.count_nonzero(knee.mask(meniscus)) * knee.volume.voxel_volume_mm3),
                "extrusion_mm": NAN if cut else extrusion_mm(mesh, tibia, axes, outwards),
                "coverage_percent": _coverage(mesh, tibia, cartilage, axes),
            }
    return table


def is_cut_off(knee: WorkingKnee, label: int) -> bool:
    """Whether a structure touches the edge of the image."""
    faces = [(slab, size) for slab, size in zip(knee.boxes[label], knee.array.shape, strict=True)]
    source = knee.source.array
    if all(slab.start > 0 and slab.stop < size for slab, size in faces):
        return False
    return any(bool((source.take(index, axis) == label).any()) for axis in range(3) for index in (0, -1))


def extrusion_mm(meniscus: Mesh, tibia: BoneSurface, axes: TibialFrame, outwards: int) -> float:
    """How far a meniscus reaches beyond the bony margin in the middle of its compartment.

    Parameters
    ----------
    meniscus : Mesh
        Its surface, LPS mm.
    tibia : BoneSurface
    axes : TibialFrame
    outwards : int
        1 for the medial, -1 for the lateral compartment.

    Returns
    -------
    float
        mm; NaN where either does not reach the middle of the compartment.
    """
    edge = margin(tibia, axes, outwards)
    if edge is None or not len(meniscus[0]):
        return NAN
    local = axes.to_frame(meniscus[0])
    half = edge.extent_mm * MIDDLE_SHARE / 2
    centres, reach = sections(local[:, 1], local[:, 0] * outwards, edge.middle_mm, half, OUTERMOST)
    if len(centres) < LEAST_SECTIONS:
        return NAN
    return float(np.mean(reach - edge.outward_mm(centres)))


def _coverage(mesh: Mesh, tibia: BoneSurface, cartilage: int, axes: TibialFrame) -> float:
    under = np.flatnonzero(tibia.total_region == cartilage)
    if not len(under):
        return NAN
    points, triangles = mesh
    center = tibia.points.mean(axis=0, dtype=np.float64)
    local = ((points - center).astype(np.float32), triangles)
    upwards = np.broadcast_to(axes.axes[2], (len(under), 3))
    distances, _ = crossings(local, tibia.points[under] - center, upwards, REACH_MM, most=1)
    area = tibia.vertex_area_mm2[under].astype(np.float64)
    return float(100 * area[np.isfinite(distances[:, 0])].sum() / area.sum())
