"""From a patch of tissue labels to the image a scanner might have made of it (after SynthSeg, Billot et al., 2023)."""

from __future__ import annotations

import torch

from . import tissues
from .deform import smooth_noise, uniform


def dress(labels: torch.Tensor, depth_mm: torch.Tensor, generator: torch.Generator, film: int = 0) -> torch.Tensor:
    """Give unlabelled background soft tissue: patches of muscle, fat, fluid, tendon and vessel, skin, and air outside.

    Parameters
    ----------
    labels : torch.Tensor
        uint8, shape (z, y, x); 0 is the background to fill, 255 lies outside the map and becomes background too.
    depth_mm : torch.Tensor
        Distance in mm to the nearest labelled voxel, same shape.
    film : int
        Thickness in voxels of the joint fluid that lies, with gaps, on the cartilage; 0 for none.
    """
    shape, device = tuple(labels.shape), labels.device
    dressed = labels.clone()
    field = smooth_noise(shape, uniform(generator, 12, 26), generator, device)
    field = field + 0.6 * smooth_noise(shape, 8, generator, device)
    field = field + 0.3 * smooth_noise(shape, 4, generator, device)
    soft = torch.full_like(labels, tissues.MUSCLE)
    soft[field > uniform(generator, -0.4, 0.6)] = tissues.FAT
    thin = smooth_noise(shape, uniform(generator, 8, 16), generator, device)
    other = smooth_noise(shape, uniform(generator, 8, 16), generator, device)
    soft[thin.abs() < uniform(generator, 0.02, 0.1)] = tissues.TENDON  # a level set: sheets, like fasciae and tendons
    soft[(thin.abs() < 0.25) & (other.abs() < 0.25)] = tissues.VESSEL  # two level sets: tubes
    near = depth_mm < uniform(generator, 1.0, 4.0)
    soft[near & (other > uniform(generator, 0.3, 1.5))] = tissues.FLUID
    if film:
        wet = _grown((labels >= tissues.CARTILAGES[0]) & (labels <= tissues.CARTILAGES[-1]), film)
        soft[wet & (field > uniform(generator, -2.5, 0.3))] = tissues.FLUID
    thickness_mm = uniform(generator, 18, 50) + 4 * smooth_noise(shape, 24, generator, device)
    soft[depth_mm > thickness_mm - uniform(generator, 1, 3)] = tissues.SKIN
    soft[depth_mm > thickness_mm] = tissues.AIR
    background = (labels == 0) | (labels == tissues.UNKNOWN)
    dressed[background] = soft[background]
    return dressed


def add_cortex(tissue: torch.Tensor, generator: torch.Generator, spacing_mm: float = 0.8) -> torch.Tensor:
    """Turn the outermost one or two voxels of every bone into dark cortical bone, of uneven thickness.

    Parameters
    ----------
    spacing_mm : float
        Edge of a voxel. Where it is wider than cortical bone is thick, only some voxels' centres lie in that.
    """
    bone = _is_bone(tissue)
    rim = torch.zeros_like(bone)
    for axis in range(3):  # a bone voxel beside any other tissue
        n = tissue.shape[axis]
        differs = tissue.narrow(axis, 0, n - 1) != tissue.narrow(axis, 1, n - 1)
        rim.narrow(axis, 0, n - 1).logical_or_(differs)
        rim.narrow(axis, 1, n - 1).logical_or_(differs)
    if spacing_mm > 1:
        share = min(1.0, uniform(generator, 0.5, 2.0) / spacing_mm)
        rim &= torch.rand(tissue.shape, generator=generator, device=tissue.device) < share
    elif uniform(generator, 0, 1) < 0.3:
        rim = _grown(rim & bone, 1)
    patchy = smooth_noise(tuple(tissue.shape), 10, generator, tissue.device) > uniform(generator, -2.5, -0.5)
    return torch.where(rim & bone & patchy, torch.full_like(tissue, tissues.CORTEX), tissue)


def _grown(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """The mask and its face neighbours, ``voxels`` times."""
    for _ in range(voxels):
        grown = mask.clone()
        for axis, n in enumerate(mask.shape):
            grown.narrow(axis, 0, n - 1).logical_or_(mask.narrow(axis, 1, n - 1))
            grown.narrow(axis, 1, n - 1).logical_or_(mask.narrow(axis, 0, n - 1))
        mask = grown
    return mask


def _is_bone(tissue: torch.Tensor) -> torch.Tensor:
    table = torch.zeros(256, dtype=torch.bool, device=tissue.device)
    table[list(tissues.BONES)] = True
    return table[tissue.long()]


def paint(tissue: torch.Tensor, kind: str, generator: torch.Generator, spacing_mm: float = 0.8) -> torch.Tensor:
    """Brightness of every voxel, float32, about [0, 1]: tissue means, marrow texture, fine texture.

    Marrow is uneven (red marrow islands, trabeculae, bone marrow lesions): without that, a network calls a dark island
    of marrow cartilage.

    Parameters
    ----------
    tissue : torch.Tensor
        uint8, shape (z, y, x), values of `tissues`.
    kind : str
        As `tissues.brightness_table` takes it.
    spacing_mm : float
        Edge of a voxel.
    """
    table = tissues.brightness_table(kind, generator)
    if uniform(generator, 0, 1) < 0.75:
        tissue = add_cortex(tissue, generator, spacing_mm)
    image = table[tissue.long()]
    shape, device = tuple(tissue.shape), tissue.device
    bone = _is_bone(tissue)
    marrow = smooth_noise(shape, uniform(generator, 6, 20), generator, device)
    islands = (marrow > uniform(generator, 0.8, 2.0)).to(torch.float32) * uniform(generator, -0.35, 0.35)
    grain = smooth_noise(shape, 2.5, generator, device) * uniform(generator, 0, 0.06)
    image = image + torch.where(bone, islands + marrow * uniform(generator, 0, 0.08) + grain, torch.zeros_like(image))
    image = image + uniform(generator, 0, 0.07) * smooth_noise(shape, 2.5, generator, device)
    image = image + uniform(generator, 0, 0.05) * smooth_noise(shape, 5, generator, device)
    return image.clamp_min(0)
