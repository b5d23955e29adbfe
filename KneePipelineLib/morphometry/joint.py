"""Measures of the joint as a whole, from the surfaces there are: joint space, width, position.

An MRI is taken lying down: joint space and position are those of the unloaded knee. What cannot be computed is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..imaging.labels import BY_NAME, LATERAL_TIBIAL_CARTILAGE, MEDIAL_TIBIAL_CARTILAGE
from .fine_regions import FineBorders
from .records import AnatomicalFrame, BoneSurface

RIM_MM = 20.0
"""The height of tibia below its highest point in which its width is taken."""

COMPARTMENTS = (("med", MEDIAL_TIBIAL_CARTILAGE, "cMT"), ("lat", LATERAL_TIBIAL_CARTILAGE, "cLT"))


def joint_measures(
    surfaces: Mapping[str, BoneSurface], frame: AnatomicalFrame, borders: FineBorders,
    pose: tuple[float, float, float] | None,
) -> dict[str, float]:
    """The measures of `records.JOINT_MEASURES`.

    Joint space is the distance from the tibial bone to the nearest femoral bone: its least over a plate's total area,
    and its mean over the central subregion. The three angles are ``pose``, from `relative_pose`.
    """
    femur, tibia = surfaces["femur"], surfaces["tibia"]
    flexion, varus, rotation = pose or (float("nan"),) * 3
    width = float("nan")
    plates = list(borders.plates.values())
    if plates:
        height = tibia.points @ frame.axes[2]
        near = height > np.quantile(height, 0.999) - RIM_MM
        width = float(np.ptp(np.quantile(tibia.points[near] @ plates[0].medial, [0.0005, 0.9995])))
    return {**_spaces(femur, tibia), "tibial_width_mm": width, "femorotibial_angle_deg": varus,
            "flexion_deg": flexion, "rotation_deg": rotation}


def relative_pose(
    femur: Sequence[np.ndarray], tibia: Sequence[np.ndarray]
) -> tuple[float, float, float] | None:
    """Flexion, varus and outward rotation of the tibia in degrees; None where a bone was not matched.

    A knee image shows too little of the shafts for their axes. But both bones have been laid on those of the template
    knees, which lie extended: what their two rotations differ by is how much more this knee is bent, in varus, and its
    tibia turned outwards, than those are. Zero is the templates' mean position, not a line on a whole-leg radiograph.

    Parameters
    ----------
    femur, tibia : sequence of (3, 3) arrays
        The rotation of the bone onto each template's, right knee: medial, posterior, superior.
    """
    if not femur or len(femur) != len(tibia):
        return None
    from scipy.spatial.transform import Rotation

    angles = [Rotation.from_matrix(thigh @ leg.T).as_euler("XYZ", degrees=True)
              for thigh, leg in zip(femur, tibia, strict=True)]
    about_medial, about_posterior, about_superior = np.mean(angles, axis=0).tolist()
    return about_medial, about_posterior, about_superior


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
