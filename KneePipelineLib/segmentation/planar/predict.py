"""Segmenting a volume slice by slice with a planar network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidFormatError
from ...imaging.labels import NATIVE_TO_CANONICAL, remap_labels
from ...imaging.volume import Volume
from ..device import free_bytes, is_memory_error, memory_error, release_memory
from ..resample import resize, resize_labels
from ..types import Cancelled, Progress, RawSegmentation, SegmentationOptions, check_cancelled, part_of
from .network import PlanarNetwork, load_network

if TYPE_CHECKING:
    import torch

PLANES = {"sagittal": "PIR", "coronal": "RIP", "axial": "RPI"}
"""Orientation (i, j, k = columns, rows, slices) in which each plane's network sees the knee: rows superior to
inferior and columns anterior to posterior in a sagittal slice, and slices from the patient's left to the right; rows
superior to inferior, columns left to right, slices front to back (coronal); rows anterior to posterior, columns left
to right, slices top to bottom (axial)."""

CLASSES = len(NATIVE_TO_CANONICAL) + 1
CPU_BATCH = 4
"""More slices at once only push each other out of a CPU's cache."""


def predict_planar(volume: Volume, weights: Path | PlanarNetwork, plane: str, *, device: torch.device,
                   options: SegmentationOptions | None = None, progress: Progress | None = None,
                   cancelled: Cancelled | None = None) -> RawSegmentation:
    """Label a volume with a planar network, in canonical labels on the volume's own grid.

    Parameters
    ----------
    volume : Volume
        In any orientation; a double-echo scan as the root of the sum of squares of its echoes.
    weights : Path or PlanarNetwork
        The Keras HDF5 file, or the network already read.
    plane : str
        ``sagittal``, ``coronal`` or ``axial``: the slices the network was trained on.

    Raises
    ------
    GpuMemoryError, MemoryCriticalError
        If not even a single slice fits into memory.
    """
    start = time.perf_counter()
    options = options or SegmentationOptions()
    network = weights if isinstance(weights, PlanarNetwork) else load_network(Path(weights))
    if network.channels != 1:
        raise InvalidFormatError(f"The planar network takes images of {network.channels} channels instead of one.",
                                 "Only networks with one input channel can be used.")
    seen = volume.reoriented(PLANES[plane])
    slices, size = _prepare(seen.array, network)
    network.to(device)
    report = part_of(progress, 0.05, 0.97)
    labels, margins, batch = _predict_slices(network, slices, device, options, report, cancelled)
    labels = resize_labels(labels[:, :size[0], :size[1]], seen.array.shape, 0)
    labels = remap_labels(labels, NATIVE_TO_CANONICAL)
    labels = seen.with_array(labels).reoriented(volume.orientation).array
    facts = {"kind": "planar", "plane": plane, "device": str(device), "precision": _precision(options, device),
             "slices": len(slices), "slice_size": list(size), "batch": batch, "parameters": network.parameters,
             "seconds": round(time.perf_counter() - start, 3)}
    return RawSegmentation(volume.with_array(labels), {NATIVE_TO_CANONICAL[k]: v for k, v in margins.items()}, facts)


def _prepare(array: np.ndarray, network: PlanarNetwork) -> tuple[np.ndarray, tuple[int, int]]:
    """Whitened float32 slices at a size the network takes, and the part of that size that is image."""
    size = network.fixed_size or array.shape[1:]
    data = resize(array, (array.shape[0], *size), 3)
    data = (data - data.mean(dtype=np.float64)) / (data.std(dtype=np.float64) + 1e-8)
    if network.fixed_size is None:  # fill up to what can be halved as often as the network does
        pads = [(0, -n % r) for n, r in zip(size, network.reduction, strict=True)]
        data = np.pad(data, [(0, 0), *pads], mode="edge")
    return data.astype(np.float32, copy=False), (int(size[0]), int(size[1]))


def _precision(options: SegmentationOptions, device: torch.device) -> str:
    """float32 unless half precision was asked for on a GPU: these networks were run in float32 by their authors."""
    return options.precision if options.precision in ("float16", "bfloat16") and device.type == "cuda" else "float32"


def _predict_slices(network: PlanarNetwork, slices: np.ndarray, device: torch.device, options: SegmentationOptions,
                    report: Progress, cancelled: Cancelled | None) -> tuple[np.ndarray, dict[int, float], int]:
    """Native labels (slices, H, W), mean margin by native label, and the batch size that was possible."""
    labels = np.empty(slices.shape, dtype=np.uint8)
    sums, counts = np.zeros(CLASSES), np.zeros(CLASSES)
    limit = options.slice_batch if device.type == "cuda" else min(options.slice_batch, CPU_BATCH)
    batch, done = 1, 0  # the first slice alone shows how much memory one takes
    while done < len(slices):
        check_cancelled(cancelled)
        chunk = slices[done:done + batch]
        try:
            found, margin = _predict_batch(network, chunk, device, _precision(options, device))
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            release_memory(device)
            if batch == 1:
                raise memory_error(device, "a single slice of the planar network") from error
            batch = limit = max(1, batch // 2)
            continue
        labels[done:done + len(chunk)] = found
        sums += np.bincount(found.ravel(), margin.ravel(), CLASSES)
        counts += np.bincount(found.ravel(), minlength=CLASSES)
        done += len(chunk)
        if done == 1:
            batch = int(np.clip(0.4 * free_bytes(device) / max(network.live_bytes, 1), 1, limit))
        report(done / len(slices), f"Segmenting slice {done} of {len(slices)}")
    margins = {c: float(sums[c] / counts[c]) for c in range(1, CLASSES) if counts[c]}
    return labels, margins, max(batch, 1)


def open_network(path: Path) -> PlanarNetwork:
    """Load a network and let it answer once, on an empty slice: layers, weights and number of classes fit.

    Raises
    ------
    MissingFileError, WeightsCorruptError, InvalidFormatError
        As in `predict_planar`.
    """
    import torch

    network = load_network(path)
    shape = network.fixed_size or tuple(2 * step for step in network.reduction)
    _predict_batch(network, np.zeros((1, *shape), np.float32), torch.device("cpu"), "float32")
    return network


def _predict_batch(network: PlanarNetwork, chunk: np.ndarray, device: torch.device,
                   precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Arg-max (first of equals) and the distance from the best to the second best probability."""
    import torch

    images = torch.from_numpy(chunk)[:, None].to(device)
    with torch.autocast("cuda", dtype=getattr(torch, precision), enabled=precision != "float32"):
        probabilities = network(images)
    if probabilities.shape[1] != CLASSES:
        raise InvalidFormatError(f"The planar network knows {probabilities.shape[1]} classes instead of {CLASSES}.",
                                 "Only networks with the nine published structures can be used.")
    with torch.inference_mode():
        best = probabilities.float().topk(2, dim=1).values
        return (probabilities.argmax(1).to(torch.uint8).cpu().numpy(), (best[:, 0] - best[:, 1]).cpu().numpy())
