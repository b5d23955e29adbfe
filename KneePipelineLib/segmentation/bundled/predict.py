"""A knee through the bundled network: the published networks' code, with what this network was trained to see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...imaging.volume import Volume
from ...nnunet_folders import ANY, stages_below
from ..nnunet import predict_cascade, predict_fullres
from ..types import Cancelled, Progress, RawSegmentation, SegmentationOptions
from . import NOTICE

if TYPE_CHECKING:
    import torch

TILE_STEP = 0.75
"""Less overlap of neighbouring tiles than nnU-Net's: a third of the time."""
FOCUS_MM = 10.0
QUANTILES = (0.005, 0.995)
HEADROOM = 1.2
"""The trainer's images end at this many times the range between both quantiles (`acquisition.acquire`)."""


def predict_bundled(volume: Volume, model: Path, *, device: torch.device, options: SegmentationOptions | None = None,
                    progress: Progress | None = None, cancelled: Cancelled | None = None) -> RawSegmentation:
    """Label a volume with the bundled network: both stages where the model has two, else the one it has.

    The facts' ``stages`` say which ran. The second stage sees the box around the first stage's labels. Parameters and
    errors as for `predict_cascade`.
    """
    options = replace(options or SegmentationOptions(), tile_step=TILE_STEP, focus_mm=FOCUS_MM)
    if options.precision == "auto" and device.type == "cpu" and _computes_bfloat16():
        options = replace(options, precision="bfloat16")
    arguments = {"device": device, "options": options, "progress": progress, "cancelled": cancelled}
    seen, stages = windowed(volume), stages_below(model, ANY)
    if len(stages) > 1:
        raw = predict_cascade(seen, model, **arguments)
    else:
        raw = predict_fullres(seen, model, configuration=stages[0].configuration, **arguments)
    raw.facts["notice"] = NOTICE
    raw.warnings.append(("BUNDLED_NETWORK", f"{NOTICE[0].upper()}{NOTICE[1:]}."))
    return replace(raw, labels=volume.with_array(raw.labels.array))


def _computes_bfloat16() -> bool:
    """Whether this processor has instructions for it; the others are slower with it than without."""
    import torch

    ask = getattr(torch.cpu, "get_capabilities", None)
    found = ask() if ask is not None else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def windowed(volume: Volume) -> Volume:
    """The image without the outermost brightnesses, which would narrow the rest once it is standardised."""
    array = volume.array
    sample = array.ravel()[:: max(1, array.size // 1_000_000)]
    low, high = np.quantile(sample, QUANTILES)
    if not low < high:
        return volume
    return volume.with_array(np.clip(array, low, low + HEADROOM * (high - low)).astype(np.float32, copy=False))
