"""Endless training pairs: an image that never was and its labels, from the anatomy bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from . import acquisition, painting, tissues
from .bank import Anatomy
from .deform import DeformationRange, sample_labels, sampling_grid, smooth_noise, uniform

NATIVE_OF_CANONICAL = {7: 1, 4: 2, 5: 3, 6: 4, 8: 5, 9: 6, 1: 7, 2: 8, 3: 9}
"""The network answers in the published networks' order (design, section 7)."""
CLASSES = 10
IGNORE = 255


@dataclass(frozen=True)
class PairOptions:
    """Patch shape (z, y, x) in voxels, voxel edge in mm, and whether the earlier stage's labels come along."""

    patch: tuple[int, int, int] = (80, 80, 80)
    spacing_mm: float = 1.4
    second_stage: bool = False


class PairSource:
    """Draws pairs with one seeded generator on one device.

    Parameters
    ----------
    bank : list of Anatomy
        Knees to deform; label maps (not dressed) and digital knees are drawn equally often as groups.
    """

    def __init__(self, bank: Sequence[Anatomy], options: PairOptions, seed: int, device: torch.device) -> None:
        self.options, self.device = options, device
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.knees = [(torch.from_numpy(a.labels).to(device), torch.from_numpy(a.depth_mm).to(device), a) for a in bank]
        self.groups = [g for g in ([k for k in self.knees if not k[2].dressed],
                                   [k for k in self.knees if k[2].dressed]) if g]
        self.to_native = torch.zeros(256, dtype=torch.uint8, device=device)
        for canonical, native in NATIVE_OF_CANONICAL.items():
            self.to_native[canonical] = native

    def draw(self, progress: float) -> tuple[torch.Tensor, torch.Tensor]:
        """One pair.

        Returns
        -------
        image : torch.Tensor
            float32 (channels, z, y, x), standardised; channels = 1, or 10 with the earlier stage's labels one-hot.
        labels : torch.Tensor
            int64 (z, y, x) in native order; 255 where the map cannot say.
        """
        g, o = self.generator, self.options
        group = self.groups[int(uniform(g, 0, len(self.groups)))]
        labels_map, depth_map, anatomy = group[int(uniform(g, 0, len(group)))]
        limits = DeformationRange(centre_jitter=0.3 if o.second_stage else 0.14)
        grid = sampling_grid(tuple(labels_map.shape), anatomy.spacing_mm, o.patch, o.spacing_mm, limits, g)
        tissue = sample_labels(labels_map, grid)
        depth = functional.grid_sample(depth_map[None, None].float(), grid, padding_mode="border",
                                       align_corners=False)[0, 0]
        beyond = tissue == tissues.UNKNOWN
        labels = self.to_native[tissue.long()]
        if not anatomy.dressed or uniform(g, 0, 1) < 0.5:
            tissue = torch.where(tissue <= 10, tissue, torch.zeros_like(tissue))
            tissue = painting.dress(tissue, depth, g)
        if uniform(g, 0, 1) < 0.5:
            tissue[beyond] = tissues.AIR
        tissue[tissue == tissues.UNKNOWN] = tissues.MUSCLE
        image = painting.paint(tissue, tissues.pick_contrast(g, progress), g)
        image = acquisition.acquire(image, o.spacing_mm, g)
        image, labels = acquisition.limit_field_of_view(image, labels, g)
        image = (image - image.mean()) / image.std().clamp_min(1e-3)
        if o.second_stage:  # a patch's own mean and spread differ from the whole image's, which inference uses
            image = image * uniform(g, 0.7, 1.4) + uniform(g, -0.5, 0.5)
        target = torch.where(beyond, torch.full_like(labels, IGNORE), labels).long()
        channels = [image[None]]
        if o.second_stage:
            channels.append(self._earlier_stage(target))
        if not anatomy.has_menisci:
            target = self._forget_where_menisci_may_be(target)
        return torch.cat(channels), target

    def _forget_where_menisci_may_be(self, target: torch.Tensor) -> torch.Tensor:
        """Background between femoral and tibial cartilage becomes 'unknown' in maps that have no menisci."""
        def near(values: tuple[int, ...], mm: float) -> torch.Tensor:
            mask = sum((target == v) for v in values).to(torch.float32)[None, None]
            half = max(1, round(mm / self.options.spacing_mm))
            for axis in range(3):  # a box is separable: three short windows instead of one large one
                window = [2 * half + 1 if a == axis else 1 for a in range(3)]
                mask = functional.max_pool3d(mask, window, 1, [w // 2 for w in window])
            return mask[0, 0] > 0

        unsure = near((2, 7), 9.0) & near((3, 4, 8), 9.0) & (target == 0)
        return torch.where(unsure, torch.full_like(target, IGNORE), target)

    def _earlier_stage(self, target: torch.Tensor) -> torch.Tensor:
        """One-hot labels as the coarse network might have given them: coarser, shifted, with pieces missing."""
        g = self.generator
        shape = tuple(target.shape)
        grid = functional.affine_grid(torch.eye(3, 4, device=self.device)[None], (1, 1, *shape), align_corners=False)
        amplitude = uniform(g, 0, 1.5) / self.options.spacing_mm
        shift = torch.stack([smooth_noise(shape, uniform(g, 4, 14), g, self.device) * amplitude * 2 / n
                             for n in shape[::-1]], -1)
        coarse = max(1.0, uniform(g, 1.4, 2.0) / self.options.spacing_mm)
        small = [max(4, round(n / coarse)) for n in shape]
        soft = functional.one_hot(target * (target != IGNORE), CLASSES).permute(3, 0, 1, 2)[None].float()
        soft = functional.grid_sample(soft, grid + shift[None], padding_mode="border", align_corners=False)
        soft = functional.interpolate(soft, size=small, mode="area")
        guess = functional.interpolate(soft, size=shape, mode="trilinear")[0].argmax(0)
        if uniform(g, 0, 1) < 0.3:
            gone = smooth_noise(shape, uniform(g, 6, 16), g, self.device) > uniform(g, 0.9, 2.0)
            guess = torch.where(gone, torch.zeros_like(guess), guess)
        if uniform(g, 0, 1) < 0.15:
            structure = 1 + int(uniform(g, 0, CLASSES - 1))
            guess = torch.where(guess == structure, torch.zeros_like(guess), guess)
        return functional.one_hot(guess, CLASSES).permute(3, 0, 1, 2)[1:].float()
