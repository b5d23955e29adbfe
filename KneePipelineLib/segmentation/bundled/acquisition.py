"""What the scanner does to an image: thick slices, blur, coil shading, noise, windowing, a limited field of view."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from .deform import normal, smooth_noise, uniform


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of a (z, y, x) image, ``sigma`` in voxels, separable."""
    if sigma < 0.2:
        return image
    radius = max(1, math.ceil(2.5 * sigma))
    taps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    out = image[None, None]
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]
        shape[2 + axis] = len(taps)
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        out = functional.conv3d(functional.pad(out, padding, mode="replicate"), kernel.view(shape))
    return out[0, 0]


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
        thickness_mm = uniform(generator, 0.5, 4.0)
        if thickness_mm > 1.2 * spacing_mm:
            image = thick_slices(image, axis, thickness_mm / spacing_mm)
    image = blur(image, uniform(generator, 0.2, 0.9))
    shape, device = tuple(image.shape), image.device
    image = image * torch.exp(uniform(generator, 0, 0.4) * smooth_noise(shape, 40, generator, device))
    sigma = uniform(generator, 0, 0.07)
    noise = [sigma * torch.randn(shape, generator=generator, device=device) for _ in range(2)]
    image = torch.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)  # magnitude images: Rician noise
    image = image.clamp_min(1e-4) ** math.exp(normal(generator, 0.25))
    return _window(image)


def limit_field_of_view(image: torch.Tensor, labels: torch.Tensor,
                        generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Sometimes cut the image and its labels off at a plane: zeros beyond, as at the border of a real scan."""
    for axis in range(3):
        for end in (0, 1):
            if uniform(generator, 0, 1) > 0.12:
                continue
            cut = int(uniform(generator, 0.02, 0.22) * image.shape[axis])
            where = slice(0, cut) if end == 0 else slice(image.shape[axis] - cut, None)
            index = tuple(where if a == axis else slice(None) for a in range(3))
            image, labels = image.clone(), labels.clone()
            image[index] = 0
            labels[index] = 0
    return image, labels


def _window(image: torch.Tensor) -> torch.Tensor:
    sample = image.flatten()[:: max(1, image.numel() // 100_000)]
    low, high = torch.quantile(sample, torch.tensor([0.005, 0.995], device=image.device))
    return ((image - low) / (high - low + 1e-6)).clamp(0, 1.2)
