"""Where cartilage covers the bone and how thick it is there, without the shrinkage that smoothing gives thin rims.

A Gaussian of a binary cartilage label mixes cartilage with whatever lies around it. On the articular side that is the
joint, and the 0.5 iso-surface stays where the cartilage ends. On the other side it is bone: near its rim the cartilage
fills less than half of the kernel although it fills all of the space there is, so the surface draws back by some tenths
of a millimetre all around, areas come out several per cent too small and defects too large.

The remedy is *normalised convolution* (Knutsson and Westin, CVPR 1993): ask how much of the space outside the bone is
cartilage. Smoothed cartilage over smoothed non-bone equals a half where ``smooth(cartilage + bone / 2)`` does, so one
smoothing of a map with 1 for cartilage and 1/2 for bone does it. Away from rims nothing changes. A vertex is covered
where that field is above a half; thickness is the length of its normal above it, beginning at the bone.

Thin cartilage needs two things more. Smoothing shortens a layer that is not much thicker than the Gaussian is wide, by
a known amount: `layer_thickness_mm` inverts it. And a layer below about 0.4 mm vanishes altogether: there the label
itself is asked, `thin_layers_mm`.
"""

from __future__ import annotations

import numpy as np

from .smoothing import padding_voxels, smooth_binary
from .working import WorkingKnee

LEVEL = 0.5
STEP_MM = 0.2
DETACHED_MM = 1.0
"""A gap up to this between bone and cartilage is the segmentation's; cartilage that begins further away is not this
vertex's: the ray has passed an edge, or met the other condyle across the notch."""

THIN_MM = 0.7
"""What reads thicker than this is found without the help of `thin_layers_mm`."""

RUN_MM = (-1.0, 1.5)
RUN_STEP_MM = 0.1
AVERAGINGS = 3
"""How often the labelled length is averaged over neighbouring vertices: over about 1 mm, so that the voxels' steps even
out and the mean is the layer's."""

CLEFT_MM = 2.0
"""A piece further than this behind the last one is not the same cartilage."""


def cartilage_share(
    knee: WorkingKnee, bone: int, cartilage: int, variance_mm2: float
) -> tuple[np.ndarray, np.ndarray]:
    """The field that is above 1/2 where cartilage fills the space outside the bone.

    Returns
    -------
    field : numpy.ndarray
        float32 (z, y, x): the cartilage's box with a margin.
    start : (3,) ints
        Index (i, j, k) of its first voxel in the working volume; may be negative.
    """
    box = knee.boxes[cartilage]
    padding = padding_voxels(variance_mm2, knee.volume.spacing)[::-1]
    low = np.array([s.start for s in box]) - padding
    high = np.array([s.stop for s in box]) + padding
    inside = tuple(slice(max(0, a), min(b, n)) for a, b, n in zip(low, high, knee.array.shape, strict=True))
    values = np.zeros(256, np.float32)
    values[[bone, cartilage]] = 0.5, 1.0
    mixed = np.take(values, knee.array[inside])
    # beyond the image nothing is known: the border's voxels go on, so that bone is not taken to end there
    outside = [(s.start - a, b - s.stop) for a, b, s in zip(low, high, inside, strict=True)]
    return smooth_binary(np.pad(mixed, outside, mode="edge"), variance_mm2, knee.volume.spacing), low[::-1]


