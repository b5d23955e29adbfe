"""Which DICOM series is meant: listed, selected, or the largest 3-D one; and which series are echoes of each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from ..errors import ConfigError, DicomError, KneePipelineError, NothingUsableError
from .dicom_frames import Frame, Scan
from .dicom_geometry import Stack, stacks_of
from .limits import Limits
from .source import Source

_NOT_IMAGES = {"SEG", "SR", "PR", "KO", "RTSTRUCT", "REG", "DOC", "OT"}
"""Modalities of files that may have rows and columns but are no acquisition."""


@dataclass(frozen=True)
class SeriesInfo:
    """One series as a person may choose it.

    ``size`` is (columns, rows, slices) of one echo and ``spacing_mm`` its spacing, both None if the series is not a
    volume; ``problem`` then says why. ``uid`` is for choosing (``series=info.uid``) and must not be logged: it is left
    out of the repr.
    """

    number: int | None
    description: str
    modality: str
    slices: int
    echoes: int
    size: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float] | None
    echo_times_ms: tuple[float | None, ...]
    problem: str = ""
    uid: str = field(default="", repr=False)


class Series:
    """All frames of one SeriesInstanceUID."""

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        self.header = frames[0].header

    @cached_property
    def _outcome(self) -> list[Stack] | KneePipelineError:
        if self.header.modality in _NOT_IMAGES:
            return DicomError(f"The series is of modality {self.header.modality}, not an acquired image.",
                              "Choose the MR series.")
        try:
            return stacks_of(self.frames)
        except KneePipelineError as error:
            return error

    @property
    def stacks(self) -> list[Stack]:
        """One stack for each echo; raises what makes the series unreadable."""
        if isinstance(self._outcome, KneePipelineError):
            raise self._outcome
        return self._outcome

    @property
    def problem(self) -> KneePipelineError | None:
        """Why the series is not a volume, or None."""
        return self._outcome if isinstance(self._outcome, KneePipelineError) else None

    @property
    def voxels(self) -> int:
        """Voxels of one echo as a measure of size; of all frames for a series that is not a volume."""
        if self.problem:
            return sum(f.rows * f.columns for f in self.frames)
        columns, rows, slices = self.stacks[0].size
        return columns * rows * slices

    def info(self) -> SeriesInfo:
        """What :func:`~KneePipelineLib.imaging.list_series` tells."""
        stacks = [] if self.problem else self.stacks
        return SeriesInfo(
            number=self.header.series_number,
            description=self.header.description,
            modality=self.header.modality,
            slices=stacks[0].size[2] if stacks else len(self.frames),
            echoes=len(stacks) or 1,
            size=stacks[0].size if stacks else None,
            spacing_mm=tuple(float(s) for s in stacks[0].spacing) if stacks else None,
            echo_times_ms=tuple(s.echo_time_ms for s in stacks),
            problem=self.problem.message if self.problem else "",
            uid=self.header.series_uid,
        )

    def label(self) -> str:
        """Number and description, for a list in a hint."""
        number = "?" if self.header.series_number is None else self.header.series_number
        return f"{number} ({self.header.description or 'no description'})"


def all_series(source: Source) -> list[Series]:
    """Every series of a DICOM source, by series number.

    Raises
    ------
    DicomError
        All files are damaged.
    NothingUsableError
        DICOM files, but no image in them.
    """
    scan = source.scan
    if not scan.frames:
        if scan.damaged:
            what = "The DICOM file cannot" if scan.damaged == 1 else f"None of the {scan.damaged} DICOM files can"
            raise DicomError(f"{what} be read: damaged or cut short.",
                             "Export the series again.", files=scan.damaged)
        raise NothingUsableError(f"The input holds {scan.without_image} DICOM file(s), but no image among them.",
                                 "Give the folder of an MR series.", files=scan.without_image)
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in scan.frames:
        header = frame.header
        groups[(header.series_uid or (header.study_uid, header.series_number, header.path.parent))].append(frame)
    series = [Series(frames) for frames in groups.values()]
    return sorted(series, key=lambda s: (s.header.series_number is None, s.header.series_number or 0,
                                         s.header.description, str(s.header.path)))


def select(series: list[Series], wanted: str | int) -> list[Series]:
    """The series with this SeriesInstanceUID, else this SeriesNumber, else this text in its description.

    Raises
    ------
    ConfigError
        No series matches.
    """
    text = str(wanted).strip()
    matches = [s for s in series if text and s.header.series_uid == text]
    if not matches and text.isdigit():
        matches = [s for s in series if s.header.series_number == int(text)]
    if not matches:
        matches = [s for s in series if text and text.casefold() in s.header.description.casefold()]
    if not matches:
        raise ConfigError("No series in the input has the number, description or UID that was asked for.",
                          f"Choose by number; there are: {_listing(series)}.", series=len(series))
    return matches


def _listing(series: list[Series]) -> str:
    return ", ".join(s.label() for s in series[:12]) + (", ..." if len(series) > 12 else "")


def choose(source: Source, wanted: str | int | None, warnings: list[tuple[str, str]]) -> Series:
    """The one series to read: as selected, or the largest 3-D one with a warning if there are others.

    Raises
    ------
    ConfigError
        The selection fits no series, or several.
    DicomError
        Nothing but damaged files. A series that is no regular volume may still be returned; its ``stacks`` tell why.
    """
    series = all_series(source)
    warn_of_scan(source.scan, warnings)
    if wanted is not None:
        matches = select(series, wanted)
        good = [s for s in matches if not s.problem]
        if len(good) > 1 or (len(matches) > 1 and not good):
            raise ConfigError(f"{len(matches)} series fit what was asked for: {_listing(matches)}.",
                              "Choose by number (the one in front of each description).", series=len(matches))
        return (good or matches)[0]
    if source.single is not None:
        return _series_of_file(source, series, warnings)
    good = [s for s in series if not s.problem]
    if not good:
        return max(series, key=lambda s: s.voxels)
    best = max(good, key=lambda s: s.voxels)
    if len(series) > 1:
        others = len(series) - 1
        warnings.append(("SEVERAL_SERIES", f"The input holds {len(series)} series; the largest 3-D one was read "
                         f"(number {best.label()}) and {others} left aside; choose by number to read another."))
    return best


def readable_stacks(series: Series, scan: Scan) -> list[Stack]:
    """The stacks of a chosen series; if there are none, the error also tells of damaged files beside it."""
    problem = series.problem
    if problem and scan.damaged and isinstance(problem, DicomError):
        raise DicomError(problem.message, f"{scan.damaged} DICOM file(s) of the input are damaged and may be what is "
                         f"missing. {problem.hint}", **problem.details, damaged=scan.damaged)
    return series.stacks


def _series_of_file(source: Source, series: list[Series], warnings: list[tuple[str, str]]) -> Series:
    """The series of the file that was pointed at; a multi-frame file stands for itself."""
    for candidate in series:
        own = [f for f in candidate.frames if f.header.path == source.single]
        if not own:
            continue
        if len(own) > 1 or own[0].header.frames > 1:
            return Series(own)
        if len(candidate.frames) > 1:
            warnings.append(("SERIES_COMPLETED", f"The file is one of {len(candidate.frames)} images of its series; "
                             "all of them were read."))
        return candidate
    raise DicomError("The DICOM file cannot be read: damaged, cut short, or without an image.",
                     "Export the series again.")


def warn_of_scan(scan: Scan, warnings: list[tuple[str, str]]) -> None:
    """Tell of files that were left out."""
    if scan.damaged:
        warnings.append(("DAMAGED_FILES", f"{scan.damaged} DICOM file(s) could not be read and were left out."))
    if scan.repeated:
        warnings.append(("REPEATED_FILES", f"{scan.repeated} DICOM file(s) are copies of others and were left out."))


@dataclass
class EchoSet:
    """Stacks of the same place at several echoes, from one series or one series each."""

    stacks: list[Stack]
    series: list[Series]


def echo_sets(series: list[Series], limits: Limits) -> list[EchoSet]:
    """Multi-echo series, and sibling series that hold one echo each of the same place.

    Siblings agree in study, grid, repetition time and flip angle and differ in echo time or, as the two halves of a
    qDESS pair may, in echo number only.
    """
    sets, singles = [], []
    for one in series:
        if one.problem:
            continue
        limits.check_voxels(one.stacks[0].size)
        if len(one.stacks) > 1:
            sets.append(EchoSet(one.stacks, [one]))
        else:
            singles.append(one)
    while singles:
        first = singles.pop(0)
        family = [first, *(s for s in singles if _siblings(first, s))]
        by_echo: dict[tuple, Series] = {}
        for member in family:
            frame = member.stacks[0].frames[0]
            by_echo.setdefault((round(frame.echo_time_ms or 0.0, 3), frame.echo_number or 0), member)
        if len(by_echo) > 1:
            members = [by_echo[k] for k in sorted(by_echo)]
            sets.append(EchoSet([m.stacks[0] for m in members], members))
            singles = [s for s in singles if s not in family]
    return sets


def _siblings(a: Series, b: Series) -> bool:
    one, other = a.stacks[0].frames[0], b.stacks[0].frames[0]
    return (a.header.study_uid == b.header.study_uid and a.header.modality == b.header.modality
            and _close(one.repetition_time_ms, other.repetition_time_ms)
            and _close(one.flip_angle_deg, other.flip_angle_deg)
            and a.stacks[0].same_place(b.stacks[0]))


def _close(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and abs(a - b) <= 1e-3 * max(abs(a), abs(b)))
