"""Many knees from few: random pose, size, side and elastic deformation of a tissue map, sampled on a patch.

Everything is a torch tensor on one device; a patch of 96^3 takes milliseconds on a GPU. Axes are (z, y, x) as in a
Volume that is oriented to the network's order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class DeformationRange:
    """How far a map may be bent. Angles in degrees, lengths in mm."""

    angle_deg: float = 14.0
    scale: tuple[float, float] = (0.8, 1.2)
    anisotropy: float = 0.08
    elastic_mm: float = 4.0
    fine_elastic_mm: float = 1.0
    mirror: float = 0.5
    centre_jitter: float = 0.14


def smooth_noise(shape: tuple[int, int, int], cell: float, generator: torch.Generator,
                 device: torch.device) -> torch.Tensor:
    """Gaussian noise of unit size whose neighbours agree over about ``cell`` voxels, shape ``shape``."""
    coarse = [max(2, math.ceil(n / cell) + 1) for n in shape]
    noise = torch.randn(1, 1, *coarse, generator=generator, device=device)
    return functional.interpolate(noise, size=shape, mode="trilinear", align_corners=True)[0, 0]


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """One number from [low, high)."""
    return low + (high - low) * torch.rand((), generator=generator, device=generator.device).item()


def normal(generator: torch.Generator, sigma: float) -> float:
    """One number from N(0, sigma^2)."""
    return sigma * torch.randn((), generator=generator, device=generator.device).item()


def rotation(angles_rad: tuple[float, float, float]) -> torch.Tensor:
    """(3, 3) rotation about z, then y, then x."""
    (ca, cb, cc), (sa, sb, sc) = ([f(a) for a in angles_rad] for f in (math.cos, math.sin))
    about_x = torch.tensor([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = torch.tensor([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = torch.tensor([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return (about_x @ about_y @ about_z).to(torch.float32)


def sampling_points(map_shape: tuple[int, int, int], map_spacing_mm: float, patch: tuple[int, int, int],
                    patch_spacing_mm: float, limits: DeformationRange, generator: torch.Generator) -> torch.Tensor:
    """Where each voxel of a deformed patch lies in the map.

    Returns
    -------
    torch.Tensor
        Shape (z, y, x, 3), in voxels of the map in the order (z, y, x).
    """
    device = generator.device
    axes = [torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2 for n in patch]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) * patch_spacing_mm
    angles = tuple(math.radians(normal(generator, limits.angle_deg)) for _ in range(3))
    size = uniform(generator, *limits.scale)
    stretch = torch.tensor([1 / (size * math.exp(normal(generator, limits.anisotropy))) for _ in range(3)])
    if uniform(generator, 0, 1) < limits.mirror:
        stretch[0] = -stretch[0]  # the first array axis runs from side to side
    points = points @ (rotation(angles) * stretch).T.to(device)
    amplitude = limits.elastic_mm * uniform(generator, 0, 1) ** 2
    for axis in range(3):
        cell_mm = uniform(generator, 14, 45)
        points[..., axis] += amplitude * smooth_noise(patch, cell_mm / patch_spacing_mm, generator, device)
        fine = uniform(generator, 0, limits.fine_elastic_mm)
        points[..., axis] += fine * smooth_noise(patch, 8.4 / patch_spacing_mm, generator, device)
    extent = torch.tensor(map_shape, device=device, dtype=torch.float32)
    jitter = (torch.rand(3, generator=generator, device=device) * 2 - 1) * limits.centre_jitter * extent
    return points.div_(map_spacing_mm).add_(extent / 2 - 0.5 + jitter)


def sample_nearest(points: torch.Tensor, *maps: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The nearest voxel of every map at each point, and where the point lies inside the maps.

    Parameters
    ----------
    points : (z, y, x, 3) torch.Tensor
        In voxels of the maps.
    maps : torch.Tensor
        All of one shape.

    Returns
    -------
    inside : bool (z, y, x) torch.Tensor
    values : list of (z, y, x) torch.Tensor
        Each of its map's type; outside, the value at the border.
    """
    shape = maps[0].shape
    index = points.round().to(torch.int32)
    inside = torch.ones(points.shape[:3], dtype=torch.bool, device=points.device)
    flat = torch.zeros(points.shape[:3], dtype=torch.int32, device=points.device)
    for axis, n in enumerate(shape):
        along = index[..., axis]
        inside &= (along >= 0) & (along < n)
        flat = flat * n + along.clamp(0, n - 1)
    flat = flat.flatten().long()
    return inside, [m.flatten()[flat].view(points.shape[:3]) for m in maps]