def covering_pieces(
    knee: WorkingKnee, field: np.ndarray, start: np.ndarray, points: np.ndarray, normals: np.ndarray, length_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Thickness of the cartilage on the bone at surface points, and how far out it reaches.

    Parameters
    ----------
    field, start :
        From `cartilage_share`.
    points, normals : (n, 3) floats
        On the bone surface, LPS mm, and outward unit vectors.
    length_mm : float
        How far out to look.

    Returns
    -------
    thickness_mm, reach_mm : (n,) float64
        0 where there is none. Pieces that a cleft separates are summed.
    """
    volume = knee.volume
    origin = volume.to_indices(points) - start
    along = volume.to_indices(points + normals) - start - origin
    thickness, reach = np.zeros(len(points)), np.zeros(len(points))
    probes = np.arange(0.0, DETACHED_MM + STEP_MM / 2, STEP_MM)
    inside = ((origin > -4) & (origin < np.array(field.shape[::-1]) + 3)).all(axis=1)
    candidates = np.flatnonzero(inside)
    if len(candidates):
        near = (_sampled(field, origin[candidates], along[candidates], probes) >= LEVEL).any(axis=1)
        candidates = candidates[near]
    if len(candidates):
        distances = np.arange(0.0, length_mm + STEP_MM / 2, STEP_MM)
        values = _sampled(field, origin[candidates], along[candidates], distances)
        thickness[candidates], reach[candidates] = pieces_on_bone(values - LEVEL, distances)
    return thickness, reach


def layer_thickness_mm(read_mm: np.ndarray, variance_mm2: float) -> np.ndarray:
    """Thickness of the flat layers on flat bone that read like this after smoothing; 0 stays 0.

    With a layer from 0 to t over bone, and s the Gaussian's standard deviation, the field of `cartilage_share` less a
    half of the bone's is ``P((t - z) / s) - P(-z / s) / 2``, P the normal distribution: at least a half from the bone
    up to the length that is read, which is 0 for t below 0.67 s and approaches t beyond 3 s.
    """
    from scipy.special import ndtr, ndtri

    if variance_mm2 <= 0:
        return read_mm
    width = np.sqrt(variance_mm2)
    heights = np.linspace(0.0, 4.0, 801)
    lost = ndtri(0.5 + 0.5 * ndtr(-heights))  # (t - z) / s at the height z where the field falls to a half
    return np.where(read_mm > 0, read_mm + width * np.interp(read_mm / width, heights, lost), 0.0)


def thin_layers_mm(
    knee: WorkingKnee, cartilage: int, points: np.ndarray, normals: np.ndarray, triangles: np.ndarray
) -> np.ndarray:
    """Thickness of layers too thin for smoothing to leave, from the label itself.

    The length of each vertex's normal within the label, averaged over the vertices around, which is the layer's
    thickness however the voxels fall; 0 where fewer than half of them lie under the label.

    Parameters
    ----------
    points, normals : (n, 3) floats
        On the bone surface, LPS mm, and outward unit vectors.
    triangles : (m, 3) ints
        Of the bone surface.

    Returns
    -------
    (n,) float64, mm
    """
    length = np.zeros(len(points))
    volume, box = knee.volume, knee.boxes[cartilage]
    start = volume.to_indices(points)
    along = volume.to_indices(points + normals) - start
    reach = RUN_MM[1] / volume.spacing.min() + 1
    low, high = (np.array([getattr(s, end) for s in reversed(box)]) for end in ("start", "stop"))
    near = np.flatnonzero(((start > low - reach) & (start < high + reach)).all(axis=1))
    steps = np.arange(RUN_MM[0], RUN_MM[1] + RUN_STEP_MM / 2, RUN_STEP_MM)
    index = np.rint(start[near, None] + steps[:, None] * along[near, None]).astype(np.int64)
    inside = ((index >= 0) & (index < volume.size)).all(axis=2)
    index = np.clip(index, 0, np.array(volume.size) - 1)
    labelled = inside & (knee.array[index[..., 2], index[..., 1], index[..., 0]] == cartilage)
    length[near] = labelled.sum(axis=1) * RUN_STEP_MM
    present, mean = (length > 0).astype(float), np.minimum(length, 2 * THIN_MM)
    for _ in range(AVERAGINGS):
        present, mean = (neighbour_mean(triangles, values) for values in (present, mean))
    return np.where(present >= 0.5, np.minimum(mean, THIN_MM), 0.0)


def neighbour_mean(triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each vertex's value averaged with those of the vertices it shares triangles with, (n,) float64."""
    summed, count = values.astype(float), np.ones(len(values))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        for one, other in ((a, b), (b, a)):
            summed = summed + np.bincount(triangles[:, one], weights=values[triangles[:, other]], minlength=len(values))
            count = count + np.bincount(triangles[:, one], minlength=len(values))
    return summed / count


def _sampled(field: np.ndarray, origin: np.ndarray, along: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """(n, k) trilinear values at ``origin + distance * along`` (index coordinates i, j, k)."""
    from scipy.ndimage import map_coordinates

    coordinates = np.empty((3, len(origin), len(distances)), np.float32)
    for axis in range(3):
        coordinates[2 - axis] = origin[:, axis, None] + along[:, axis, None] * distances
    return map_coordinates(field, coordinates, order=1, mode="constant", output=np.float32)


def pieces_on_bone(excess: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the stretches with positive ``excess`` of each row, as long as they lie on the bone and on each other.

    Parameters
    ----------
    excess : (n, k) floats
        Sampled along each ray; between samples it is taken as linear.
    distances : (k,) floats
        Increasing from 0 (the bone), mm.

    Returns
    -------
    thickness_mm, reach_mm : (n,) float64
        Summed length of the stretches, and where the last of them ends; 0 where there is none.
    """
    thickness, reach = np.zeros(len(excess)), np.zeros(len(excess))
    begun = np.where(excess[:, 0] > 0, 0.0, np.nan)
    limit = np.full(len(excess), DETACHED_MM)
    for column in range(1, len(distances)):
        before, here = excess[:, column - 1], excess[:, column]
        goes_in, goes_out = (before <= 0) & (here > 0), (before > 0) & (here <= 0)
        last = column == len(distances) - 1
        if not last and not goes_in.any() and not goes_out.any():
            continue
        share = np.divide(before, before - here, out=np.ones_like(before), where=before != here)
        crossing = distances[column - 1] + share * (distances[column] - distances[column - 1])
        begun = np.where(goes_in, crossing, begun)
        ends = goes_out | ((here > 0) if last else False)
        crossing = np.where(goes_out, crossing, distances[column])
        counts = ends & (begun <= limit)
        thickness = np.where(counts, thickness + crossing - begun, thickness)
        reach = np.where(counts, crossing, reach)
        limit = np.where(counts, crossing + CLEFT_MM, limit)
    return thickness, reach
