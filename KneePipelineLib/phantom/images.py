"""Images of the digital knee: tissues painted with their signals, partial volume, texture, receive field and noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..imaging import Volume
from . import soft_tissue
from .anatomy import Fields
from .grid import Grid
from .render import Frame, Layer, paint
from .tissues import CARTILAGE_DENSITY, TISSUES, CartilageT2, CartilageTable, Dess, Sequence, tissue_signal

FINE_MM, MOST_SAMPLES = 0.4, 4
"""Voxels much larger than this are sampled several times along an axis, but not more often than that."""
CARTILAGES = ("femoral", "medial_tibial", "lateral_tibial", "patellar")
BONES = ("femur", "tibia", "patella", "fibula")
REFERENCE_T2_MS = 40.0


def relative_depth(fields: Fields, cartilage: str) -> np.ndarray:
    """0 at the bone, 1 at the outer surface, shape (n,)."""
    beyond, thickness = fields.outer(cartilage)
    return np.clip((beyond + thickness) / np.maximum(thickness, 1e-3), 0, 1)


def render(knee: object, grid: Grid, sequence: Sequence, *, t2: CartilageT2, soft: bool,
           texture: float) -> np.ndarray:
    """Noise-free signals of every channel of the sequence, shape (channels, slices, rows, columns), float32."""
    channels = len(sequence.echo_times_ms)
    signal = {name: np.array([*tissue_signal(name, sequence), TISSUES[name].texture], np.float32) for name in TISSUES}
    table = CartilageTable(sequence, t2)

    def cartilage(name: str) -> Callable[[Fields], np.ndarray]:
        def shade(fields: Fields) -> np.ndarray:
            out = np.zeros((len(fields.p[0]), channels + 1), np.float32)
            out[:, :channels] = table(t2(relative_depth(fields, name)))
            return out
        return shade

    joint = [Layer(layer.name, layer.distance, signal["meniscus"], layer.bound)
             for layer in knee.label_layers if layer.name in ("medial", "lateral")]
    joint += [Layer(layer.name, layer.distance, cartilage(layer.name), layer.bound)
              for layer in knee.label_layers if layer.name in CARTILAGES]
    for bone in BONES:
        joint.append(Layer(bone, lambda f, b=bone: f.grown(b), signal["cortex"]))
        joint.append(Layer(f"{bone} marrow", lambda f, b=bone: soft_tissue.marrow(b, f), signal["marrow"]))
    physis = np.zeros(channels + 1, np.float32)
    physis[:channels] = table(np.array([REFERENCE_T2_MS]))[0]
    joint += [Layer(f"{bone} physis", lambda f, b=bone: f.physis(b), physis) for bone in knee.anatomy.physis_heights]
    subsamples = tuple(int(np.clip(round(s / FINE_MM), 1, MOST_SAMPLES)) for s in grid.spacing) if soft else (1, 1, 1)
    painted = paint(knee.anatomy, knee.frame, grid, soft_tissue.layers(signal) + joint, signal["air"],
                    subsamples=subsamples, soft=soft)
    if texture:
        grain = _smooth_field(grid, _Grain(knee.seed, knee.frame))
        grain *= painted[-1] * texture
        painted[:-1] *= 1 + grain
    return painted[:-1]


def acquire(clean: np.ndarray, grid: Grid, sequence: Sequence, *, snr: float | None, bias: float,
            seed: int) -> np.ndarray:
    """Receive field and Rician noise on top of clean channels, in place.

    Parameters
    ----------
    snr : float or None
        Cartilage signal of the first channel (T2 40 ms) over the standard deviation of the noise; None: no noise.
    bias : float
        Largest relative deviation of the smooth receive field, the same for every channel.
    """
    rng = np.random.default_rng([int(seed), 7])
    if bias:
        clean *= 1 + bias * _smooth_field(grid, _receive_field(rng))
    if snr:
        reference = sequence.signal(1200.0, np.array([REFERENCE_T2_MS]), 1.25e-9)[0, 0]
        sigma = np.float32(reference * CARTILAGE_DENSITY * sequence.gain / snr)
        for channel in clean:
            for plane in channel:
                real = plane + sigma * rng.standard_normal(plane.shape, dtype=np.float32)
                np.hypot(real, sigma * rng.standard_normal(plane.shape, dtype=np.float32), out=plane)
    return clean


class _Grain:
    """Trabecular and fibre texture: a seeded lattice of normal numbers that moves with the knee, at two scales."""

    def __init__(self, seed: int, frame: Frame) -> None:
        self.frame = frame
        self.values = np.random.default_rng([int(seed), 11]).standard_normal((64, 64, 64), dtype=np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        points = self.frame.to_canonical(points)
        total = np.zeros(points.shape[:-1], np.float32)
        for pitch_mm, share in ((2.2, 0.8), (6.5, 0.6)):
            total += share * self._trilinear(points / pitch_mm)
        return total

    def _trilinear(self, at: np.ndarray) -> np.ndarray:
        """Linear interpolation in the lattice, which repeats itself."""
        low = np.floor(at).astype(np.int32)
        t = (at - low).astype(np.float32)
        total = np.zeros(at.shape[:-1], np.float32)
        for corner in np.ndindex(2, 2, 2):
            index = tuple((low[..., c] + corner[c]) % 64 for c in range(3))
            weight = np.prod([t[..., c] if corner[c] else 1 - t[..., c] for c in range(3)], axis=0)
            total += weight * self.values[index]
        return total


def _receive_field(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    linear, curved = rng.uniform(-1, 1, 3), rng.uniform(-1, 0.3, 3)

    def field(points: np.ndarray) -> np.ndarray:
        u = np.clip(points / 75.0, -1.5, 1.5)
        return np.clip((u @ linear) * 0.5 + (u * u) @ curved * 0.5, -1, 1).astype(np.float32)

    return field


def _smooth_field(grid: Grid, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A field that varies over millimetres, computed on a lattice of about 1.5 mm and interpolated to the voxels."""
    axes = []
    for size, spacing in zip(grid.size, grid.spacing, strict=True):
        nodes = max(2, round((size - 1) * spacing / 1.5) + 1) if size > 1 else 1
        axes.append(np.linspace(0, size - 1, nodes))
    k, j, i = np.meshgrid(*axes[::-1], indexing="ij")
    field = function(grid.to_physical(np.stack([i, j, k], axis=-1))).astype(np.float32)
    for axis, size in zip((2, 1, 0), grid.size, strict=True):
        nodes = field.shape[axis]
        if nodes == 1:
            field = np.repeat(field, size, axis=axis)
            continue
        t = np.linspace(0, nodes - 1, size)
        low = np.minimum(t.astype(int), nodes - 2)
        share = (t - low).astype(np.float32).reshape([-1 if n == axis else 1 for n in range(3)])
        first = np.take(field, low, axis=axis)
        first += share * (np.take(field, low + 1, axis=axis) - first)
        field = first
    return field


def volumes(channels: np.ndarray, grid: Grid, sequence: Sequence, side: str) -> list[Volume]:
    """One Volume per channel, with the acquisition in ``meta`` under the names that ``read_echoes`` uses."""
    spoiler = {"gl_area": sequence.gl_area, "tg_us": sequence.tg_us} if isinstance(sequence, Dess) else {}
    return [grid.volume(channel, modality="MR", echo_time_ms=te, repetition_time_ms=sequence.tr_ms,
                        flip_angle_deg=sequence.flip_deg, side=side, **spoiler)
            for channel, te in zip(channels, sequence.echo_times_ms, strict=True)]


def true_t2_map(knee: object, grid: Grid, t2: CartilageT2) -> np.ndarray:
    """T2 in ms at voxel centres inside cartilage, NaN elsewhere, float32, shape (slices, rows, columns)."""
    layers = []
    for layer in knee.label_layers:
        name = layer.name
        shade = (lambda f, n=name: t2(relative_depth(f, n))[:, None]) if name in CARTILAGES else np.array([np.nan])
        layers.append(Layer(name, layer.distance, shade, layer.bound))
    return paint(knee.anatomy, knee.frame, grid, layers, np.array([np.nan], np.float32))[0]
