"""The front door for images: one call for every format, every failure one typed sentence."""

from __future__ import annotations

import os

import numpy as np

from ..errors import DicomError, InvalidFormatError
from .choices import check_echo, root_sum_of_squares
from .dicom_series import (
    Series,
    SeriesInfo,
    all_series,
    choose,
    readable_stacks,
    select,
    warn_of_missing,
    warn_of_source,
)
from .dicom_volumes import volumes_of
from .echo_sets import echo_sets, is_pair, set_of
from .formats import ImageFile
from .image_or_labels import NEAR_WHOLE
from .limits import DEFAULT_LIMITS, Limits
from .metaimage import open_metaimage
from .nifti import open_nifti
from .nrrd import open_nrrd
from .segments import is_segmentation, merge_layers, overlap_sentence, segments_of
from .source import Source, open_input
from .volume import Volume

PathLike = str | os.PathLike | Source
Spacing = tuple[float, float, float]


def read_image(path: PathLike, *, series: str | int | None = None, echo: int | str | None = None,
               side: str | None = None, spacing: Spacing | None = None, limits: Limits = DEFAULT_LIMITS,
               allow_nan: bool = False) -> Volume:
    """Read one 3-D image: DICOM (folder, file, zip), NIfTI, NRRD or MetaImage.

    Parameters
    ----------
    path : path or Source
        A file, a folder, a zip archive, or what :func:`open_input` gave.
    series : str or int, optional
        DICOM only: SeriesInstanceUID, SeriesNumber, or a part of the series description. Without it the largest 3-D
        series of original images is read and a warning tells so.
    echo : int or str, optional
        Needed if the input holds several echoes: the echo's number, counted from 1 in the order of echo time, or
        ``"rss"`` for the root of the sum of squares of all. Of a series that holds images of several kinds or
        repetitions, also the kind (``"fat"``, ``"in-phase"``, ``"T2 map"`` ...) or the number of the repetition.
    side : str, optional
        ``"left"`` or ``"right"``: which knee, of a DICOM series that holds a stack of slices of each.
    spacing : (3,) floats, optional
        A voxel size in mm along the file's own axes (columns, rows, slices), in place of a missing or wrong one.
    limits : Limits
        Checked from headers, before pixels are loaded.
    allow_nan : bool
        For our own maps (T2, thickness), in which NaN says "not measured": accept NaN and constant images.

    Returns
    -------
    Volume
        ``meta`` holds ``format``, ``echo_time_ms``, ``repetition_time_ms``, ``flip_angle_deg``, ``gl_area``, ``tg_us``,
        ``modality``, ``laterality``, ``field_strength_t``, ``body_part`` (None where unknown), ``kind`` (what a DICOM
        image shows, see :mod:`~KneePipelineLib.imaging.image_kinds`), ``warnings`` (a list of (code, sentence)) and,
        for DICOM, ``header`` (facts) and ``dicom_files`` (never to be written to results).

    Raises
    ------
    KneePipelineError
        MissingFileError, NothingUsableError, InvalidFormatError, EchoChoiceError, DicomError, InputTooLargeError or
        ConfigError, each with one sentence and a hint.
    """
    with open_input(path, limits=limits, side=side, spacing=spacing) as source:
        if source.kind == "DICOM":
            volume = _read_dicom(source, series, echo, limits)
        else:
            image = _open_image(source, limits)
            choice = check_echo(echo, image.components)
            wanted = range(image.components) if choice == "rss" else [(choice or 1) - 1]
            volumes = [_file_volume(image, c) for c in wanted]
            volume = root_sum_of_squares(volumes) if choice == "rss" else volumes[0]
    check_values(volume.array, allow_nan=allow_nan)
    return volume


def _read_dicom(source: Source, series: str | int | None, echo: int | str | None, limits: Limits) -> Volume:
    warnings: list[tuple[str, str]] = []
    chosen = choose(source, series, warnings)
    kind = kind_wanted(echo, chosen)
    found = readable_stacks(chosen, source, kind)
    warn_of_missing(chosen, source, warnings)
    stacks, are_echoes = found.stacks, found.echoes
    limits.check_voxels(stacks[0].size)
    apart = None if are_echoes or kind else set_of(chosen, echo_sets(all_series(source), limits))
    if apart is not None and series is None and is_pair(apart.stacks):
        stacks, are_echoes = apart.stacks, True
        warnings = [w for w in warnings if w[0] != "SEVERAL_SERIES"]
        others = len(all_series(source)) - len(apart.series)
        warnings.append(("SERIES_JOINED", "Two series of the input are the two echoes of one acquisition and were read "
                         f"together{f'; {others} other series left aside' if others else ''}."))
    if are_echoes:
        limits.check_echoes(len(stacks))
    choice = check_echo(None if kind else echo, len(stacks)) if are_echoes or (echo and not kind) else 1
    wanted = stacks if choice == "rss" else [stacks[(choice or 1) - 1]]
    volumes = volumes_of(wanted, limits, temporary=source.temporary)
    volume = root_sum_of_squares(volumes) if choice == "rss" else volumes[0]
    volume.meta["warnings"] = warnings + found.notes
    volume.meta["echoes"] = len(stacks) if are_echoes else len(apart.stacks) if apart else 1
    volume.meta["header"]["echo_times_ms"] = [s.echo_time_ms for s in (stacks if are_echoes else wanted[:1])]
    return volume


