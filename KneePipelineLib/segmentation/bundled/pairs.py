"""Endless training pairs: an image that never was and its labels, from the anatomy bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from . import acquisition, painting, tissues
from .bank import Anatomy
from .deform import DeformationRange, sample_nearest, sampling_points, smooth_noise, uniform

NATIVE_OF_CANONICAL = {7: 1, 4: 2, 5: 3, 6: 4, 8: 5, 9: 6, 1: 7, 2: 8, 3: 9}
"""The network answers in the published networks' order (design, section 7)."""
CLASSES = 10
IGNORE = 255
DIGITAL_SHARE = 0.6
"""How many of the pairs come from digital knees, where the bank has label maps too."""


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
        Knees to deform; of label maps (not dressed) and digital knees the latter are drawn somewhat more often.
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
        group = self.groups[int(uniform(g, 0, 1) < DIGITAL_SHARE) if len(self.groups) > 1 else 0]
        labels_map, depth_map, anatomy = group[int(uniform(g, 0, len(group)))]
        limits = DeformationRange(centre_jitter=0.3 if o.second_stage else 0.1)
        points = sampling_points(tuple(labels_map.shape), anatomy.spacing_mm, o.patch, o.spacing_mm, limits, g)
        inside, (tissue, depth) = sample_nearest(points, labels_map, depth_map)
        labels = self.to_native[tissue.long()]
        if not anatomy.dressed or uniform(g, 0, 1) < 0.25:
            tissue = torch.where(tissue <= 10, tissue, torch.zeros_like(tissue))
            film = int(uniform(g, 0, 1 + 2.4 / o.spacing_mm)) if o.second_stage else 0
            tissue = painting.dress(tissue, depth.float(), g, min(film, 2))
        beyond = ~inside  # where the map ends, the picture ends (air) or goes on with what lies at its border
        if uniform(g, 0, 1) < 0.5:
            tissue[beyond] = tissues.AIR
        image = painting.paint(tissue, tissues.pick_contrast(g, progress), g, o.spacing_mm)
        image = acquisition.acquire(image, o.spacing_mm, g)
        seen = acquisition.field_of_view(o.patch, o.spacing_mm, not o.second_stage, g)
        inner = image[seen]
        image = (image - inner.mean()) / inner.std().clamp_min(1e-3)
        if o.second_stage:  # a patch's own mean and spread differ from the whole image's, which inference uses
            image = image * uniform(g, 0.7, 1.4) + uniform(g, -0.5, 0.5)
        image = torch.where(seen, image, torch.zeros_like(image))  # as inference pads: zero after standardising
        target = torch.where(beyond, torch.full_like(labels, IGNORE), labels).long()
        channels = [image[None]]
        if o.second_stage:
            channels.append(self._earlier_stage(torch.where(seen, target, torch.zeros_like(target))))
        if not anatomy.has_menisci:
            target = self._forget_where_menisci_may_be(target)
        return torch.cat(channels), torch.where(seen, target, torch.full_like(target, IGNORE))

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
        """One-hot labels as the coarse network might have given them: moved, coarse, swollen, with pieces missing."""
        g, device = self.generator, self.device
        shape = tuple(target.shape)
        axes = [torch.arange(n, device=device, dtype=torch.float32) for n in shape]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        amplitude = uniform(g, 0, 3.2) / self.options.spacing_mm  # as far off as the coarse network is at its worst
        for axis in range(3):
            points[..., axis] += amplitude * smooth_noise(shape, uniform(g, 5, 30), g, device)
        _, (moved,) = sample_nearest(points, target * (target != IGNORE))
        coarse = uniform(g, 1.7, 2.6) / self.options.spacing_mm
        small = [max(4, round(n / coarse)) for n in shape]
        soft = functional.interpolate(one_hot(moved)[None], size=small, mode="area")
        soft[:, 0] *= 2 ** uniform(g, -1.5, 1.5)  # everything too thin or too thick
        guess = functional.interpolate(soft, size=shape, mode="trilinear")[0].argmax(0)
        if uniform(g, 0, 1) < 0.3:
            gone = smooth_noise(shape, uniform(g, 6, 16), g, device) > uniform(g, 0.9, 2.0)
            guess = torch.where(gone, torch.zeros_like(guess), guess)
        if uniform(g, 0, 1) < 0.15:
            structure = 1 + int(uniform(g, 0, CLASSES - 1))
            guess = torch.where(guess == structure, torch.zeros_like(guess), guess)
        return one_hot(guess)[1:]


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    """(z, y, x) integers as (CLASSES, z, y, x) float32."""
    out = torch.zeros((CLASSES, *labels.shape), device=labels.device)
    return out.scatter_(0, labels[None].long(), 1.0)
