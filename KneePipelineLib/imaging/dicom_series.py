"""Which DICOM series is meant: listed, selected, or the largest 3-D one; and which series are echoes of each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ..errors import ConfigError, DicomError, KneePipelineError, NothingUsableError
from .dicom_frames import Frame
from .dicom_geometry import Stack, Stacks, stacks_of
from .image_kinds import is_picture
from .joined_series import joined
from .source import Source

_NOT_IMAGES = {"SEG", "SR", "PR", "KO", "RTSTRUCT", "REG", "DOC", "OT"}
"""Modalities of files that may have rows and columns but are no acquisition."""


@dataclass(frozen=True)
class SeriesInfo:
    """One series as a person may choose it.

    ``size`` is (columns, rows, slices) of one echo and ``spacing_mm`` its spacing, both None if the series is not a
    volume; ``problem`` then says why. ``kind`` is what its images show (magnitude, water, T2 map ...). ``uid`` is for
    choosing (``series=info.uid``) and must not be logged: it is left out of the repr.
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
    kind: str = ""
    uid: str = field(default="", repr=False)


class Series:
    """All frames of one SeriesInstanceUID, understood with the source's side and stated voxel size."""

    def __init__(self, frames: list[Frame], source: Source | None = None) -> None:
        self.frames = frames
        self.header = frames[0].header
        self._source = source
        self._outcomes: dict[str, Stacks | KneePipelineError] = {}

    def _outcome(self, kind: str = "") -> Stacks | KneePipelineError:
        if kind not in self._outcomes:
            self._outcomes[kind] = self._stacked(kind)
        return self._outcomes[kind]

    def _stacked(self, kind: str) -> Stacks | KneePipelineError:
        if self.header.modality in _NOT_IMAGES:
            return DicomError(f"The series is of modality {self.header.modality}, not an acquired image.",
                              "Choose the MR series.")
        side, spacing = (self._source.side, self._source.spacing) if self._source else (None, None)
        try:
            return stacks_of(self.frames, side=side, spacing=spacing, kind=kind)
        except KneePipelineError as error:
            return error

    def reading(self, kind: str = "") -> Stacks:
        """The stacks of one kind of image, or of the preferred one; raises what makes the series unreadable."""
        outcome = self._outcome(kind)
        if isinstance(outcome, KneePipelineError):
            raise outcome
        return outcome

    @property
    def stacks(self) -> list[Stack]:
        """One stack for each echo or repetition; raises what makes the series unreadable."""
        return self.reading().stacks

    @property
    def kinds(self) -> set[str]:
        """The kinds of image that the series holds."""
        return {f.kind for f in self.frames}

    @property
    def problem(self) -> KneePipelineError | None:
        """Why the series is not a volume, or None."""
        outcome = self._outcome()
        return outcome if isinstance(outcome, KneePipelineError) else None

    @property
    def rank(self) -> int:
        """2 for original images, 1 for anatomy that was computed or cut anew, 0 for maps and phases."""
        frame = self.stacks[0].frames[0]
        return 2 if is_picture(frame.kind) and frame.original else int(is_picture(frame.kind))

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
        echoes = bool(stacks) and self.reading().echoes
        return SeriesInfo(
            number=self.header.series_number,
            description=self.header.description,
            modality=self.header.modality,
            slices=stacks[0].size[2] if stacks else len(self.frames),
            echoes=len(stacks) if echoes else 1,
            size=stacks[0].size if stacks else None,
            spacing_mm=tuple(float(s) for s in stacks[0].spacing) if stacks else None,
            echo_times_ms=tuple(s.echo_time_ms for s in (stacks if echoes else stacks[:1])),
            kind=stacks[0].frames[0].kind if stacks else "",
            problem=self.problem.message if self.problem else "",
            uid=self.header.series_uid,
        )

    def label(self) -> str:
        """Number and description, for a list in a hint."""
        number = "?" if self.header.series_number is None else self.header.series_number
        return f"{number} ({self.header.description or 'no description'})"


def all_series(source: Source) -> list[Series]:
    """Every series of a DICOM source, by series number; sorted into stacks only once for an open source.

    Raises
    ------
    DicomError
        All files are damaged.
    NothingUsableError
        DICOM files, but no image in them.
    """
    if source.series is None:
        source.series = _all_series(source)
    return source.series


def _all_series(source: Source) -> list[Series]:
    scan = source.scan
    if not scan.frames:
        if scan.damaged:
            what = "The DICOM file cannot" if scan.damaged == 1 else f"None of the {scan.damaged} DICOM files can"
            raise DicomError(f"{what} be read: damaged or cut short.",
                             "Export the series again.", files=scan.damaged, causes=sorted(scan.causes))
        raise NothingUsableError(f"The input holds {scan.without_image} DICOM file(s), but no image among them.",
                                 "Give the folder of an MR series.", files=scan.without_image)
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for frame in scan.frames:
        header = frame.header
        groups[(header.series_uid or (header.study_uid, header.series_number, header.path.parent))].append(frame)
    series = [Series(frames, source) for frames in joined(list(groups.values()))]
    return sorted(series, key=lambda s: (s.header.series_number is None, s.header.series_number or 0,
                                         s.header.description, str(s.header.path)))


def select(series: list[Series], wanted: str | int) -> list[Series]:
    """The series with this SeriesInstanceUID, else this SeriesNumber, else this text in its description.

    ``#2`` is the second in the list of `all_series`, for series that share number and description.

    Raises
    ------
    ConfigError
        No series matches.
    """
    text = str(wanted).strip()
    if text.startswith("#") and text[1:].isdecimal() and 1 <= int(text[1:]) <= len(series):
        return [series[int(text[1:]) - 1]]
    matches = [s for s in series if text and s.header.series_uid == text]
    if not matches and text.isdecimal():
        matches = [s for s in series if s.header.series_number == int(text)]
    if not matches:
        matches = [s for s in series if text and text.casefold() in s.header.description.casefold()]
    if not matches:
        raise ConfigError("No series in the input has the number, description or UID that was asked for.",
                          f"Choose by number; there are: {_listing(series)}.", series=len(series))
    return matches


