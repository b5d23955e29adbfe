"""The DICOM files behind a volume node, so that a run sees the originals: every echo, its times, the laterality.

Slicer notes on a volume from which instances it was loaded (attribute ``DICOM.instanceUIDs``). It does not split a
series by echo: a two-echo series is stacked into one volume of twice as many slices, which repeated slice positions
give away. The run sorts the files itself; here is decided which files it gets.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import DicomError
from .volumes import elsewhere

UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
ECHO_TIME, ECHO_NUMBERS = "EchoTime", "EchoNumbers"
POSITION, ORIENTATION = "ImagePositionPatient", "ImageOrientationPatient"
SERIES_UID, STUDY_UID, MODALITY = "SeriesInstanceUID", "StudyInstanceUID", "Modality"
ROWS, COLUMNS, PIXEL_SPACING, FRAMES = "Rows", "Columns", "PixelSpacing", "NumberOfFrames"
REPETITION_TIME, FLIP_ANGLE = "RepetitionTime", "FlipAngle"
_SAMPLE = 20
_SAME_IN_SIBLINGS = (ROWS, COLUMNS, PIXEL_SPACING, ORIENTATION, REPETITION_TIME, FLIP_ANGLE, MODALITY)
_READ = (*_SAME_IN_SIBLINGS, ECHO_TIME, ECHO_NUMBERS, POSITION, SERIES_UID, STUDY_UID, FRAMES)

Header = dict[str, str]
"""Keyword of a tag -> its value as text, several values with backslashes between; what is not there is left out."""


@dataclass
class DicomInput:
    """What is behind a node.

    Attributes
    ----------
    files : list of str
        The node's own files, in the order of its instances.
    echoes : dict of (echo time, echo number) -> list of str
        The node's own files by echo, the shortest echo first; both parts of a key are text as in the header.
    all_echoes : list of str
        Files of every echo of the same acquisition that the database holds, the node's own among them; empty when
        there is one echo only.
    stacked : bool
        Several echoes lie in this one node: its slice positions repeat, and its geometry means nothing.
    size : (int, int, int) or None
        Columns, rows and slices of the files; None where one file holds many slices.
    """

    files: list[str]
    echoes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    all_echoes: list[str] = field(default_factory=list)
    stacked: bool = False
    size: tuple[int, int, int] | None = None

    def is_shown_by(self, node: Any) -> bool:
        """Whether the node still has the voxels it was loaded with: a copy that was cropped keeps the attribute."""
        image = node.GetImageData()
        return image is not None and self.size in (None, tuple(image.GetDimensions()))


def has_dicom(node: Any) -> bool:
    """Whether the node says from which DICOM instances it was loaded."""
    return bool(node is not None and (node.GetAttribute(UIDS_ATTRIBUTE) or "").split())


def is_in_database(node: Any) -> bool:
    """Whether Slicer's DICOM database knows the node's instances; the first few speak for all of them."""
    database = _database()
    uids = node.GetAttribute(UIDS_ATTRIBUTE).split()[:_SAMPLE]
    return database is not None and any(database.fileForInstance(uid) for uid in uids)


def look_behind(node: Any, database: Any = None) -> Iterator[DicomInput | None]:
    """Find the files behind a node, a few headers at a time.

    Parameters
    ----------
    node : vtkMRMLVolumeNode
        With the attribute ``DICOM.instanceUIDs``.
    database
        ``slicer.dicomDatabase`` by default.

    Yields
    ------
    None, again and again
        While it works: the event loop may turn in between.
    DicomInput
        At last, once.

    Raises
    ------
    DicomError
        When files that the node was loaded from are no longer there, or Slicer has no DICOM database.
    """
    database = _database() if database is None else database
    if database is None:
        raise DicomError("Slicer's DICOM database is not available.", "Open the DICOM module once, then press Apply.")
    uids = node.GetAttribute(UIDS_ATTRIBUTE).split()
    files, missing = [], 0
    for number, uid in enumerate(uids, start=1):
        files.append(database.fileForInstance(uid) or "")
        missing += not os.path.isfile(files[-1])
        if number % 10 == 0:  # a disk in the network may take a millisecond for each
            yield None
    if missing:
        raise DicomError(f"{missing} of the {len(files)} DICOM files of the volume are no longer where Slicer's DICOM "
                         "database says.", "Import the series again in the DICOM module and load it anew.",
                         files=len(files), missing=missing)
    files = list(dict.fromkeys(files))  # a multi-frame file may be named once for each frame
    headers: dict[str, Header] = {}
    yield from elsewhere(_read_headers, files, headers)
    found = DicomInput(files, size=_size_of(files, headers))
    _sort_echoes(found, headers)
    yield from _find_other_echoes(found, headers, database)
    yield found


def _database() -> Any:
    """None where Slicer runs without its DICOM module."""
    import slicer

    return getattr(slicer, "dicomDatabase", None)


def _read_headers(files: Sequence[str], headers: dict[str, Header], stopped: Callable[[], bool]) -> None:
    """Add the headers of `files`, for another thread: asked for a tag that it has not cached, Slicer's database would
    read the whole file and write into its own, on the thread that draws."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.multival import MultiValue

    for path in files:
        if stopped():
            return
        try:
            read = dcmread(path, stop_before_pixels=True, specific_tags=list(_READ))
        except (InvalidDicomError, OSError) as error:
            raise DicomError("A DICOM file of the input volume cannot be read.",
                             "Import the series again in the DICOM module and load it anew.") from error
        values = {tag: read[tag].value for tag in _READ if tag in read}
        headers[path] = {tag: "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "").strip()
                         for tag, value in values.items()}


