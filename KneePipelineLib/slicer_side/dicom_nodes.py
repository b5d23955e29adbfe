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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DicomError

UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
ECHO_TIME, ECHO_NUMBERS, POSITION, ORIENTATION = "0018,0081", "0018,0086", "0020,0032", "0020,0037"
SERIES_UID, STUDY_UID, MODALITY = "0020,000e", "0020,000d", "0008,0060"
ROWS, COLUMNS, PIXEL_SPACING, FRAMES = "0028,0010", "0028,0011", "0028,0030", "0028,0008"
REPETITION_TIME, FLIP_ANGLE = "0018,0080", "0018,1314"
_SAMPLE = 20
_SAME_IN_SIBLINGS = (ROWS, COLUMNS, PIXEL_SPACING, ORIENTATION, REPETITION_TIME, FLIP_ANGLE, MODALITY)


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
    found = DicomInput(files, size=_size_of(files, database))
    yield from _sort_echoes(found, database)
    yield from _find_other_echoes(found, database)
    yield found


def _database() -> Any:
    """None where Slicer runs without its DICOM module."""
    import slicer

    return getattr(slicer, "dicomDatabase", None)


def _size_of(files: Sequence[str], database: Any) -> tuple[int, int, int] | None:
    columns, rows, frames = (database.fileValue(files[0], tag).strip() for tag in (COLUMNS, ROWS, FRAMES))
    if frames or not (columns.isdigit() and rows.isdigit()):
        return None
    return int(columns), int(rows), len(files)


def _sort_echoes(found: DicomInput, database: Any) -> Iterator[None]:
    """Fill in `echoes` and `stacked`."""
    by_echo: dict[tuple[str, str], list[str]] = defaultdict(list)
    places: set[tuple[str, str]] = set()
    for path in found.files:
        by_echo[_echo_of(path, database)].append(path)
        places.add((database.fileValue(path, POSITION), database.fileValue(path, ORIENTATION)))
        yield None
    found.echoes = {key: by_echo[key] for key in sorted(by_echo, key=_echo_order)}
    # Echoes beside each other repeat every position; one slice acquired twice is no second echo.
    found.stacked = len(found.files) > 1 and len(found.files) >= 2 * len(places)


def _find_other_echoes(found: DicomInput, database: Any) -> Iterator[None]:
    """Fill in `all_echoes`: the rest of the same series, and series of the study that differ in the echo only."""
    first = found.files[0]
    keys = set(found.echoes)
    gathered, known = list(found.files), set(found.files)
    own = database.seriesForFile(first) or database.fileValue(first, SERIES_UID)
    for path in _files_of(database, own):
        if path not in known:
            keys.add(_echo_of(path, database))
            gathered.append(path)
            yield None
    if len(keys) == 1 and not database.fileValue(first, FRAMES).strip().isdigit():
        yield from _add_siblings(own, gathered, keys, database)
    found.all_echoes = gathered if len(keys) > 1 or found.stacked else []


def _add_siblings(own: str, gathered: list[str], keys: set[tuple[str, str]], database: Any) -> Iterator[None]:
    """Series of the same study on the same grid with another echo time: how some scanners store a qDESS pair."""
    first, count = gathered[0], len(gathered)
    alike = [database.fileValue(first, tag) for tag in _SAME_IN_SIBLINGS]
    places = {database.fileValue(path, POSITION) for path in gathered}
    study = database.fileValue(first, STUDY_UID)
    for series in database.seriesForStudy(study) if study else ():
        files = _files_of(database, series)
        yield None
        if series == own or len(files) != count:
            continue
        same = [database.fileValue(files[0], tag) for tag in _SAME_IN_SIBLINGS] == alike
        echo = _echo_of(files[0], database)
        if not same or echo in keys or not all(echo):
            continue
        if {database.fileValue(path, POSITION) for path in files} == places:
            keys.add(echo)
            gathered += files
        yield None


def _files_of(database: Any, series: str) -> list[str]:
    return [str(path) for path in database.filesForSeries(series)] if series else []


def _echo_of(path: str, database: Any) -> tuple[str, str]:
    return database.fileValue(path, ECHO_TIME).strip(), database.fileValue(path, ECHO_NUMBERS).strip()


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
