"""From functions to voxels, fast: only blocks of voxels that a boundary may cross are evaluated point by point.

The grid is cut into blocks about 3 mm wide. Every layer's function is evaluated at the blocks' centres; where it is
further from zero than the block's half diagonal (with a margin, since the functions are only about distances) the block
is wholly inside or outside. The remaining blocks are grouped by the layers they need, so that each group is one batch.
Layers are painted in order, later ones over earlier ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy, Fields
from .grid import Grid

BLOCK_MM = 3.0
MARGIN = 1.6
"""The functions' slope stays below this near their surfaces (checked against full evaluation in the tests)."""
CHUNK_POINTS = 120_000

Shade = np.ndarray | Callable[[Fields], np.ndarray]
"""What a layer looks like: one value per channel, shape (channels,), or a function giving (n, channels)."""


@dataclass(frozen=True)
class Layer:
    """One thing to paint.

    Parameters
    ----------
    name : str
    distance : callable
        Fields -> about the signed distance (canonical mm) to the layer's boundary.
    bound : callable, optional
        A cheaper or safer distance for the test at block centres; ``distance`` by default.
    shade : array or callable
    """

    name: str
    distance: Callable[[Fields], np.ndarray]
    shade: Shade
    bound: Callable[[Fields], np.ndarray] | None = None


@dataclass(frozen=True)
class Frame:
    """The similarity from LPS mm to the canonical knee: ``q = matrix @ p + offset``."""

    matrix: np.ndarray
    offset: np.ndarray
    scale: float

    def to_canonical(self, points: np.ndarray) -> np.ndarray:
        """Canonical coordinates, shape (..., 3), of LPS points in mm, shape (..., 3)."""
        return np.asarray(points, dtype=np.float64) @ self.matrix.T + self.offset

    def to_physical(self, points: np.ndarray) -> np.ndarray:
        """LPS mm of canonical points, shape (..., 3)."""
        return (np.asarray(points, dtype=np.float64) - self.offset) @ np.linalg.inv(self.matrix).T


def _lattice(axes: list[np.ndarray]) -> np.ndarray:
    """Every combination (i, j, k) of three axes, i fastest, shape (n, 3)."""
    k, j, i = np.meshgrid(*axes[::-1], indexing="ij")
    return np.stack([i, j, k], axis=-1).reshape(-1, 3)