def _listing(series: list[Series]) -> str:
    return ", ".join(s.label() for s in series[:12]) + (", ..." if len(series) > 12 else "")


def _way_to_choose(series: list[Series], matches: list[Series]) -> str:
    """How to name one of several series that fit."""
    if len({m.label() for m in matches}) == len(matches):
        return "Choose by number (the one in front of each description)."
    places = ", ".join(f"#{series.index(m) + 1}" for m in matches[:12])
    return f"They share number and description, so choose by place in the list of all series: {places}."


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
    warn_of_source(source, warnings)
    if wanted is not None:
        matches = select(series, wanted)
        good = [s for s in matches if not s.problem]
        if len(good) > 1 or (len(matches) > 1 and not good):
            raise ConfigError(f"{len(matches)} series fit what was asked for: {_listing(matches)}.",
                              _way_to_choose(series, good or matches), series=len(matches))
        return (good or matches)[0]
    if source.single is not None:
        return _series_of_file(source, series, warnings)
    good = [s for s in series if not s.problem]
    if not good:
        return max(series, key=lambda s: s.voxels)
    best = _best(good)
    if len(series) > 1:
        others = len(series) - 1
        which = "largest 3-D one" if best.voxels == max(s.voxels for s in good) else "largest one of original MR images"
        alike = [s for s in good if s.label() == best.label()]
        way = "choose by number to read another" if len(alike) == 1 else _way_to_choose(series, alike).rstrip(".")
        warnings.append(("SEVERAL_SERIES", f"The input holds {len(series)} series; the {which} was read "
                         f"(number {best.label()}) and {others} left aside; {way[0].lower() + way[1:]}."))
    return best


_LEAST_SHARE = 0.2
"""An original of fewer voxels than this share of the largest series is a localizer or a test, not the knee."""


def _best(good: list[Series]) -> Series:
    """The largest of the original MR series; of the others where no original is of any size."""
    largest = max(s.voxels for s in good)
    candidates = [s for s in good if s.voxels >= _LEAST_SHARE * largest]
    return max(candidates, key=lambda s: (s.rank, s.header.modality in ("MR", ""), s.voxels))


def readable_stacks(series: Series, source: Source, kind: str = "") -> Stacks:
    """The stacks of a chosen series; if there are none, the error also tells of damaged files beside it."""
    problem, lost = series.problem, source.scan.damaged + source.unopened
    if lost and isinstance(problem, DicomError):
        raise DicomError(problem.message, f"{lost} DICOM file(s) of the input are damaged or cannot be opened and may "
                         f"be what is missing. {problem.hint}", **problem.details, damaged=lost)
    return series.reading(kind)


def _series_of_file(source: Source, series: list[Series], warnings: list[tuple[str, str]]) -> Series:
    """The series of the file that was pointed at; a multi-frame file stands for itself."""
    for candidate in series:
        own = [f for f in candidate.frames if f.header.path == source.single]
        if not own:
            continue
        if len(own) > 1 or own[0].header.frames > 1:
            return _file_or_whole(Series(own, source), candidate, warnings)
        if len(candidate.frames) > 1:
            warnings.append(("SERIES_COMPLETED", f"The file is one of {len(candidate.frames)} images of its series; "
                             "all of them were read."))
        return candidate
    raise DicomError("The DICOM file cannot be read: damaged, cut short, or without an image.",
                     "Export the series again.")


def _file_or_whole(own: Series, whole: Series, warnings: list[tuple[str, str]]) -> Series:
    """A multi-frame file, unless it holds some slices only and its series the rest, as in a concatenation."""
    if whole.problem or len(whole.frames) == len(own.frames):
        return own
    slices = whole.stacks[0].size[2]
    if own.problem or own.stacks[0].size[2] < slices:
        warnings.append(("SERIES_COMPLETED", f"The file holds a part of the {slices} slices of its series; all files "
                         "of the series were read."))
        return whole
    return own


def warn_of_source(source: Source, warnings: list[tuple[str, str]]) -> None:
    """Tell of files that were left out."""
    scan = source.scan
    if source.unopened:
        warnings.append(("UNREADABLE_FILES", f"{source.unopened} file(s) of the input are empty or could not be opened "
                         "(copy cut short, link to nowhere, no permission) and were left out; slices may be missing."))
    if scan.damaged:
        warnings.append(("DAMAGED_FILES", f"{scan.damaged} DICOM file(s) could not be read and were left out "
                         f"({', '.join(sorted(scan.causes))})."))
    if scan.repeated:
        warnings.append(("REPEATED_FILES", f"{scan.repeated} DICOM file(s) are copies of others and were left out."))


def warn_of_missing(series: Series, source: Source, warnings: list[tuple[str, str]]) -> None:
    """Tell if the header promises more images (ImagesInAcquisition) than its series has, or all of its study have.

    Scanners count the images of one series or of all series of an acquisition, so either fills the promise.
    """
    promised = max((f.header.promised or 0 for f in series.frames), default=0)
    study = [f for f in source.scan.frames if f.header.study_uid == series.header.study_uid]
    if len(series.frames) < promised and (len(study) == len(series.frames) or len(study) < promised):
        warnings.append(("IMAGES_MISSING", f"The header promises {promised} images, but the input holds "
                         f"{len(series.frames)}; slices at the edge may be missing."))