def kind_wanted(echo: int | str | None, series: Series) -> str:
    """The kind of image that the choice of an echo names, if the series holds it; else ""."""
    word = str(echo or "").strip().casefold()
    return next((kind for kind in series.kinds if kind.casefold() == word), "")


def read_echoes(path: PathLike, *, series: str | int | None = None, side: str | None = None,
                spacing: Spacing | None = None, limits: Limits = DEFAULT_LIMITS) -> list[Volume]:
    """Read all echoes of a multi-echo or qDESS acquisition, in the order of echo time (first echo first).

    A DICOM input may hold the echoes in one series, or in one series each; the latter are joined if they lie at the
    same place with the same repetition time and flip angle. Of several such sets the one with most echoes is read.

    Returns
    -------
    list of Volume
        At least two, all on the same grid; see :func:`read_image` for ``meta``.

    Raises
    ------
    KneePipelineError
        As :func:`read_image`; DicomError or InvalidFormatError if there is only one echo.
    """
    with open_input(path, limits=limits, side=side, spacing=spacing) as source:
        if source.kind == "DICOM":
            volumes = _read_dicom_echoes(source, series, limits)
        else:
            image = _open_image(source, limits)
            if image.components < 2:
                raise InvalidFormatError("The image holds a single echo, but T2 needs at least two.",
                                         "Give the multi-echo or qDESS series.")
            volumes = [_file_volume(image, c) for c in range(image.components)]
    for volume in volumes:
        check_values(volume.array)
    return volumes


def _read_dicom_echoes(source: Source, series: str | int | None, limits: Limits) -> list[Volume]:
    found = all_series(source)
    warnings: list[tuple[str, str]] = []
    warn_of_source(source, warnings)
    sets = echo_sets(found, limits)
    if series is not None:
        wanted = select(found, series)
        sets = [s for s in sets if any(member in wanted for member in s.series)]
    elif source.single is not None:
        sets = [s for s in sets if any(f.header.path == source.single for m in s.series for f in m.frames)]
    if not sets:
        candidates = select(found, series) if series is not None else found
        repeats = len(readable_stacks(max(candidates, key=lambda s: s.voxels), source).stacks)
        if repeats > 1:
            raise DicomError(f"The input holds {repeats} images of every slice, but its header does not tell them "
                             "apart as echoes, and T2 needs echoes.", "Give the multi-echo or qDESS series.")
        raise DicomError("The input holds a single echo of every slice, but T2 needs at least two.",
                         "Give the multi-echo or qDESS series.")
    best = max(sets, key=lambda s: (len(s.stacks), s.series[0].voxels))
    limits.check_echoes(len(best.stacks))
    for member in best.series:
        warn_of_missing(member, source, warnings)
        warnings.extend(member.reading().notes)
    if len(sets) > 1:
        warnings.append(("SEVERAL_ECHO_SETS", f"The input holds {len(sets)} multi-echo acquisitions; the one with "
                         f"{len(best.stacks)} echoes was read (series {best.series[0].label()})."))
    times = [s.echo_time_ms for s in best.stacks]
    numbers = [s.frames[0].echo_number for s in best.stacks]
    if len(set(times)) < len(times) and len(set(numbers)) < len(numbers):
        warnings.append(("ECHO_ORDER_ASSUMED", "Neither echo times nor echo numbers tell the echoes apart; their order "
                         "of acquisition was used."))
    volumes = volumes_of(best.stacks, limits, temporary=source.temporary)
    for volume in volumes:
        volume.meta["warnings"] = warnings
        volume.meta["echoes"] = len(volumes)
        volume.meta["header"]["echo_times_ms"] = times
    return volumes


def list_series(path: PathLike, *, limits: Limits = DEFAULT_LIMITS) -> list[SeriesInfo]:
    """What an input holds, for a person to choose from: one entry for each DICOM series, or for the one image."""
    with open_input(path, limits=limits) as source:
        if source.kind == "DICOM":
            return [s.info() for s in all_series(source)]
        image = _open_image(source, limits)
        spacing = tuple(float(s) for s in image.spacing)
        return [SeriesInfo(None, f"{image.format} image", "", image.size[2], image.components, image.size, spacing,
                           (None,) * image.components)]


def dicom_facts(path: PathLike, *, series: str | int | None = None, side: str | None = None,
                spacing: Spacing | None = None, limits: Limits = DEFAULT_LIMITS) -> dict:
    """The normalised, de-identified header of the series that :func:`read_image` would read, without its pixels.

    See :func:`KneePipelineLib.imaging.facts.header_facts` for the entries. For other formats, which know nothing of the
    acquisition, only ``format``, ``spacing_mm`` and ``matrix`` are filled.
    """
    from .facts import header_facts

    with open_input(path, limits=limits, side=side, spacing=spacing) as source:
        if source.kind == "DICOM":
            found = readable_stacks(choose(source, series, []), source)
            stacks = found.stacks if found.echoes else found.stacks[:1]
            return {**header_facts(stacks[0]), "format": "DICOM", "echo_times_ms": [s.echo_time_ms for s in stacks]}
        image = _open_image(source, limits)
        return {"format": image.format, "spacing_mm": [float(s) for s in image.spacing], "matrix": list(image.size)}