class _Blocks:
    """The grid as blocks of whole voxels, each voxel sampled at ``subsamples`` points per axis."""

    def __init__(self, grid: Grid, frame: Frame, subsamples: tuple[int, int, int]) -> None:
        self.grid = grid
        spacing = np.array(grid.spacing)
        wanted = np.maximum(1, np.round(BLOCK_MM / spacing)).astype(int)
        self.voxels = np.minimum(wanted, grid.size)
        self.counts = -(-np.array(grid.size) // self.voxels)
        # Canonical coordinates are affine in the index: base of the block plus offset of the sample.
        self._step = frame.matrix @ (grid.direction * spacing)
        self._start = frame.to_canonical(np.array(grid.origin))
        self._offsets = self._sample_offsets(subsamples)
        half = (self.voxels * spacing) / 2 / frame.scale
        self.half_diagonal = float(np.linalg.norm(half))
        self.samples = int(np.prod(subsamples))
        self._corner = _lattice([np.arange(n) for n in self.counts]) * self.voxels

    def _sample_offsets(self, subsamples: tuple[int, int, int]) -> np.ndarray:
        inner = [(np.arange(n) + 0.5) / n - 0.5 for n in subsamples]
        voxel = _lattice([np.arange(n) for n in self.voxels])
        sub = _lattice(inner)
        return (voxel[:, None] + sub[None]).reshape(-1, 3) @ self._step.T

    def __len__(self) -> int:
        return len(self._corner)

    def centres(self) -> tuple[np.ndarray, ...]:
        points = (self._corner + (self.voxels - 1) / 2) @ self._step.T + self._start
        return tuple(np.ascontiguousarray(c) for c in points.T.astype(np.float32))

    def points(self, blocks: np.ndarray) -> tuple[np.ndarray, ...]:
        base = self._corner[blocks] @ self._step.T + self._start
        return tuple((base[:, None, c] + self._offsets[None, :, c]).astype(np.float32).ravel() for c in range(3))

    def assemble(self, values: np.ndarray) -> np.ndarray:
        """Values (blocks, voxels, channels) as an array (channels, slices, rows, columns)."""
        (ci, cj, ck), (vi, vj, vk) = self.counts, self.voxels
        whole = values.reshape(ck, cj, ci, vk, vj, vi, -1).transpose(6, 0, 3, 1, 4, 2, 5)
        whole = whole.reshape(-1, ck * vk, cj * vj, ci * vi)
        return np.ascontiguousarray(whole[:, :self.grid.size[2], :self.grid.size[1], :self.grid.size[0]])


def _states(anatomy: Anatomy, blocks: _Blocks, layers: list[Layer]) -> np.ndarray:
    """(layers, blocks): -1 where a block lies wholly inside a layer, 1 outside, 0 where it must be evaluated."""
    centres = blocks.centres()
    reach = MARGIN * blocks.half_diagonal + 0.6
    states = np.empty((len(layers), len(blocks)), dtype=np.int8)
    step = CHUNK_POINTS
    for start in range(0, len(blocks), step):
        part = slice(start, start + step)
        fields = Fields(anatomy, tuple(c[part] for c in centres))
        for n, layer in enumerate(layers):
            value = (layer.bound or layer.distance)(fields)
            states[n, part] = np.where(value > reach, 1, np.where(value < -reach, -1, 0))
            if layer.bound is not None:
                states[n, part] = np.maximum(states[n, part], 0)
    return states


def _groups(states: np.ndarray) -> Iterator[tuple[int, list[int], np.ndarray]]:
    """(topmost layer that fills the block or -1, layers to evaluate above it, block numbers) for each kind of block."""
    count = len(states)
    rank = np.arange(count)[:, None]
    base = np.where(states == -1, rank, -1).max(axis=0)
    needed = (states == 0) & (rank > base)
    code = (needed * (1 << rank.astype(np.int64))).sum(axis=0) * (count + 1) + base + 1
    order = np.argsort(code, kind="stable")
    edges = np.flatnonzero(np.diff(code[order], prepend=-1))
    for first, last in zip(edges, [*edges[1:], len(order)], strict=True):
        members = order[first:last]
        yield int(base[members[0]]), np.flatnonzero(needed[:, members[0]]).tolist(), members


def paint(anatomy: Anatomy, frame: Frame, grid: Grid, layers: list[Layer], background: np.ndarray, *,
          subsamples: tuple[int, int, int] = (1, 1, 1), soft: bool = False,
          dtype: type = np.float32) -> np.ndarray:
    """Paint layers over a background.

    Parameters
    ----------
    layers : list of Layer
        From the lowest to the topmost; at most 40.
    background : (channels,) array
    subsamples : (3,) ints
        Samples along i, j, k within each voxel, averaged.
    soft : bool
        Blend each boundary over one sample's width (anti-aliasing) instead of cutting it.

    Returns
    -------
    numpy.ndarray
        Shape (channels, slices, rows, columns).
    """
    blocks = _Blocks(grid, frame, subsamples)
    channels = len(background)
    out = np.empty((len(blocks), int(np.prod(blocks.voxels)), channels), dtype=dtype)
    fine = np.array(grid.spacing) / subsamples
    width = float(np.prod(fine) ** (1 / 3)) / frame.scale
    per_block = out.shape[1] * blocks.samples
    step = max(1, CHUNK_POINTS // per_block)

    def fill(job: tuple[Shade, list[Layer], np.ndarray]) -> None:
        ground, above, part = job
        if not above and not callable(ground):
            out[part] = ground
            return
        values = _compose(Fields(anatomy, blocks.points(part)), ground, above, channels, width if soft else 0.0)
        values = values.reshape(len(part), out.shape[1], blocks.samples, channels)
        out[part] = values[:, :, 0] if blocks.samples == 1 else values.mean(axis=2)

    jobs = [(background if base < 0 else layers[base].shade, [layers[n] for n in needed], members[start:start + step])
            for base, needed, members in _groups(_states(anatomy, blocks, layers))
            for start in range(0, len(members), step)]
    # numpy computes outside the interpreter lock, and every job writes its own blocks: threads change nothing else.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(fill, jobs))
    return blocks.assemble(out)


def _compose(fields: Fields, ground: Shade, layers: list[Layer], channels: int, width: float) -> np.ndarray:
    count = len(fields.p[0])
    values = np.empty((count, channels), dtype=np.float32)
    values[:] = ground(fields) if callable(ground) else ground
    for layer in layers:
        distance = layer.distance(fields)
        if width == 0:
            chosen = np.flatnonzero(distance < 0)
            if len(chosen):
                values[chosen] = layer.shade(fields)[chosen] if callable(layer.shade) else layer.shade
            continue
        chosen = np.flatnonzero(distance < width / 2)
        if not len(chosen):
            continue
        share = np.minimum(0.5 - distance[chosen] / width, 1)[:, None]
        shade = layer.shade(fields)[chosen] if callable(layer.shade) else layer.shade
        values[chosen] += share * (shade - values[chosen])
    return values
