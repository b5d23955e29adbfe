"""A segmentation to look at: sagittal, coronal and axial slices with the labels' outlines and tints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from KneePipelineLib.imaging.labels import BY_VALUE
from KneePipelineLib.imaging.volume import Volume

SAGITTAL_PLACES = (0.2, 0.35, 0.5, 0.65, 0.8)
TINT = 0.45


def montage(image: Volume, labels: Volume, path: Path, title: str, truth: Volume | None = None) -> None:
    """Write a PNG: five sagittal, one coronal and one axial slice; below them the truth, where it is known."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [("image", None), ("found", labels)] + ([("true", truth)] if truth is not None else [])
    seen = image.reoriented("PIR")
    guide = labels.reoriented("PIR").array
    held = [np.flatnonzero(guide.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    low, high = np.quantile(seen.array, (0.01, 0.995))
    planes = [("sagittal", 0, _place(held[0], guide.shape[0], share)) for share in SAGITTAL_PLACES]
    planes += [("coronal", 2, _place(held[2], guide.shape[2], 0.6)), ("axial", 1, _place(held[1], guide.shape[1], 0.4))]
    figure = Figure(figsize=(2.6 * len(planes), 2.7 * len(rows)), facecolor="black")
    axes = np.atleast_2d(figure.subplots(len(rows), len(planes)))
    for row, (name, overlay) in zip(axes, rows, strict=True):
        array = None if overlay is None else overlay.reoriented("PIR").array
        for place, (plane, axis, index) in zip(row, planes, strict=True):
            grey = np.clip((_slice(seen.array, axis, index) - low) / max(high - low, 1e-6), 0, 1)
            picture = np.repeat(grey[..., None], 3, axis=2)
            if array is not None:
                picture = _tinted(picture, _slice(array, axis, index))
            spacing = seen.spacing[::-1]
            height, width = ((1, 2), (2, 0), (1, 0))[axis]
            place.imshow(picture, aspect=spacing[height] / spacing[width], interpolation="nearest")
            place.set_title(f"{name}, {plane}", color="white", fontsize=7)
            place.axis("off")
    figure.suptitle(title, color="white", fontsize=10)
    figure.tight_layout(pad=0.3, rect=(0, 0, 1, 0.96))
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=110, facecolor="black")


def _place(held: np.ndarray, size: int, share: float) -> int:
    """The index that lies this far into what is labelled, or into the image when nothing is."""
    if not held.size:
        return int(share * (size - 1))
    return round(held[0] + share * (held[-1] - held[0]))


def _slice(array: np.ndarray, axis: int, index: int) -> np.ndarray:
    """One slice of a (right, inferior, posterior) array with rows downwards or backwards."""
    plane = array.take(index, axis)
    return plane if axis == 0 else plane.T


def _tinted(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    out = picture.copy()
    for value in np.unique(labels):
        if value == 0 or value not in BY_VALUE:
            continue
        mask = labels == value
        inner = mask.copy()
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        colour = np.array(BY_VALUE[value].color, float) / 255
        out[mask] = (1 - TINT) * out[mask] + TINT * colour
        out[mask & ~inner] = colour
    return out
