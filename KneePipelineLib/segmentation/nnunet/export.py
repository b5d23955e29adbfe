"""From logits on the network's grid to labels on the image's grid, a few slices at a time.

nnU-Net resamples all classes to the image's grid and takes the arg-max there. The same is done here slab by slab, so
that the classes of the whole image never lie in memory together; the rounding to half precision that nnU-Net's result
passes through is kept, because it decides ties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..resample import axis_taps, resample_axis
from ..types import Cancelled, Progress, check_cancelled
from .preprocess import Preprocessed, resampler, resampling_rule

if TYPE_CHECKING:
    import torch

SLAB_BYTES = 96 * 1024**2
"""About how much float32 memory one slab's classes may take."""


def logits_to_labels(logits: torch.Tensor, case: Preprocessed, plans_manager: object, configuration: object,
                     report: Progress | None = None, cancelled: Cancelled | None = None
                     ) -> tuple[np.ndarray, dict[int, float]]:
    """Arg-max on the image's own grid.

    Parameters
    ----------
    logits : (classes, z, y, x) tensor
        On the resampled grid, host memory.

    Returns
    -------
    labels : (z, y, x) uint8
        Network values, on the grid of the image that was handed to `preprocess`.
    margins : dict
        Value -> mean over its voxels of best minus second best class probability.
    """
    shape = case.cropped_shape
    rule = resampling_rule("probabilities", configuration, case.target_spacing, case.spacing)
    same = tuple(logits.shape[1:]) == shape
    if not same and (rule is None or rule["order"] > 1):
        logits, rule = _by_nnunet(logits, case, configuration), {"order": 0, "separate_axis": None}
    labels = np.zeros(shape, dtype=np.uint8)
    tally = _Margins(len(logits))
    depth = max(1, SLAB_BYTES // (4 * len(logits) * shape[1] * shape[2]))
    for start in range(0, shape[0], depth):
        check_cancelled(cancelled)
        stop = min(start + depth, shape[0])
        slab = _slab(logits, shape, start, stop, rule)
        labels[start:stop] = tally.add(slab)
        if report is not None:
            report(stop / shape[0], "Bringing the labels to the image's grid")
    whole = np.zeros(case.shape, dtype=np.uint8)
    whole[case.box] = labels
    return whole.transpose(plans_manager.transpose_backward), tally.means()


def _slab(logits: torch.Tensor, shape: tuple[int, ...], start: int, stop: int, rule: dict | None) -> torch.Tensor:
    """Slices ``start`` to ``stop`` of the resampled logits (classes, slices, y, x), float32."""
    import torch
    import torch.nn.functional as F

    if tuple(logits.shape[1:]) == shape:
        return logits[:, start:stop].float()
    axis_orders = [rule["order_separate"] if a == rule["separate_axis"] else rule["order"] for a in range(3)]
    slab = _along_slices(logits, shape[0], start, stop, axis_orders[0])
    if axis_orders[1:] == [1, 1]:
        if tuple(slab.shape[2:]) != shape[1:]:
            slab = F.interpolate(slab, shape[1:], mode="bilinear", align_corners=False)
    else:
        for axis in (2, 1) if rule["separate_axis"] == 1 else (1, 2):
            slab = resample_axis(slab, axis + 1, shape[axis], axis_orders[axis])
    return slab.to(logits.dtype).float() if logits.dtype == torch.half else slab


def _along_slices(logits: torch.Tensor, n_out: int, start: int, stop: int, order: int) -> torch.Tensor:
    import torch

    indices, weights = axis_taps(logits.shape[1], n_out, order)
    result = None
    for index, weight in zip(indices[:, start:stop], weights[:, start:stop], strict=True):
        tap = logits[:, torch.from_numpy(index)].float()
        tap *= torch.from_numpy(weight).float()[None, :, None, None]
        result = tap if result is None else result.add_(tap)
    return result


def _by_nnunet(logits: torch.Tensor, case: Preprocessed, configuration: object) -> torch.Tensor:
    """Any other resampling the plans name, by nnU-Net's function, one class at a time."""
    import torch

    result = torch.empty((len(logits), *case.cropped_shape), dtype=logits.dtype)
    resample = resampler("probabilities", configuration)
    for number in range(len(logits)):
        one = resample(logits[number:number + 1], case.cropped_shape, case.target_spacing, case.spacing)
        result[number] = torch.as_tensor(one)[0]
    return result


class _Margins:
    """Takes the arg-max of slabs and keeps the mean distance between the two best probabilities of each label."""

    def __init__(self, classes: int) -> None:
        self.sums, self.counts = np.zeros(classes), np.zeros(classes)

    def add(self, slab: torch.Tensor) -> np.ndarray:
        import torch

        flat = slab.reshape(len(slab), -1)
        labels = first_maximum(flat)
        inside = torch.nonzero(labels)[:, 0]  # the background's margin is of no interest, and it is most of the image
        if len(inside) and len(flat) > 1:
            found = labels[inside].long()[None]
            probabilities = flat[:, inside].softmax(0)
            margin = probabilities.gather(0, found)[0] - probabilities.scatter(0, found, 0.0).amax(0)
            self.sums += np.bincount(found[0].numpy(), margin.numpy(), len(self.sums))
            self.counts += np.bincount(found[0].numpy(), minlength=len(self.counts))
        return labels.reshape(slab.shape[1:]).numpy()

    def means(self) -> dict[int, float]:
        return {int(v): float(self.sums[v] / self.counts[v]) for v in np.flatnonzero(self.counts)}


def first_maximum(scores: torch.Tensor) -> torch.Tensor:
    """Arg-max over the first axis as uint8, the first of equals; several times sooner than ``argmax(0)``."""
    import torch

    best = scores[0].clone()
    labels = torch.zeros(scores.shape[1:], dtype=torch.uint8)
    for number in range(1, len(scores)):
        labels.masked_fill_(scores[number] > best, number)
        torch.maximum(best, scores[number], out=best)
    return labels