def _size_of(files: Sequence[str], headers: Mapping[str, Header]) -> tuple[int, int, int] | None:
    columns, rows, frames = (headers[files[0]].get(tag, "") for tag in (COLUMNS, ROWS, FRAMES))
    if frames or not (columns.isdigit() and rows.isdigit()):
        return None
    return int(columns), int(rows), len(files)


def _sort_echoes(found: DicomInput, headers: Mapping[str, Header]) -> None:
    """Fill in `echoes` and `stacked`."""
    by_echo: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in found.files:
        by_echo[_echo_of(headers[path])].append(path)
    places = {(headers[path].get(POSITION), headers[path].get(ORIENTATION)) for path in found.files}
    found.echoes = {key: by_echo[key] for key in sorted(by_echo, key=_echo_order)}
    # Echoes beside each other repeat every position; one slice acquired twice is no second echo.
    found.stacked = len(found.files) > 1 and len(found.files) >= 2 * len(places)


def _find_other_echoes(found: DicomInput, headers: dict[str, Header], database: Any) -> Iterator[None]:
    """Fill in `all_echoes`: the rest of the same series, and series of the study that differ in the echo only."""
    first, keys = headers[found.files[0]], set(found.echoes)
    known = set(found.files)
    rest = [path for path in _files_of(database, first.get(SERIES_UID, "")) if path not in known]
    yield from elsewhere(_read_headers, rest, headers)
    gathered = [*found.files, *rest]
    keys |= {_echo_of(headers[path]) for path in rest}
    if len(keys) == 1 and not first.get(FRAMES, "").isdigit():
        yield from _add_siblings(gathered, keys, headers, database)
    found.all_echoes = gathered if len(keys) > 1 or found.stacked else []


def _add_siblings(gathered: list[str], keys: set[tuple[str, str]], headers: dict[str, Header],
                  database: Any) -> Iterator[None]:
    """Series of the same study on the same grid with another echo time: how some scanners store a qDESS pair."""
    first, count = headers[gathered[0]], len(gathered)
    places = {headers[path].get(POSITION) for path in gathered}
    for series in database.seriesForStudy(first[STUDY_UID]) if first.get(STUDY_UID) else ():
        files = _files_of(database, series)
        yield None
        if series == first.get(SERIES_UID) or len(files) != count:
            continue
        yield from elsewhere(_read_headers, files[:1], headers)
        echo = _echo_of(headers[files[0]])
        same = all(headers[files[0]].get(tag) == first.get(tag) for tag in _SAME_IN_SIBLINGS)
        if not same or echo in keys or not all(echo):
            continue
        yield from elsewhere(_read_headers, files[1:], headers)
        if {headers[path].get(POSITION) for path in files} == places:
            keys.add(echo)
            gathered += files


def _files_of(database: Any, series: str) -> list[str]:
    return [str(path) for path in database.filesForSeries(series)] if series else []


def _echo_of(header: Header) -> tuple[str, str]:
    return header.get(ECHO_TIME, ""), header.get(ECHO_NUMBERS, "")


def _echo_order(key: tuple[str, str]) -> tuple[float, float]:
    def number(text: str) -> float:
        with contextlib.suppress(ValueError):
            return float(text.split("\\")[0])
        return 0.0

    return number(key[0]), number(key[1])


def gather(files: Sequence[str], folder: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Put `files` into `folder` under names that say nothing about anybody: as links, or as copies where none can be.

    For another thread: on Windows without the right to make links this copies a whole series. `stopped` is asked
    between two files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ways = [os.symlink, os.link, shutil.copyfile]
    try:
        for number, path in enumerate(files, start=1):
            if stopped():
                return
            ways = _place(os.path.abspath(path), folder / f"IM{number:05d}.dcm", ways)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DicomError(f"The DICOM files of the input volume could not be read or placed: {reason}.",
                         "Check that their disk is connected, and that the temporary folder has room.") from None


def _place(source: str, target: Path, ways: list[Any]) -> list[Any]:
    """Place one file by the first way that works; the ways that are left for the next one."""
    while True:
        try:
            ways[0](source, target)
        except OSError:
            if len(ways) == 1:
                raise
            ways = ways[1:]
        else:
            return ways
