"""Each bone's surface with its footprints: which vertices cartilage covers, or would cover in health."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging.labels import BONE_CARTILAGES, BY_NAME, BY_VALUE
from .coverage import cartilage_share, covering_pieces
from .footprint import MOST_RESIDUAL_MM, footprint, in_right_knee
from .records import BoneSurface, MorphometryOptions
from .working import WorkingKnee

OPEN_BARE = ("bare bone that is open to the margin is not counted there: dAB may be too small, tAB and ThC_tAB wrong")


@dataclass(frozen=True, eq=False)
class LostCartilage:
    """Where femoral cartilage was: denuded vertices.

    Attributes
    ----------
    vertices : (m,) int
        Indices into the surface.
    points, normals : (m, 3) floats
        LPS mm, outward unit normals.
    area_mm2 : (m,) floats
    """

    vertices: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    area_mm2: np.ndarray


def with_footprint(
    surface: BoneSurface, knee: WorkingKnee, side: str, options: MorphometryOptions
) -> tuple[BoneSurface, tuple[np.ndarray, ...], list[tuple[str, str]]]:
    """The surface with ``footprint`` filled in by plate, the bone's turns onto the templates, and warnings.

    A femur or patella without any cartilage label has no footprint: it was not segmented rather than worn. A tibial
    plate without cartilage beside one that has some is wholly bare.
    """
    covered = covered_plates(surface, knee, options)
    if not covered.any():
        return replace(surface, footprint=covered), (), []
    axes, mirrored = knee.bone_axes, side == "left"
    mesh = in_right_knee(axes.to_frame(surface.points), mirrored), surface.triangles
    found = footprint(surface.bone, mesh, in_right_knee(surface.normals @ axes.axes.T, mirrored),
                      surface.vertex_area_mm2, covered, options.closing_mm, None if options.templates else ())
    warnings = []
    if options.templates and not found.used:
        warnings.append(("FOOTPRINT_NOT_FITTED", f"The healthy footprint does not fit the {surface.bone} (its surface "
                         f"stays {found.residual_mm:.1f} mm off, at most {MOST_RESIDUAL_MM:g} are allowed); "
                         f"{OPEN_BARE}."))
    for label in BONE_CARTILAGES[BY_NAME[surface.bone].value]:
        if (found.plate == label).any() and not (covered == label).any():
            warnings.append(("PLATE_BARE", f"Nothing is left of the {BY_VALUE[label].title.lower()}: it is counted as "
                             "wholly denuded (dAB 100 %, ThC_tAB 0 mm)."))
    return replace(surface, footprint=found.plate), found.turns, warnings


def covered_plates(surface: BoneSurface, knee: WorkingKnee, options: MorphometryOptions) -> np.ndarray:
    """Canonical label of the cartilage on each vertex, 0 where bare, (n,) uint8."""
    plate = np.zeros(len(surface.points), np.uint8)
    thickest = np.zeros(len(plate))
    bone = BY_NAME[surface.bone].value
    for cartilage in BONE_CARTILAGES[bone]:
        if cartilage in knee.boxes:
            field, start = cartilage_share(knee, bone, cartilage, options.cartilage_variance_mm2)
            thickness, _ = covering_pieces(knee, field, start, surface.points, surface.normals.astype(np.float64),
                                           options.ray_outside_mm)
            plate[thickness > thickest] = cartilage
            thickest = np.maximum(thickest, thickness)
    return plate


def lost_cartilage(surface: BoneSurface, knee: WorkingKnee, options: MorphometryOptions) -> LostCartilage | None:
    """The denuded vertices of a bone with a footprint; None if there are none."""
    bare = np.flatnonzero((surface.footprint > 0) & (covered_plates(surface, knee, options) == 0))
    if not len(bare):
        return None
    return LostCartilage(bare, surface.points[bare].astype(np.float64), surface.normals[bare].astype(np.float64),
                         surface.vertex_area_mm2[bare])
