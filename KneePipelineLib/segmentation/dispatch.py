"""From a model's name to labels with a verdict: the room's front door."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import ConfigError, MissingFileError, NothingUsableError
from ..imaging.volume import Volume
from .confidence import Confidence, judge
from .device import choose_device, is_memory_error, release_memory
from .postprocess import Cleaned, clean_labels, shown_side
from .types import Cancelled, Progress, RawSegmentation, SegmentationOptions, part_of

PLANAR_MODELS = {"dosma_ananya": "sagittal", "goyal_sagittal": "sagittal", "goyal_coronal": "coronal",
                 "goyal_axial": "axial"}
CONSENSUS_MEMBERS = ("goyal_sagittal", "goyal_coronal", "goyal_axial")
MODELS = ("bundled", "nnunet_fullres", "nnunet_cascade", *PLANAR_MODELS, "staple")
"""The names a person meets (design, section 9)."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmented knee.

    Attributes
    ----------
    labels : Volume
        Canonical labels, uint8, on the image's grid.
    confidence : Confidence
    side : str or None
        ``right`` or ``left``, or None when the labels do not show it.
    model : dict
        What was done: name, kind, device, precision, tiles or slices, seconds; JSON-serialisable.
    warnings : list of (code, sentence)
    """

    labels: Volume
    confidence: Confidence
    side: str | None
    model: dict
    warnings: list[tuple[str, str]] = field(default_factory=list)


def segment(volume: Volume, model: str, *, weights: Path | Mapping[str, Path], device: str = "auto",
            progress: Progress | None = None, cancelled: Cancelled | None = None,
            options: SegmentationOptions | None = None,
            on_device: Callable[[str], None] | None = None) -> Segmentation:
    """Label a knee.

    Parameters
    ----------
    volume : Volume
        The image, in any orientation; a double-echo scan as the root of the sum of squares of its echoes.
    model : str
        One of `MODELS`.
    weights : Path or mapping
        The model's files: an nnU-Net results folder (or any folder above it), a Keras HDF5 file (or its folder), or a
        mapping from model names to such paths; a consensus needs the mapping, as ``weights.locations`` gives it.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    progress : callable
        Called with (fraction, sentence); the fraction never goes backwards.
    cancelled : callable
        Asked before every tile or batch.
    on_device : callable
        Told on which device it computes, and again when an Apple GPU hands over to the CPU.

    Raises
    ------
    GpuMemoryError
        If not even one tile fits on the GPU: the caller may come again with ``device="cpu"``.
    MemoryCriticalError, WeightsCorruptError, MissingFileError, InvalidFormatError, SegmentationError, ConfigError,
    CancelledError, NothingUsableError
    """
    start = time.perf_counter()
    if model not in MODELS:
        raise ConfigError(f"'{model}' is no segmentation network.", f"Choose one of {', '.join(MODELS)}.")
    _check_image(volume)
    options = options or SegmentationOptions()
    chosen, warnings = choose_device(device)
    report = _forward_only(progress)
    raw = _run(volume, model, weights, chosen, options, part_of(report, 0, 0.95), cancelled, on_device)
    release_memory(chosen)
    report(0.95, "Cleaning the labels up")
    cleaned = clean_labels(raw.labels) if options.postprocess else _as_it_is(raw.labels)
    confidence = judge(cleaned, raw.margins)
    warnings = [*warnings, *raw.warnings, *cleaned.warnings]
    if confidence.level == "low":
        warnings.append(("LOW_CONFIDENCE", "The confidence in the segmentation is low. "
                         + " ".join(confidence.reasons)))
    facts = {"name": model, **raw.facts, "seconds_total": round(time.perf_counter() - start, 3)}
    report(1.0, "Segmented")
    return Segmentation(cleaned.labels, confidence, shown_side(cleaned.labels), facts, warnings)


def _run(volume: Volume, model: str, weights: Path | Mapping[str, Path], device: object, options: SegmentationOptions,
         report: Progress, cancelled: Cancelled | None, on_device: Callable[[str], None] | None) -> RawSegmentation:
    """Run on the device; an Apple GPU that lacks an operation hands over to the CPU, with a warning."""
    tell = on_device or (lambda name: None)
    tell(str(device))
    try:
        return _run_on(volume, model, weights, device, options, report, cancelled)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        # That a kind of number or a shape is not supported, torch tells as any of the three.
        if device.type != "mps" or is_memory_error(error):
            raise
    import torch

    release_memory(device)
    tell("cpu")
    raw = _run_on(volume, model, weights, torch.device("cpu"), options, report, cancelled)
    raw.warnings.append(("CPU_FALLBACK", "The Apple GPU lacks an operation of this network: the segmentation ran on "
                         "the CPU."))
    return raw


def _run_on(volume: Volume, model: str, weights: Path | Mapping[str, Path], device: object,
            options: SegmentationOptions, report: Progress, cancelled: Cancelled | None) -> RawSegmentation:
    arguments = {"device": device, "options": options, "cancelled": cancelled}
    if model == "staple":
        return _run_consensus(volume, weights, report, arguments)
    path = _path_of(weights, model)
    if model in PLANAR_MODELS:
        from .planar import predict_planar

        return predict_planar(volume, _keras_file(path), PLANAR_MODELS[model], progress=report, **arguments)
    if model == "bundled":
        from .bundled.predict import predict_bundled

        return predict_bundled(volume, path, progress=report, **arguments)
    from .nnunet import predict_cascade, predict_fullres

    if model == "nnunet_cascade":
        return predict_cascade(volume, path, progress=report, **arguments)
    return predict_fullres(volume, path, progress=report, **arguments)


def _run_consensus(volume: Volume, weights: Path | Mapping[str, Path], report: Progress,
                   arguments: dict) -> RawSegmentation:
    from .consensus import majority, staple
    from .planar import predict_planar

    if not isinstance(weights, Mapping):
        raise ConfigError("The consensus needs the weights of three networks.",
                          f"Give a path for each of {', '.join(CONSENSUS_MEMBERS)}.")
    answers = []
    for number, name in enumerate(CONSENSUS_MEMBERS):
        share = (0.9 * number / 3, 0.9 * (number + 1) / 3)
        raw = predict_planar(volume, _keras_file(_path_of(weights, name)), PLANAR_MODELS[name],
                             progress=part_of(report, *share), **arguments)
        if arguments["options"].postprocess:
            raw.labels = clean_labels(raw.labels).labels
        answers.append(raw)
    report(0.9, "Finding the consensus of the three planes")
    rule = arguments["options"].consensus
    labels, warnings = (staple if rule == "staple" else majority)([a.labels for a in answers])
    known = sorted({v for a in answers for v in a.margins})
    margins = {v: float(np.mean([a.margins[v] for a in answers if v in a.margins])) for v in known}
    facts = {"kind": "consensus", "rule": rule, "device": answers[0].facts["device"],
             "members": {name: a.facts for name, a in zip(CONSENSUS_MEMBERS, answers, strict=True)},
             "seconds": round(sum(a.facts["seconds"] for a in answers), 3)}
    return RawSegmentation(labels, margins, facts, warnings)


def _path_of(weights: Path | Mapping[str, Path], name: str) -> Path:
    if not isinstance(weights, Mapping):
        return Path(weights)
    plane = PLANAR_MODELS.get(name, "")
    path = weights.get(name, weights.get(plane))
    if path is None:
        raise MissingFileError(f"The weights of {name} are not there.", f"Get them with `models download {name}`.")
    return Path(path)


def _keras_file(path: Path) -> Path:
    """The file itself, or the only HDF5 file of a folder."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.h5"))
    if len(files) != 1:
        raise MissingFileError(f"The folder of the planar network holds {len(files)} .h5 files instead of one.",
                               "Name the file.")
    return files[0]


def _check_image(volume: Volume) -> None:
    if min(volume.array.shape) < 2:
        raise NothingUsableError("The image is a single slice.", "Choose a 3-D series.")
    low, high = float(volume.array.min()), float(volume.array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NothingUsableError("The image holds values that are not finite.", "Export the series again.")
    if low == high:
        raise NothingUsableError("The image has the same value everywhere.", "Choose another series.")


def _as_it_is(labels: Volume) -> Cleaned:
    values = [int(v) for v in np.unique(labels.array) if v]
    return Cleaned(labels, dict.fromkeys(values, 1), dict.fromkeys(values, 1.0), [])


def _forward_only(progress: Progress | None) -> Progress:
    """A stage that has to start again must not move the bar back."""
    best = 0.0

    def report(fraction: float, message: str) -> None:
        nonlocal best
        best = max(best, fraction)
        if progress is not None:
            progress(best, message)

    return report
