"""From an image to what an nnU-Net network sees: transposed, cropped to what is not zero, normalised, resampled.

The definitions are nnU-Net's (its normalisation classes and spacing arithmetic are called); only cropping and cubic
resampling are our own, because they need a fraction of the time and memory for the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from ...errors import InvalidFormatError, NothingUsableError
from ..resample import resize, resize_labels
from .focus import hand_down
from .objects import normalization_class, resampling_function

MAX_VOXELS = 2**30
"""Of an image on the network's grid: as float32 4 GiB, thirty times the published networks'."""
KNOWN_RESAMPLING = "resample_data_or_seg_to_shape"


@dataclass
class Preprocessed:
    """One case ready for the sliding window.

    Attributes
    ----------
    data : (1, z, y, x) float32 or None
        Axes in the plans' order, spacing that of the configuration; None once it was used.
    previous : (z, y, x) int array or None
        The previous stage's labels on the same grid.
    shape : tuple
        The transposed image's shape before cropping.
    box : tuple of slices
        Where the cropped part lies in it.
    spacing : list of float
        The transposed image's spacing in mm, in the order of the axes.
    target_spacing : list of float
    """

    data: np.ndarray | None
    previous: np.ndarray | None
    shape: tuple[int, ...]
    box: tuple[slice, ...]
    spacing: list[float]
    target_spacing: list[float]

    @property
    def cropped_shape(self) -> tuple[int, ...]:
        """Shape of the cropped part before resampling."""
        return tuple(s.stop - s.start for s in self.box)


def preprocess(array: np.ndarray, spacing_mm: tuple[float, ...], plans_manager: object, configuration: object,
               previous: np.ndarray | None = None, focus: tuple[slice, ...] | None = None) -> Preprocessed:
    """Prepare one image.

    Parameters
    ----------
    array : (z, y, x) numpy.ndarray
        The image in the orientation the network was trained in.
    spacing_mm : (z, y, x)
    previous : (z, y, x) integer array or None
        The answer of the cascade's first stage, network values, on the image's grid (or, see `focus.hand_down`, on
        another one over the same image).
    focus : (z, y, x) slices or None
        The part of the image that is wanted; normalisation still sees all of it. None, as in nnU-Net: everything.

    Raises
    ------
    NothingUsableError
        If the image is zero everywhere or not finite.
    InvalidFormatError
        If it would have no voxel or too many of them at the network's spacing.
    """
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

    forward = list(plans_manager.transpose_forward)
    data = np.array(array, dtype=np.float32).transpose(forward)
    spacing = [float(spacing_mm[i]) for i in forward]
    box = nonzero_box(data)
    shape, data = data.shape, data[box]
    same_grid = previous is not None and previous.shape == array.shape
    mask = _inside_mask(data) if same_grid or any(configuration.use_mask_for_norm) else None
    data = _normalize(data, mask, plans_manager, configuration)
    if focus is not None:
        inner = _within(box, [focus[i] for i in forward])
        box = tuple(slice(b.start + s.start, b.start + s.stop) for b, s in zip(box, inner, strict=True))
        data, mask = data[inner], None if mask is None else mask[inner]
    target = list(configuration.spacing)
    if len(target) < 3:  # a 2-D configuration leaves the slices where they are
        target = [spacing[0], *target]
    new_shape = tuple(int(n) for n in compute_new_shape(data.shape, spacing, target))
    if prod(new_shape) > MAX_VOXELS or 0 in new_shape:
        raise InvalidFormatError(
            f"At the network's spacing the image would have {' x '.join(str(n) for n in new_shape)} voxels.",
            "The network was trained for images of another size: choose another series or another model.")
    resampled = _resample_image(data, new_shape, spacing, target, configuration)
    if previous is not None and not same_grid:
        previous = hand_down(previous.transpose(forward), shape, box, new_shape)
    elif same_grid:
        previous = previous.transpose(forward)[box].astype(np.int16)
        previous[(previous == 0) & (mask < 0)] = -1  # outside the body: a label of its own when labels are resampled
        previous = _resample_labels(previous, new_shape, spacing, target, configuration)
    return Preprocessed(resampled[None], previous, shape, box, spacing, target)


def nonzero_box(data: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around everything that is not zero. (Filling holes, as nnU-Net does first, cannot move it.)"""
    if not np.isfinite(data).all():
        raise NothingUsableError("The image holds values that are not finite.", "Export the series again.")
    nonzero = data != 0
    box = []
    for axis in range(3):
        hit = np.flatnonzero(nonzero.any(axis=tuple(a for a in range(3) if a != axis)))
        if hit.size == 0:
            raise NothingUsableError("The image is zero everywhere.", "Choose another series.")
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def _within(box: tuple[slice, ...], focus: list[slice]) -> tuple[slice, ...]:
    """A focus as slices into the box; an axis along which they do not overlap keeps the whole box."""
    inner = []
    for outer, wanted in zip(box, focus, strict=True):
        start, stop = max(outer.start, wanted.start), min(outer.stop, wanted.stop)
        inner.append(slice(start - outer.start, stop - outer.start) if start < stop
                     else slice(0, outer.stop - outer.start))
    return tuple(inner)


