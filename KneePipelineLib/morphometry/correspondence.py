"""Where a point of one bone lies on another person's bone: a trimmed affine match, then a few smooth bends.

Both surfaces are given in knee frames (right knee: medial, posterior, superior). Pairs are nearest points in both
directions whose normals agree; the worst of them are left out, so that osteophytes, the cut face of a shaft that the
image ends in, or a part that is out of view do not pull the rest (trimmed iterative closest point, Chetverikov et al.,
Image Vision Comput 2005;23:299-309, with a step along the normals mostly, as Chen and Medioni's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SAMPLES = 1200
KEPT = 0.85
"""The share of the pairs that counts: the worst 15 % are trimmed."""

LENGTH_MM = 30.0
"""About how far a bone's points lie from their middle: turns and shifts are of one size in these units."""

SAME_SIDE = 0.5
"""Least cosine between the normals of a pair."""

ROUNDS = (("rigid", 10), ("similarity", 3), ("affine", 7))
"""Kind of map and rounds."""

SLIDE = 0.05
"""How much a pair's offset across the normal weighs beside that along it: enough to hold what can slide freely."""

BENDS, BEND_ROUNDS, BEND_MM, STIFFNESS = 80, 6, 14.0, 1.0
"""Gaussian bends: how many, in how many rounds, how wide, and how strongly they are held back."""

Map = Callable[[np.ndarray], np.ndarray]


class Surface(Protocol):
    """What a template is asked for: points and normals (n, 3) and a search tree of the points."""

    points: np.ndarray
    normals: np.ndarray
    tree: object


@dataclass(frozen=True, eq=False)
class Correspondence:
    """A map from a person's bone onto a template's.

    Attributes
    ----------
    onto : callable
        (n, 3) mm in the person's frame -> (n, 3) mm in the template's.
    residual_mm : float
        Root mean square distance of the pairs that count.
    turn : (3, 3) float64
        The rotation in it, before stretching and bending.
    """

    onto: Map
    residual_mm: float
    turn: np.ndarray


def correspond(points: np.ndarray, normals: np.ndarray, target: Surface, near: np.ndarray,
               shown: Callable[[np.ndarray], np.ndarray], centred: bool = False) -> Correspondence:
    """Map a bone's vertices onto a template's.

    Parameters
    ----------
    points, normals : (n, 3) floats
        The person's vertices (mm) and outward unit normals.
    target : Surface
        The template.
    near : (n,) bool
        A first guess which of them lie where the template shows the bone.
    shown : callable
        Which points in the template's frame, (m, 3) -> (m,) bool, lie where it shows the bone: said again after the
        first turn, because a bent knee's frame leans.
    centred : bool
        Begin with the centroids on each other; where the frames are of another bone.
    """
    rng = np.random.default_rng(0)
    others = rng.choice(len(target.points), min(SAMPLES, len(target.points)), replace=False)
    pairs = _Pairs(target, others)
    linear, shift = np.eye(3), np.zeros(3)
    if centred:
        shift = pairs.points.mean(axis=0) - points[near].mean(axis=0)
    turn = linear
    for kind, rounds in ROUNDS:
        if kind != "affine":
            chosen = rng.permutation(np.flatnonzero(near))[:SAMPLES]
        own, own_normals = points[chosen], normals[chosen]
        for _ in range(rounds):
            moved = own @ linear.T + shift
            which, there, across, _ = pairs.of(moved, _turned(own_normals, linear))
            more, push = _step(moved[which], there, across, kind)
            linear, shift = more @ linear, more @ shift + push
        if kind != "affine":
            turn = linear / np.cbrt(np.linalg.det(linear))
            inside = shown(points @ linear.T + shift)
            near = inside if inside.sum() > SAMPLES / 4 else near
    return _bent(own, own_normals, linear, shift, pairs, rng, turn)


