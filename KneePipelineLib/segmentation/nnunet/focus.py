"""A cascade whose second stage sees the knee only: the box around the first stage's labels.

nnU-Net brings the first stage's labels to the image's grid and from there to the second stage's, over the whole image.
That is most of the work for a small network on a CPU. Here the first stage runs on a copy of the image at about the
second stage's resolution and its labels go to the second stage's grid from there; the rest is nnU-Net's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..device import release_memory
from ..resample import resize
from ..types import part_of
from .quiet import quiet

if TYPE_CHECKING:
    from .folder import ResultsFolder
    from .predict import Prediction

FIRST_STAGE_SHARE = 0.2
STRAY_SHARE = 0.01
"""Pieces of less than this share of everything labelled do not widen the box."""


def predict_focused(first: ResultsFolder, second: ResultsFolder, array: np.ndarray, spacing_mm: tuple[float, ...],
                    **arguments: object) -> Prediction:
    """Both stages on an array in the networks' orientation; the arguments are those of `predict_array`.

    ``options.focus_mm`` is the margin around the first stage's labels. Where nothing is labelled, the second stage
    sees the whole image.
    """
    from .predict import managers, predict_array

    with quiet():
        plans_manager, configuration, _ = managers(second)
    back = list(plans_manager.transpose_backward)
    target = [configuration.spacing[i] for i in back]
    patch_mm = tuple(configuration.patch_size[i] * configuration.spacing[i] for i in back)
    progress, options = arguments.pop("progress", None), arguments["options"]
    size = array.shape
    shape = tuple(min(n, max(2, round(n * s / t))) for n, s, t in zip(size, spacing_mm, target, strict=True))
    spacing = tuple(s * n / c for s, n, c in zip(spacing_mm, size, shape, strict=True))
    coarse = array if shape == size else resize(array, shape, 1)
    low = predict_array(first, coarse, spacing, progress=part_of(progress, 0, FIRST_STAGE_SHARE), **arguments)
    del coarse
    release_memory(arguments["device"])
    box = focus_box(low.labels, spacing, options.focus_mm, patch_mm)
    focus = None if box is None else tuple(
        slice(s.start * n // c, -(-s.stop * n // c)) for s, n, c in zip(box, size, shape, strict=True))
    answer = predict_array(second, array, spacing_mm, previous=low.labels, focus=focus,
                           progress=part_of(progress, FIRST_STAGE_SHARE, 1), **arguments)
    answer.facts["first_stage"] = low.facts
    if focus is not None:
        answer.facts["focus_voxels"] = [s.stop - s.start for s in focus]
    return answer


def focus_box(labels: np.ndarray, spacing_mm: tuple[float, ...], margin_mm: float,
              least_mm: tuple[float, ...]) -> tuple[slice, ...] | None:
    """The box around all labels but stray pieces, wider by a margin, and at least as large as given where the image is.

    Parameters
    ----------
    labels : (z, y, x) integers
    spacing_mm, least_mm : (z, y, x)

    Returns
    -------
    tuple of slices, or None when nothing is labelled
    """
    from scipy import ndimage

    pieces, count = ndimage.label(labels > 0)
    if count == 0:
        return None
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        pieces = (sizes >= STRAY_SHARE * sizes.sum())[pieces]
    box = []
    for axis in range(3):
        held = np.flatnonzero(pieces.any(axis=tuple(a for a in range(3) if a != axis)))
        n, margin = labels.shape[axis], int(np.ceil(margin_mm / spacing_mm[axis]))
        start, stop = max(0, int(held[0]) - margin), min(n, int(held[-1]) + 1 + margin)
        lacking = min(n, int(np.ceil(least_mm[axis] / spacing_mm[axis]))) - (stop - start)
        if lacking > 0:  # what would reach beyond one border is added at the other
            length = stop - start + lacking
            start = min(max(0, start - lacking // 2), n - length)
            stop = start + length
        box.append(slice(start, stop))
    return tuple(box)


def hand_down(labels: np.ndarray, size: tuple[int, ...], box: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Labels on another grid over the same image, at the nearest voxels of a part of that image.

    Parameters
    ----------
    labels : (z, y, x) integers
        Over the whole image.
    size : tuple
        The image's shape.
    box : (z, y, x) slices
        The part of the image.
    shape : tuple
        The shape wanted for the part.
    """
    places = []
    for n, whole, part, wanted in zip(labels.shape, size, box, shape, strict=True):
        at = part.start + (np.arange(wanted) + 0.5) * (part.stop - part.start) / wanted  # edges lie at whole numbers
        places.append(np.clip((at * n / whole).astype(int), 0, n - 1))
    return labels[np.ix_(*places)]
