"""The tissues that the synthetic images are painted with, and how bright each is in each kind of scan.

Values 0 to 10 are the canonical labels; the others only exist inside the generator. Brightness is relative to 1, drawn
anew for every image from ranges that are wider than any one protocol: the network shall not learn a protocol.
"""

from __future__ import annotations

import torch

from .deform import uniform

MUSCLE, FAT, SKIN, FLUID, TENDON, VESSEL, AIR, LIGAMENT, UNKNOWN = 20, 21, 22, 23, 24, 25, 26, 27, 255
"""The digital knee's soft tissue values (`phantom.tissues.SOFT_TISSUE_VALUES`), and what lies outside a map."""
BONES = (1, 2, 3, 10)
CARTILAGES = (4, 5, 6, 7)
MENISCI = (8, 9)
CORTEX = 30
TABLE_SIZE = 256

Range = tuple[float, float]

CONTRASTS: dict[str, dict[str, Range]] = {
    "dess": {"bone": (0.05, 0.25), "cartilage": (0.5, 0.9), "meniscus": (0.08, 0.5), "muscle": (0.3, 0.65),
             "fat": (0.1, 0.35), "skin": (0.2, 0.5), "fluid": (0.8, 1.0), "tendon": (0.02, 0.15),
             "vessel": (0.3, 1.0), "cortex": (0.0, 0.1)},
    "t1": {"bone": (0.6, 1.0), "cartilage": (0.35, 0.6), "meniscus": (0.03, 0.2), "muscle": (0.25, 0.45),
           "fat": (0.75, 1.0), "skin": (0.3, 0.7), "fluid": (0.1, 0.35), "tendon": (0.0, 0.1),
           "vessel": (0.0, 0.5), "cortex": (0.0, 0.1)},
    "t2": {"bone": (0.4, 0.8), "cartilage": (0.3, 0.6), "meniscus": (0.02, 0.15), "muscle": (0.12, 0.3),
           "fat": (0.5, 0.9), "skin": (0.2, 0.5), "fluid": (0.85, 1.0), "tendon": (0.0, 0.08),
           "vessel": (0.0, 0.6), "cortex": (0.0, 0.08)},
    "pd": {"bone": (0.6, 0.95), "cartilage": (0.5, 0.8), "meniscus": (0.05, 0.25), "muscle": (0.35, 0.55),
           "fat": (0.7, 1.0), "skin": (0.3, 0.6), "fluid": (0.65, 1.0), "tendon": (0.0, 0.12),
           "vessel": (0.0, 0.6), "cortex": (0.0, 0.1)},
    "pd_fs": {"bone": (0.05, 0.3), "cartilage": (0.5, 0.85), "meniscus": (0.05, 0.25), "muscle": (0.25, 0.5),
              "fat": (0.05, 0.25), "skin": (0.2, 0.5), "fluid": (0.8, 1.0), "tendon": (0.0, 0.12),
              "vessel": (0.2, 1.0), "cortex": (0.0, 0.1)},
}
"""Kind of scan -> tissue group -> range of brightness."""

FLUID_BRIGHT = ("dess", "t2", "pd_fs")
"""Kinds of scan in which joint fluid is always brighter than the cartilage it lies on."""

GROUPS: dict[str, tuple[int, ...]] = {
    "bone": BONES, "cartilage": CARTILAGES, "meniscus": MENISCI, "muscle": (MUSCLE,), "fat": (FAT,), "skin": (SKIN,),
    "fluid": (FLUID,), "tendon": (TENDON, LIGAMENT), "vessel": (VESSEL,), "cortex": (CORTEX,),
}


def brightness_table(kind: str, generator: torch.Generator) -> torch.Tensor:
    """Brightness of every tissue value for one image, shape (256,).

    Parameters
    ----------
    kind : str
        A key of CONTRASTS, or ``random``: every group anywhere in [0, 1] (Billot et al., SynthSeg, 2023), with the
        bones alike and the cartilages alike, because no scan tells them apart.
    """
    table = torch.zeros(TABLE_SIZE, device=generator.device)
    levels = {}
    for group in GROUPS:
        low, high = CONTRASTS[kind][group] if kind != "random" else (0.0, 1.0)
        levels[group] = uniform(generator, low, high)
    if kind in FLUID_BRIGHT:
        levels["fluid"] = max(levels["fluid"], levels["cartilage"] * uniform(generator, 1.15, 2.0))
    if kind == "t1":
        levels["fluid"] = min(levels["fluid"], levels["cartilage"] * uniform(generator, 0.5, 0.95))
    for group, values in GROUPS.items():
        level = levels[group]
        for value in values:
            table[value] = max(0.0, level + uniform(generator, -0.04, 0.04))
    table[AIR] = uniform(generator, 0.0, 0.03)
    return table


def pick_contrast(generator: torch.Generator, progress: float) -> str:
    """The kind of the next image: easy ones first, random ones a growing share (a curriculum).

    Parameters
    ----------
    progress : float
        0 at the beginning of the training, 1 at its end.
    """
    share_random = 0.05 + 0.15 * min(1.0, progress)
    names = list(CONTRASTS)
    weights = torch.tensor([0.3, 0.2, 0.15, 0.15, 0.2])
    if uniform(generator, 0, 1) < share_random:
        return "random"
    return names[int(torch.multinomial(weights.to(generator.device), 1, generator=generator).item())]
