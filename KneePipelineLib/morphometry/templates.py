"""The healthy footprints that ship with the package: where cartilage lies on two real people's bones.

`footprints.npz` holds, for each person and bone, vertices and normals in the knee's frame (right knee: medial,
posterior, superior; mm) and for each cartilage plate the signed distance (mm, positive inside) to the edge of what
cartilage covers. It was made from the two label maps of PyPI's mskt 0.1.22 (MIT licence, (c) Anthony A. Gatti; see
footprints.txt) with

    python Testing/Benchmarks/make_footprints.py
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("footprints.npz")
PLATES = {"femur": (4,), "tibia": (5, 6), "patella": (7,)}
"""The cartilage plates of each bone, by canonical label."""

HEIGHT_MM = {"femur": 55.0, "tibia": 25.0, "patella": np.inf}
"""How much of the bone from its joint end takes part."""


@dataclass(frozen=True, eq=False)
class Template:
    """One person's bone with its footprints.

    Attributes
    ----------
    points, normals : (n, 3) float64
    depth_mm : dict
        Plate -> (n,) distance inside the footprint's edge, negative outside.
    tree : scipy.spatial.cKDTree
        Of the points.
    """

    points: np.ndarray
    normals: np.ndarray
    depth_mm: dict[int, np.ndarray]
    tree: object

    def shows(self, bone: str, points: np.ndarray) -> np.ndarray:
        """Which points in its frame lie in the part of the bone that it shows, (n,) bool."""
        if bone == "femur":
            return points[:, 2] < self.points[:, 2].max()
        if bone == "tibia":
            return points[:, 2] > self.points[:, 2].min()
        return np.ones(len(points), bool)


def make_template(points: np.ndarray, normals: np.ndarray, depth_mm: dict[int, np.ndarray]) -> Template:
    """A template with its search tree."""
    from scipy.spatial import cKDTree

    points = np.asarray(points, np.float64)
    return Template(points, np.asarray(normals, np.float64), depth_mm, cKDTree(points))


@cache
def shipped_templates(bone: str) -> tuple[Template, ...]:
    """The templates of a bone; those of the patella are fewer where one person's was worn."""
    with np.load(FILE, allow_pickle=False) as file:
        people = sorted({name.split()[0] for name in file.files if name.split()[1] == bone})
        return tuple(
            make_template(file[f"{person} {bone} points"], file[f"{person} {bone} normals"],
                          {plate: file[f"{person} {bone} {plate}"].astype(np.float64) for plate in PLATES[bone]})
            for person in people)


def joint_end(bone: str, height_mm: np.ndarray) -> np.ndarray:
    """Which vertices lie near the bone's joint end, (n,) bool, from their height along superior."""
    if bone == "femur":
        return height_mm < np.quantile(height_mm, 0.001) + HEIGHT_MM[bone]
    if bone == "tibia":
        return height_mm > np.quantile(height_mm, 0.999) - HEIGHT_MM[bone]
    return np.ones(len(height_mm), bool)