def _inside_mask(data: np.ndarray) -> np.ndarray:
    """nnU-Net's mask: 0 inside the body, -1 outside."""
    from scipy.ndimage import binary_fill_holes

    return np.where(binary_fill_holes(data != 0), np.int8(0), np.int8(-1))


def _normalize(data: np.ndarray, mask: np.ndarray | None, plans_manager: object, configuration: object) -> np.ndarray:
    normalizer = normalization_class(configuration.normalization_schemes[0])
    properties = plans_manager.foreground_intensity_properties_per_channel["0"]
    use_mask = bool(configuration.use_mask_for_norm[0])
    return normalizer(use_mask_for_norm=use_mask, intensityproperties=properties).run(data, mask)


def resampling_rule(kind: str, configuration: object, current: list[float], new: list[float]) -> dict | None:
    """How nnU-Net's standard function would resample: arguments for `resize`; None when the plans name another one.

    Parameters
    ----------
    kind : str
        ``data``, ``seg`` or ``probabilities``.
    """
    from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis

    settings = configuration.configuration
    arguments = dict(settings.get(f"resampling_fn_{kind}_kwargs", {}))
    if settings.get(f"resampling_fn_{kind}") != KNOWN_RESAMPLING:
        return None
    order, order_z = arguments.get("order", 3), arguments.get("order_z", 0)
    of_labels = kind == "seg"
    if order not in (0, 1, 3) or order_z not in ((0,) if of_labels else (0, 1)):
        return None
    if bool(arguments.get("is_seg")) != of_labels:
        return None
    name = "separate_z_anisotropy_threshold"
    threshold = {name: arguments[name]} if name in arguments else {}
    separate, axis = determine_do_sep_z_and_axis(arguments.get("force_separate_z", False), current, new, **threshold)
    return {"order": order, "separate_axis": int(axis) if separate else None, "order_separate": order_z}


def resampler(kind: str, configuration: object) -> Callable:
    """nnU-Net's own function that the plans name for ``data``, ``seg`` or ``probabilities``, with its options."""
    settings = configuration.configuration
    options = settings.get(f"resampling_fn_{kind}_kwargs", {})
    return partial(resampling_function(settings.get(f"resampling_fn_{kind}")), **options)


def _resample_image(data: np.ndarray, shape: tuple[int, ...], current: list[float], new: list[float],
                    configuration: object) -> np.ndarray:
    rule = resampling_rule("data", configuration, current, new)
    if rule is not None:
        return resize(data, shape, **rule)
    return np.asarray(resampler("data", configuration)(data[None], shape, current, new)[0], dtype=np.float32)


def _resample_labels(labels: np.ndarray, shape: tuple[int, ...], current: list[float], new: list[float],
                     configuration: object) -> np.ndarray:
    rule = resampling_rule("seg", configuration, current, new)
    if rule is not None:
        return resize_labels(labels, shape, **rule)
    return np.asarray(resampler("seg", configuration)(labels[None], shape, current, new)[0])
