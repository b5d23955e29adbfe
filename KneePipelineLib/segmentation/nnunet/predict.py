"""One knee through one trained nnU-Net configuration, or through a cascade of two."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidFormatError, SegmentationError
from ...imaging.labels import remap_labels
from ...imaging.volume import Volume
from ...nnunet_folders import CASCADE, SINGLE
from ..device import release_memory
from ..types import Cancelled, Progress, RawSegmentation, SegmentationOptions, part_of
from .checkpoint import load_checkpoint
from .export import logits_to_labels
from .focus import predict_focused
from .folder import ResultsFolder, find_results, find_stages
from .network import build_network, load_weights, speed_up_for_cpu
from .plans import checked_plans
from .preprocess import Preprocessed, preprocess
from .quiet import quiet
from .sliding import SlidingWindow, Window

if TYPE_CHECKING:
    import torch


@dataclass
class Prediction:
    """One configuration's answer: labels (z, y, x) uint8 in network values, margins by value, and facts."""

    labels: np.ndarray
    margins: dict[int, float]
    facts: dict


def predict_fullres(volume: Volume, model: Path, *, device: torch.device, configuration: str | None = None,
                    options: SegmentationOptions | None = None, progress: Progress | None = None,
                    cancelled: Cancelled | None = None) -> RawSegmentation:
    """Label a volume with one configuration of a results folder, in canonical labels on the volume's own grid.

    Parameters
    ----------
    configuration : str or None
        Which one, by name; None takes the model's network of one stage.

    Raises
    ------
    MissingFileError, WeightsCorruptError, InvalidFormatError, SegmentationError
        See `find_stages` and `load_checkpoint`.
    GpuMemoryError, MemoryCriticalError
        If not even one tile fits into memory.
    """
    options = options or SegmentationOptions()
    chosen = {"folds": options.folds, "checkpoint": options.checkpoint, "ignored": options.ignored_structures}
    if configuration is None:
        folder, = find_stages(model, SINGLE, **chosen)
    else:
        folder = find_results(model, configuration, **chosen)
    seen = volume.reoriented(folder.orientation)
    answer = predict_array(folder, seen.array, tuple(seen.spacing[::-1]), device=device, options=options,
                           progress=progress, cancelled=cancelled)
    return _finish(volume, seen, folder, answer)


def predict_cascade(volume: Volume, model: Path, *, device: torch.device, options: SegmentationOptions | None = None,
                    progress: Progress | None = None, cancelled: Cancelled | None = None) -> RawSegmentation:
    """Label a volume with a cascade's first stage and then its last, which also sees the former's labels.

    Raises
    ------
    See `predict_fullres`; SegmentationError also if the stages do not belong together.
    """
    options = options or SegmentationOptions()
    first, second = find_stages(model, CASCADE, folds=options.folds, checkpoint=options.checkpoint,
                                ignored=options.ignored_structures)
    if first.mapping != second.mapping or first.orientation != second.orientation:
        raise SegmentationError("The cascade's two stages name different labels or orientations.",
                                "Both stages must come from one training.")
    seen = volume.reoriented(second.orientation)
    spacing = tuple(seen.spacing[::-1])
    if options.focus_mm is not None:
        answer = predict_focused(first, second, seen.array, spacing, device=device, options=options,
                                 progress=progress, cancelled=cancelled)
        return _finish(volume, seen, second, answer)
    share = 0.3  # of the time: the first stage has fewer tiles
    low = predict_array(first, seen.array, spacing, device=device, options=options,
                        progress=part_of(progress, 0, share), cancelled=cancelled)
    release_memory(device)
    answer = predict_array(second, seen.array, spacing, device=device, options=options, previous=low.labels,
                           progress=part_of(progress, share, 1), cancelled=cancelled)
    answer.facts["first_stage"] = low.facts
    return _finish(volume, seen, second, answer)


def _finish(volume: Volume, seen: Volume, folder: ResultsFolder, answer: Prediction) -> RawSegmentation:
    labels = remap_labels(answer.labels, folder.mapping)
    labels = seen.with_array(labels).reoriented(volume.orientation).array
    margins = {folder.mapping[v]: m for v, m in answer.margins.items() if folder.mapping.get(v)}
    stages = [answer.facts["first_stage"], answer.facts] if "first_stage" in answer.facts else [answer.facts]
    answer.facts["stages"] = [{key: stage[key] for key in ("configuration", "trainer", "folds", "checkpoint")}
                              for stage in stages]
    raw = RawSegmentation(volume.with_array(labels), margins, answer.facts)
    if folder.dropped:
        answer.facts["ignored_structures"] = list(folder.dropped)
        raw.warnings.append(("STRUCTURES_IGNORED", "Structures that the network also labels were left out, as asked: "
                             f"{', '.join(folder.dropped)}."))
    return raw


