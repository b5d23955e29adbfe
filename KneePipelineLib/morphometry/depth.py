"""Deep and superficial cartilage: each voxel's relative depth between bone and articular surface, split at a half."""

from __future__ import annotations

import numpy as np

from ..imaging.labels import BONE_CARTILAGES, BONES, BY_VALUE, DEEP_OFFSET, SUPERFICIAL_OFFSET
from .rays import crossings
from .surfaces import Mesh, vertex_normals_and_areas
from .working import WorkingKnee

THRESHOLD = 0.5
REACH_MM = 10.0
"""A cartilage vertex is on the articular side if the ray inwards from it meets the bone within this."""

START_MM = 0.1


def articular_points(cartilage: Mesh, bone: Mesh) -> np.ndarray:
    """The vertices of a cartilage surface that look away from the bone, (n, 3).

    Those whose inward ray meets the bone, as pyMSKT takes them; all that lie furthest from the bone if none does.
    """
    normals = vertex_normals_and_areas(cartilage)[0]
    center = bone[0].mean(axis=0, dtype=np.float64)
    points = cartilage[0].astype(np.float64) - center
    local = ((bone[0] - center).astype(np.float32), bone[1])
    distances, _ = crossings(local, points - START_MM * normals, -normals, REACH_MM, most=1)
    facing = np.isfinite(distances[:, 0])
    return cartilage[0][facing] if facing.any() else cartilage[0]


def depth_layers(
    knee: WorkingKnee,
    subregions: np.ndarray,
    dense_bones: dict[str, Mesh],
    even_bones: dict[str, Mesh],
    cartilages: dict[tuple[str, int], Mesh],
) -> np.ndarray:
    """Cartilage labels + 100 in the deep half and + 200 in the superficial half, 0 elsewhere.

    Parameters
    ----------
    knee : WorkingKnee
        Canonical labels.
    subregions : numpy.ndarray
        The working box with 11-15 in place of 4.
    dense_bones, even_bones, cartilages : dict
        Surfaces in LPS mm: distances are taken to the dense bones, rays are cast at the others.

    Returns
    -------
    numpy.ndarray
        uint8, the working box. A voxel's relative depth is its distance to the bone over the sum of its distances to
        the bone and to the articular surface.
    """
    from scipy.spatial import cKDTree

    layers = np.zeros(knee.array.shape, np.uint8)
    for bone in BONES:
        name = BY_VALUE[bone].name
        for number, cartilage in enumerate(BONE_CARTILAGES[bone]):
            if name not in dense_bones or (name, number) not in cartilages:
                continue
            box = knee.boxes[cartilage]
            mask = knee.mask(cartilage)
            start = [s.start for s in reversed(box)]
            voxels = knee.volume.to_physical(np.argwhere(mask)[:, ::-1] + start)
            surface = articular_points(cartilages[name, number], even_bones[name])
            nearby = _near(dense_bones[name][0], voxels)
            to_bone = cKDTree(nearby, balanced_tree=False).query(voxels)[0]
            to_joint = cKDTree(surface, balanced_tree=False).query(voxels)[0]
            deep = to_bone < THRESHOLD * (to_bone + to_joint)
            here = layers[box]
            here[mask] = subregions[box][mask] + np.where(deep, DEEP_OFFSET, SUPERFICIAL_OFFSET).astype(np.uint8)
    return layers


def _near(points: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """The points within reach of the voxels' bounding box; all if none is."""
    low, high = voxels.min(axis=0) - REACH_MM, voxels.max(axis=0) + REACH_MM
    near = ((points >= low) & (points <= high)).all(axis=1)
    return points[near] if near.any() else points