def read_labels(path: PathLike, *, spacing: Spacing | None = None, limits: Limits = DEFAULT_LIMITS) -> Volume:
    """Read a label map: NIfTI, NRRD (.nrrd, .seg.nrrd) or MetaImage; floating-point files of whole numbers too.

    Returns
    -------
    Volume
        Unsigned integers (uint8 if they fit). A .seg.nrrd also has ``meta["segments"]``: a list of {"name", "value",
        "terminology"}, its layers merged (cartilages and menisci win where segments overlap, with a warning).

    Raises
    ------
    KneePipelineError
        As :func:`read_image`; InvalidFormatError for fractions or negative values, which no label map has.
    """
    with open_input(path, limits=limits, spacing=spacing) as source:
        if source.kind == "DICOM":
            raise InvalidFormatError("A label map cannot be read from DICOM.",
                                     "Save the segmentation as .seg.nrrd, .nrrd or .nii.gz.")
        image = _open_image(source, limits)
        segments = segments_of(image.header) if image.format == "NRRD" else []
        if segments:
            return _segmentation(image, segments)
        if image.components > 1:
            raise InvalidFormatError(f"The label map is 4-D: it holds {image.components} values for every voxel.",
                                     "Give a label map with one value for every voxel.")
        volume = _file_volume(image, 0)
    return volume.with_array(_whole_numbers(volume.array))


def is_segmentation_file(path: PathLike, *, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a file is a .seg.nrrd by its header: segments, whose layers are no echoes.

    Raises
    ------
    KneePipelineError
        As :func:`read_image`, for what cannot be opened at all.
    """
    with open_input(path, limits=limits) as source:
        return source.kind == "NRRD" and is_segmentation(_open_image(source, limits).header)


def _segmentation(image: ImageFile, segments: list[dict]) -> Volume:
    layers = [_whole_numbers(image.load(c)) for c in range(image.components)]
    merged, kept, overlaps = merge_layers(layers, segments)
    warnings = list(image.warnings)
    if overlaps:
        warnings.append(("OVERLAPPING_SEGMENTS", overlap_sentence(overlaps, float(np.prod(image.spacing)))))
    meta = {"format": image.format, **image.meta, "segments": kept, "warnings": warnings}
    return Volume(merged, image.spacing, image.origin, image.direction, meta)


def _whole_numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (np.abs(array - np.rint(array)) > NEAR_WHOLE).any():
            raise InvalidFormatError(
                "The label map holds fractions: it was interpolated, or is an image or a probability map.",
                "Give the segmentation itself, or resample it again with nearest neighbours.")
        array = np.rint(array)  # 3.00005, as some programs leave it
    low, high = array.min(), array.max()
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InvalidFormatError(f"The label map holds values from {low:g} to {high:g}, which are no labels.",
                                 "Give the segmentation, not the image.")
    return array.astype(np.uint8 if high < 256 else np.uint16, copy=False)


def _open_image(source: Source, limits: Limits) -> ImageFile:
    openers = {"NIfTI": open_nifti, "NRRD": open_nrrd, "MetaImage": open_metaimage}
    return openers[source.kind](source.path, limits, source.spacing)


def _file_volume(image: ImageFile, component: int) -> Volume:
    unknown = dict.fromkeys(("echo_time_ms", "repetition_time_ms", "flip_angle_deg", "gl_area", "tg_us", "modality",
                             "laterality", "field_strength_t", "body_part"))
    meta = {"format": image.format, **unknown, **image.meta, "warnings": list(image.warnings)}
    if image.components > 1:
        meta.update(echoes=image.components, echo_number=component + 1)
    array = image.load(component)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return Volume(array, image.spacing, image.origin, image.direction, meta)


def check_values(array: np.ndarray, *, allow_nan: bool = False) -> None:
    """Raise InvalidFormatError for values that no image has: NaN, infinity, or one and the same everywhere."""
    if array.dtype.kind not in "biuf":
        raise InvalidFormatError(f"The image's voxels are of type {array.dtype}, not numbers.", "Export it again.")
    if allow_nan:
        return
    low, high = float(array.min()), float(array.max())  # both are NaN if any voxel is
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise InvalidFormatError(f"The image holds {bad} voxels that are not numbers (NaN or infinite).",
                                 "Export the image again, or replace these voxels.", voxels=bad)
    if low == high == 0 and array.dtype.kind in "biu":
        raise InvalidFormatError("The image is constant: every voxel is 0, as in an empty label map.",
                                 "Check that the segmentation or the image was saved with its contents.", value=low)
    if low == high:
        raise InvalidFormatError(f"The image is constant: every voxel has the value {low:g}.",
                                 "Export the image again; this one is empty.", value=low)