def predict_array(folder: ResultsFolder, array: np.ndarray, spacing_mm: tuple[float, ...], *, device: torch.device,
                  options: SegmentationOptions, previous: np.ndarray | None = None,
                  focus: tuple[slice, ...] | None = None, progress: Progress | None = None,
                  cancelled: Cancelled | None = None) -> Prediction:
    """One configuration on an array as the network was trained to see it: what nnU-Net's own predictor gives.

    Parameters
    ----------
    array : (z, y, x) numpy.ndarray
    spacing_mm : (z, y, x) floats
    previous : (z, y, x) integers or None
        The first stage's answer in network values, on the array's grid or on a coarser one over the same image.
    focus : (z, y, x) slices or None
        The part to be labelled; the rest is background. None: everything.
    """
    import torch

    start = time.perf_counter()
    with quiet():
        plans_manager, configuration, labels = managers(folder)
        if (previous is None) != (configuration.previous_stage_name is None):
            raise SegmentationError(f"The configuration {folder.configuration} "
                                    + ("needs an earlier stage." if previous is None else "takes no earlier stage."),
                                    "Choose nnunet_cascade for a cascade and nnunet_fullres otherwise.")
    case = preprocess(array, spacing_mm, plans_manager, configuration, previous, focus)
    report = part_of(progress, 0, 1)
    report(0.04, "Image prepared for the network")
    after_preparation = time.perf_counter()
    window = Window(tuple(configuration.patch_size), labels.num_segmentation_heads,
                    [int(v) for v in labels.foreground_labels] if previous is not None else [],
                    options.tile_step, (), options.tile_batch, choose_precision(options.precision, device))
    network = build_network(plans_manager, configuration, folder.dataset)
    run = _run_folds(folder, network, case, window, device, options.mirroring, part_of(progress, 0.05, 0.92),
                     cancelled)
    del network
    release_memory(device)
    after_network = time.perf_counter()
    case.data = case.previous = None  # only the grid is needed from here on
    with torch.inference_mode():
        found, margins = logits_to_labels(run.logits, case, plans_manager, configuration,
                                          part_of(progress, 0.92, 1), cancelled)
    end = time.perf_counter()
    facts = {"kind": "nnunet", "configuration": folder.configuration, "trainer": folder.trainer,
             "folds": folder.folds, "checkpoint": folder.checkpoints[0].name, "device": str(device),
             "precision": window.precision,
             "patch_size": list(configuration.patch_size), "tiles": run.tiles, "tile_batch": run.batch,
             "mirroring": run.mirrored, "seconds": round(end - start, 3),
             "seconds_preparation": round(after_preparation - start, 3),
             "seconds_loading": round(after_network - after_preparation - run.seconds, 3),
             "seconds_network": round(run.seconds, 3), "seconds_labels": round(end - after_network, 3)}
    return Prediction(found, margins, facts)


@dataclass
class _Run:
    """The folds' mean logits, tiles run in all, tiles at once, whether mirrored, seconds within the sliding windows."""

    logits: torch.Tensor | None = None
    tiles: int = 0
    batch: int = 1
    mirrored: bool = False
    seconds: float = 0.0


def _run_folds(folder: ResultsFolder, network: torch.nn.Module, case: Preprocessed, window: Window,
               device: torch.device, mirroring: bool, progress: Progress, cancelled: Cancelled | None) -> _Run:
    """Every fold's weights through the sliding window; averaged in half precision, as nnU-Net does."""
    import torch

    run, count = _Run(), len(folder.checkpoints)
    for number, (fold, path) in enumerate(zip(folder.folds, folder.checkpoints, strict=True)):
        trained_axes = load_fold(folder, network, fold, path)
        axes = trained_axes if mirroring else ()
        if device.type == "cpu" and len(window.patch) == 3:
            network = speed_up_for_cpu(network)
        network.to(device)
        start = time.perf_counter()
        sliding = SlidingWindow(network, replace(window, mirror_axes=axes), device,
                                part_of(progress, number / count, (number + 1) / count), cancelled)
        with torch.inference_mode():
            logits = sliding.run(case.data, case.previous)
            run.logits = logits if run.logits is None else run.logits.add_(logits)
        del logits
        run.tiles, run.batch, run.mirrored = run.tiles + sliding.tiles, sliding.batch_used, bool(axes)
        run.seconds += time.perf_counter() - start
    if count > 1:
        with torch.inference_mode():
            run.logits /= count
    return run


def open_stage(folder: ResultsFolder) -> None:
    """Everything of a configuration that can fail before an image is there: network, every fold's weights, labels.

    Raises
    ------
    WeightsCorruptError, InvalidFormatError, SegmentationError
        As in `predict_array`.
    """
    with quiet():
        plans_manager, configuration, _ = managers(folder)
    network = build_network(plans_manager, configuration, folder.dataset)
    for fold, path in zip(folder.folds, folder.checkpoints, strict=True):
        load_fold(folder, network, fold, path)


def load_fold(folder: ResultsFolder, network: torch.nn.Module, fold: str, path: Path) -> tuple[int, ...]:
    """Put a fold's weights into the network; the axes along which it was trained to be mirrored."""
    checkpoint = load_checkpoint(path)
    if checkpoint.configuration not in (None, folder.configuration):
        raise InvalidFormatError(f"The checkpoint of fold {fold} was trained for {checkpoint.configuration}, not "
                                 f"for {folder.configuration}.", "The folder's parts come from different models.")
    load_weights(network, checkpoint.weights, fold)
    return checkpoint.mirror_axes


def choose_precision(wanted: str, device: torch.device) -> str:
    """Half precision on CUDA, as nnU-Net itself computes there; float32 elsewhere, unless asked for."""
    if wanted == "auto":
        return "float16" if device.type == "cuda" else "float32"
    if wanted == "float16" and device.type == "cpu":
        return "float32"  # CPUs have no arithmetic for it
    return wanted


def managers(folder: ResultsFolder) -> tuple[object, object, object]:
    """nnU-Net's own view of a folder: plans, configuration, labels. Call it within `quiet`."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    # Checked here too, whoever made the folder's description: nothing reaches nnU-Net that was not judged.
    plans_manager = PlansManager(checked_plans(folder.plans, folder.configuration))
    labels = plans_manager.get_label_manager(folder.dataset)
    if labels.has_regions:
        raise SegmentationError("The network was trained with overlapping regions instead of labels.",
                                "Only networks with one value for each structure can be used.")
    return plans_manager, plans_manager.get_configuration(folder.configuration), labels
