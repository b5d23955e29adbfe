"""Measures of the joint as a whole, from the surfaces there are: joint space, width, alignment.

An MRI is taken lying down: joint space and alignment are those of the unloaded knee, and only as far as the shafts are
in view. What cannot be computed is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..imaging.labels import BY_NAME, LATERAL_TIBIAL_CARTILAGE, MEDIAL_TIBIAL_CARTILAGE
from .fine_regions import FineBorders
from .records import AnatomicalFrame, BoneSurface

SHAFT_FROM_MM, SHAFT_LEAST_MM = 32.0, 20.0
"""The shaft begins this far from the joint's end of a bone; with less of it in view there is no axis."""

SLAB_MM = 2.0
RIM_MM = 20.0
"""The height of tibia below its highest point in which its width is taken."""

COMPARTMENTS = (("med", MEDIAL_TIBIAL_CARTILAGE, "cMT"), ("lat", LATERAL_TIBIAL_CARTILAGE, "cLT"))


def joint_measures(
    surfaces: Mapping[str, BoneSurface], frame: AnatomicalFrame, borders: FineBorders
) -> dict[str, float]:
    """The measures of `records.JOINT_MEASURES`.

    Joint space is the distance from the tibial bone to the nearest femoral bone: its least over a plate's total area,
    and its mean over the central subregion. Angles are between the axes of the shafts, in the femur's frame: flexion is
    positive when the knee is bent, the femorotibial angle when it is in varus; rotation is that of the tibia, from the
    line through both plates' centres against the posterior condyles, positive for a tibia turned outwards.
    """
    femur, tibia = surfaces["femur"], surfaces["tibia"]
    found = {**_spaces(femur, tibia), "tibial_width_mm": float("nan"), "rotation_deg": float("nan"),
             "femorotibial_angle_deg": float("nan"), "flexion_deg": float("nan")}
    posterior, superior = frame.axes[1], frame.axes[2]
    plates = list(borders.plates.values())
    if plates:
        top = tibia.points @ superior
        near = top > np.quantile(top, 0.999) - RIM_MM
        found["tibial_width_mm"] = float(np.ptp(np.quantile(tibia.points[near] @ plates[0].medial, [0.0005, 0.9995])))
    if len(plates) == 2:
        found["rotation_deg"] = float(np.degrees(np.arctan2(-plates[0].medial @ posterior,
                                                            plates[0].medial @ frame.medial)))
    axes = shaft_axis(femur, superior), shaft_axis(tibia, -superior)
    if all(axis is not None for axis in axes):
        thigh, leg = axes[0], -axes[1]
        found["flexion_deg"] = float(np.degrees(_lean(thigh, posterior, superior) - _lean(leg, posterior, superior)))
        found["femorotibial_angle_deg"] = float(np.degrees(
            _lean(leg, frame.medial, superior) - _lean(thigh, frame.medial, superior)))
    return found


def shaft_axis(bone: BoneSurface, away: np.ndarray) -> np.ndarray | None:
    """Unit vector along the shaft away from the joint: the line through the middles of its slices; None if too short.

    Parameters
    ----------
    bone : BoneSurface
    away : (3,) floats
        Roughly away from the joint, LPS.
    """
    for _ in range(3):
        height = bone.points @ away
        first, last = np.quantile(height, 0.001) + SHAFT_FROM_MM, height.max() - 2 * SLAB_MM
        if last - first < SHAFT_LEAST_MM:
            return None
        heights = np.arange(first, last, SLAB_MM)
        middles = np.array([_middle(bone.points[np.abs(height - h) < SLAB_MM / 2]) for h in heights])
        known = np.isfinite(middles).all(axis=1)
        if known.sum() < 4:
            return None
        middles = middles[known] - middles[known].mean(axis=0)
        axis = np.linalg.svd(middles, full_matrices=False)[2][0]
        away = axis * np.sign(axis @ away)
    return away


def _middle(points: np.ndarray) -> np.ndarray:
    """The middle of a slice's outline: of its box, which does not lean to where vertices are dense."""
    if len(points) < 8:
        return np.full(3, np.nan)
    return (points.min(axis=0).astype(np.float64) + points.max(axis=0)) / 2


def _lean(axis: np.ndarray, towards: np.ndarray, superior: np.ndarray) -> float:
    return float(np.arctan2(axis @ towards, axis @ superior))


def _spaces(femur: BoneSurface, tibia: BoneSurface) -> dict[str, float]:
    from scipy.spatial import cKDTree

    found = {}
    tree = cKDTree(femur.points)
    for name, label, central in COMPARTMENTS:
        plate = tibia.total_region == label
        found |= {f"{name}_JSW_min_mm": float("nan"), f"{name}_JSW_mean_mm": float("nan")}
        if plate.any():
            distance = tree.query(tibia.points[plate])[0]
            middle = tibia.subregion[plate] == BY_NAME[central].value
            found[f"{name}_JSW_min_mm"] = float(np.quantile(distance, 0.002))
            if middle.any():
                found[f"{name}_JSW_mean_mm"] = float(np.average(distance[middle],
                                                               weights=tibia.vertex_area_mm2[plate][middle]))
    return found
