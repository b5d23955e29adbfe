"""Each bone's surface with its footprints: which vertices cartilage covers, or would cover in health."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging.labels import BONE_CARTILAGES, BY_NAME, BY_VALUE
from .footprint import MOST_RESIDUAL_MM, footprint, in_right_knee
from .records import BoneSurface, MorphometryOptions
from .thickness import BONE_REGIONS, thickness_on
from .total_area import edge_graph, enclosed_defects
from .working import WorkingKnee

OPEN_BARE = ("bare bone that is open to the margin is not counted there: dAB may be too small, tAB and ThC_tAB wrong")


@dataclass(frozen=True, eq=False)
class Plates:
    """A bone with its footprints.

    Attributes
    ----------
    surface : BoneSurface
        With ``footprint`` by plate.
    bare : (n,) bool
        Its denuded vertices.
    turns : tuple of (3, 3) arrays
        The bone's rotation onto each template's.
    warnings : list of (code, sentence)
    """

    surface: BoneSurface
    bare: np.ndarray
    turns: tuple[np.ndarray, ...]
    warnings: list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class LostCartilage:
    """Where femoral cartilage was: denuded vertices (m, 3) and outward normals in LPS mm, and their areas (m,)."""

    points: np.ndarray
    normals: np.ndarray
    area_mm2: np.ndarray


def with_footprint(surface: BoneSurface, knee: WorkingKnee, side: str, options: MorphometryOptions) -> Plates:
    """Find the footprints on a bone's surface.

    A femur or patella without any cartilage label has no footprint: it was not segmented rather than worn. A tibial
    plate without cartilage beside one that has some is wholly bare.
    """
    covered = covered_plates(surface, knee, options)
    if not covered.any():
        return Plates(replace(surface, footprint=covered), np.zeros(len(covered), bool), (), [])
    axes, mirrored = knee.bone_axes, side == "left"
    mesh = in_right_knee(axes.to_frame(surface.points), mirrored), surface.triangles
    found = footprint(surface.bone, mesh, in_right_knee(surface.normals @ axes.axes.T, mirrored),
                      surface.vertex_area_mm2, covered, options.closing_mm, None if options.templates else ())
    warnings = []
    for label in _cut_plates(surface, knee) if options.templates else ():
        holes = enclosed_defects(edge_graph(mesh), covered == label, surface.vertex_area_mm2, options.closing_mm)
        found.plate[(found.plate == label) & (covered == 0) & ~holes] = 0
        warnings.append(("FOOTPRINT_NOT_FITTED", f"The image ends within the {BY_VALUE[label].title.lower()} of the "
                         f"{surface.bone} and shows only a part of its footprint; {OPEN_BARE}."))
    if options.templates and not found.used:
        warnings.append(("FOOTPRINT_NOT_FITTED", f"The healthy footprint does not fit the {surface.bone} (its surface "
                         f"stays {found.residual_mm:.1f} mm off, at most {MOST_RESIDUAL_MM:g} are allowed); "
                         f"{OPEN_BARE}."))
    for label in BONE_CARTILAGES[BY_NAME[surface.bone].value]:
        if (found.plate == label).any() and not (covered == label).any():
            warnings.append(("PLATE_BARE", f"Nothing is left of the {BY_VALUE[label].title.lower()}: it is counted as "
                             "wholly denuded (dAB 100 %, ThC_tAB 0 mm)."))
    return Plates(replace(surface, footprint=found.plate), (found.plate > 0) & (covered == 0), found.turns, warnings)


def _cut_plates(surface: BoneSurface, knee: WorkingKnee) -> list[int]:
    """The cartilages of a bone that the image's edge cuts."""
    return [label for label in BONE_CARTILAGES[BY_NAME[surface.bone].value] if label in knee.boxes and any(
        s.start == 0 or s.stop == n for s, n in zip(knee.boxes[label], knee.array.shape, strict=True))]


def covered_plates(surface: BoneSurface, knee: WorkingKnee, options: MorphometryOptions) -> np.ndarray:
    """Canonical label of the cartilage on each vertex, 0 where bare, (n,) uint8."""
    plate = np.zeros(len(surface.points), np.uint8)
    thickest = np.zeros(len(plate))
    for cartilage in BONE_CARTILAGES[BY_NAME[surface.bone].value]:
        if cartilage in knee.boxes:
            thickness, _ = thickness_on(surface, cartilage, knee, options)
            plate[thickness > thickest] = cartilage
            thickest = np.maximum(thickest, thickness)
    return plate


def lost_vertices(surface: BoneSurface, bare: np.ndarray) -> LostCartilage:
    """The chosen vertices (n,) bool as lost cartilage."""
    return LostCartilage(surface.points[bare].astype(np.float64), surface.normals[bare].astype(np.float64),
                         surface.vertex_area_mm2[bare])


def lost_cartilage(femur: BoneSurface | None) -> LostCartilage | None:
    """The denuded vertices of a prepared femur; None if there are none."""
    if femur is None or not (bare := np.isin(femur.footprint, BONE_REGIONS["femur"])).any():
        return None
    return lost_vertices(femur, bare)
