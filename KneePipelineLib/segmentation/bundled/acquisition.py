"""What the scanner does to an image: thick slices, blur, coil shading, noise, windowing, a limited field of view."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from .deform import normal, smooth_noise, uniform


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of a (z, y, x) image, ``sigma`` in voxels, separable; the border is repeated."""
    if sigma < 0.2:
        return image
    radius = max(1, math.ceil(2.5 * sigma))
    weights = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    for axis in range(3):
        padding = [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        wide = functional.pad(image[None, None], padding, mode="replicate")[0, 0]
        n = image.shape[axis]
        out = wide.narrow(axis, radius, n) * (weights[0] / total)
        for tap in range(1, radius + 1):
            pair = wide.narrow(axis, radius - tap, n) + wide.narrow(axis, radius + tap, n)
            out.add_(pair, alpha=weights[tap] / total)
        image = out
    return image


def thick_slices(image: torch.Tensor, axis: int, factor: float) -> torch.Tensor:
    """Average ``factor`` voxels along one axis and interpolate back: slices thicker than the network's voxels."""
    shape = list(image.shape)
    thick = list(shape)
    thick[axis] = max(6, round(shape[axis] / factor))
    down = functional.interpolate(image[None, None], size=thick, mode="area")
    return functional.interpolate(down, size=shape, mode="trilinear", align_corners=False)[0, 0]


def acquire(image: torch.Tensor, spacing_mm: float, generator: torch.Generator) -> torch.Tensor:
    """One random acquisition of a (z, y, x) image with voxels of ``spacing_mm``; float32, same shape."""
    if uniform(generator, 0, 1) < 0.65:
        along = uniform(generator, 0, 1)
        axis = 0 if along < 0.6 else (1 if along < 0.8 else 2)
        thickness_mm = 0.5 + 3.5 * uniform(generator, 0, 1) ** 1.5  # thin slices are the more common ones
        if thickness_mm > 1.2 * spacing_mm:
            image = thick_slices(image, axis, thickness_mm / spacing_mm)
    image = blur(image, uniform(generator, 0.2, 0.9))
    shape, device = tuple(image.shape), image.device
    image = image * torch.exp(uniform(generator, 0, 0.4) * smooth_noise(shape, 40, generator, device))
    sigma = 0.07 * uniform(generator, 0, 1) ** 2
    noise = [sigma * torch.randn(shape, generator=generator, device=device) for _ in range(2)]
    image = torch.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)  # magnitude images: Rician noise
    image = image.clamp_min(1e-4) ** math.exp(normal(generator, 0.25))
    return _window(image)


def field_of_view(shape: tuple[int, int, int], spacing_mm: float, whole: bool,
                  generator: torch.Generator) -> torch.Tensor:
    """Which voxels of a patch the scan shows: bool (z, y, x).

    Parameters
    ----------
    whole : bool
        The patch is larger than a scan: a box of 70 to 170 mm a side lies somewhere in it. Otherwise a patch of a scan,
        which now and then reaches beyond its border.
    """
    seen = torch.ones(shape, dtype=torch.bool, device=generator.device)
    for axis, n in enumerate(shape):
        first, last = 0, n
        if whole:
            length = min(n, round(uniform(generator, 70 if axis == 0 else 90, 170) / spacing_mm))
            first = int(uniform(generator, 0, n - length + 1))
            last = first + length
        elif uniform(generator, 0, 1) < 0.2:
            cut = int(uniform(generator, 0.02, 0.3) * n)
            first, last = (cut, n) if uniform(generator, 0, 1) < 0.5 else (0, n - cut)
        seen.narrow(axis, 0, first).fill_(False)
        seen.narrow(axis, last, n - last).fill_(False)
    return seen


def _window(image: torch.Tensor) -> torch.Tensor:
    sample = image.flatten()[:: max(1, image.numel() // 100_000)]
    low, high = torch.quantile(sample, torch.tensor([0.005, 0.995], device=image.device))
    return ((image - low) / (high - low + 1e-6)).clamp(0, 1.2)
