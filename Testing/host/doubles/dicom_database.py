"""``slicer.dicomDatabase`` over folders: which files belong to a series, where an instance lies, what a header says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def _header_of(path: str) -> Any:
    """The header of a DICOM file; None for anything else."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None


class DicomDatabase:
    """Index of the DICOM files of the folders handed in; nothing is copied."""

    def __init__(self) -> None:
        self._file_of: dict[str, str] = {}
        self._series: dict[str, list[str]] = {}
        self._studies: dict[str, list[str]] = {}
        self._headers: dict[str, Any] = {}

    isOpen = True
    databaseFilename = ""

    def addFolder(self, folder: str | os.PathLike) -> int:
        """Index every DICOM file below a folder; returns how many. (The host's own; Slicer imports by its browser.)"""
        before = len(self._file_of)
        for path in sorted(Path(folder).rglob("*")):
            if not path.is_file():
                continue
            header = _header_of(str(path))
            if header is not None and "SOPInstanceUID" in header:
                self._add(str(path), header)
        return len(self._file_of) - before

    def _add(self, path: str, header: Any) -> None:
        uid = str(header.SOPInstanceUID)
        if uid in self._file_of:
            return
        series, study = str(header.SeriesInstanceUID), str(header.StudyInstanceUID)
        self._file_of[uid] = path
        self._headers[path] = header
        self._series.setdefault(series, []).append(path)
        if series not in self._studies.setdefault(study, []):
            self._studies[study].append(series)

    def clear(self) -> None:
        """Forget every folder."""
        self.__init__()

    def seriesForStudy(self, study: str) -> tuple[str, ...]:
        return tuple(self._studies.get(study, ()))

    def filesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:
        files = self._series.get(series, [])
        return tuple(files if hits < 0 else files[:hits])

    def fileForInstance(self, uid: str) -> str:
        """The file of an instance; "" for one that is not in the database."""
        return self._file_of.get(uid, "")

    def instanceForFile(self, path: str) -> str:
        header = self._headers.get(path)
        return str(header.SOPInstanceUID) if header is not None else ""

    def fileValue(self, path: str, tag: str) -> str:
        """A header value as text; `tag` is "0008,103E". "" where the file or the tag is missing."""
        header = self._headers.get(path) or _header_of(path)
        if header is None:
            return ""
        group, element = (int(part, 16) for part in tag.split(","))
        if (group, element) not in header:
            return ""
        value = header[group, element].value
        from pydicom.multival import MultiValue

        return "\\".join(str(v) for v in value) if isinstance(value, MultiValue) else str(value)