def _bent(own: np.ndarray, own_normals: np.ndarray, linear: np.ndarray, shift: np.ndarray, pairs: _Pairs,
          rng: np.random.Generator, turn: np.ndarray) -> Correspondence:
    """The linear map with smooth bends that take the rest of the distance along the normals."""
    straight = own @ linear.T + shift
    centres = straight[rng.choice(len(own), min(BENDS, len(own)), replace=False)]
    basis = _gaussians(straight, centres)
    weights = np.zeros((len(centres), 3))
    turned = _turned(own_normals, linear)
    for _ in range(BEND_ROUNDS):
        moved = straight + basis @ weights
        which, there, across, _ = pairs.of(moved, turned)
        offset = there - moved[which]
        wanted = moved[which] + np.einsum("ij,ij->i", offset, across)[:, None] * across - straight[which]
        held = STIFFNESS * len(which) / len(centres) * np.eye(len(centres))
        weights = np.linalg.solve(basis[which].T @ basis[which] + held, basis[which].T @ wanted)
    residual = pairs.of(straight + basis @ weights, turned)[3]

    def onto(points: np.ndarray) -> np.ndarray:
        there = points @ linear.T + shift
        return there + _gaussians(there, centres) @ weights

    return Correspondence(onto, residual, turn)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Finds pairs between moved points and a template, in both directions; ``others`` are the template's that look."""

    target: Surface
    others: np.ndarray

    @property
    def points(self) -> np.ndarray:
        return self.target.points[self.others]

    def of(self, moved: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Index of each pair's moved point, its partner and the partner's normal; residual (mm)."""
        from scipy.spatial import cKDTree

        facing = self.target.normals
        there, nearest = self.target.tree.query(moved)
        back, own = cKDTree(moved, balanced_tree=False, compact_nodes=False).query(self.points)
        towards = self._trimmed(there, np.einsum("ij,ij->i", normals, facing[nearest]))
        from_there = self._trimmed(back, np.einsum("ij,ij->i", normals[own], facing[self.others]))
        which = np.concatenate([np.flatnonzero(towards), own[from_there]])
        partner = np.concatenate([nearest[towards], self.others[from_there]])
        residual = float(np.sqrt(np.mean(there[towards] ** 2))) if towards.any() else float("inf")
        return which, self.target.points[partner], facing[partner], residual

    @staticmethod
    def _trimmed(distance: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        facing = cosine > SAME_SIDE
        if not facing.any():
            return np.ones(len(distance), bool)
        last = int(KEPT * (np.count_nonzero(facing) - 1))
        return facing & (distance <= np.partition(distance[facing], last)[last])


def _turned(normals: np.ndarray, linear: np.ndarray) -> np.ndarray:
    turned = normals @ np.linalg.inv(linear)
    return turned / np.maximum(np.linalg.norm(turned, axis=1), 1e-9)[:, None]


def _step(points: np.ndarray, there: np.ndarray, across: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift that bring points nearer to the planes through their partners (Chen and Medioni 1992).

    A ``rigid`` map has three turns, a ``similarity`` a stretch as well, an ``affine`` one nine entries; all a shift.
    """
    middle = points.mean(axis=0)
    centred, offset = (points - middle) / LENGTH_MM, there - points
    entries = np.eye(9).reshape(9, 3, 3)
    if kind != "affine":
        turns = [np.cross(axis, np.eye(3)).T for axis in np.eye(3)]
        entries = np.array([*turns, np.eye(3)][: 3 if kind == "rigid" else 4])
    moves = np.concatenate([np.einsum("kij,nj->nik", entries, centred),
                            np.broadcast_to(np.eye(3), (len(points), 3, 3))], axis=2)
    toward = np.einsum("nik,ni->nk", moves, across)
    normal = toward.T @ toward + SLIDE * np.einsum("nik,nil->kl", moves, moves)
    wanted = toward.T @ np.einsum("ni,ni->n", offset, across) + SLIDE * np.einsum("nik,ni->k", moves, offset)
    solved = np.linalg.solve(normal + 1e-9 * np.eye(len(normal)), wanted)
    matrix = np.eye(3) + np.einsum("k,kij->ij", solved[:-3], entries) / LENGTH_MM
    if kind != "affine":
        u, _, v = np.linalg.svd(matrix)
        scale = 1.0 if kind == "rigid" else float(np.cbrt(np.linalg.det(matrix)))
        matrix = scale * u @ v
    return matrix, solved[-3:] + middle - matrix @ middle


def _gaussians(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return np.exp(cdist(points, centres, "sqeuclidean") / (-2 * BEND_MM**2))
