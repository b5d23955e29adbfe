"""Frames to regular stacks: in which order their slices lie, and at which distance.

Nothing is believed but ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3 C.7.6.2.1.1): slices are ordered
by their position projected on the normal of the image plane, and their distance is measured, not read. Regular slices
with gaps between them (spacing above SliceThickness) are normal in 2-D multi-slice MRI.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import DicomError
from .dicom_frames import Frame
from .dicom_sorting import of_one_kind, sort_images
from .formats import check_spacing
from .image_kinds import MOSAIC
from .two_knees import one_knee

GAP_TOLERANCE = 0.05
"""Largest relative deviation of one slice distance from the median; headers round positions to 1e-3 mm or better."""

ROUNDED_MM = 0.06
"""Positions written to a tenth of a millimetre lie so far from even steps; such slices are taken as evenly spaced."""

SAME_GRID_MM = 0.1
"""Echoes whose corners lie closer than this are on one grid, that of the first."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine inside a stack (0.06 degrees)."""


@dataclass(frozen=True)
class Stack:
    """One echo: frames in slice order on one regular grid (see :class:`~KneePipelineLib.imaging.Volume`)."""

    frames: tuple[Frame, ...]
    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along (i, j, k)."""
        return self.frames[0].columns, self.frames[0].rows, len(self.frames)

    @property
    def echo_time_ms(self) -> float | None:
        """The echo time, None if the header does not tell."""
        return self.frames[0].echo_time_ms

    def same_place(self, other: Stack, tolerance_mm: float = SAME_GRID_MM) -> bool:
        """Whether both stacks have the same size and their corners at the same points."""
        if self.size != other.size:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.size])).reshape(3, -1)
        points = [(s.direction * s.spacing) @ corners + s.origin[:, None] for s in (self, other)]
        return bool(np.abs(points[0] - points[1]).max() <= tolerance_mm)


@dataclass(frozen=True)
class Stacks:
    """What a series holds of one place: its echoes, or repetitions of one image.

    Attributes
    ----------
    stacks : list of Stack
        In the order of their echo time, else of their echo number or acquisition; on one grid where they jitter.
    echoes : bool
        Whether they are echoes of one acquisition (False for a single stack).
    notes : list of (code, sentence)
        What was left out.
    """

    stacks: list[Stack]
    echoes: bool
    notes: list[tuple[str, str]]


def stacks_of(frames: list[Frame], *, side: str | None = None, kind: str = "",
              spacing: tuple[float, float, float] | None = None) -> Stacks:
    """The echoes or repetitions of one series.

    Parameters
    ----------
    side : str, optional
        ``left`` or ``right``: which knee, of a series with a stack of each.
    kind : str, optional
        The kind of image to be read, a word of :mod:`~KneePipelineLib.imaging.image_kinds`.
    spacing : (3,) floats, optional
        A stated voxel size (columns, rows, slices) in mm, in place of PixelSpacing; the distance of the slices is
        always that of their positions.

    Raises
    ------
    DicomError
        Not one regular 3-D grid for every echo; the sentence says why, in numbers.
    InvalidFormatError
        Two knees and no side.
    """
    frames, notes = of_one_kind(frames, kind)
    if spacing is not None:
        frames = [replace(f, spacing=(float(spacing[1]), float(spacing[0]))) for f in frames]
    frames = one_knee(frames, side)
    _check_alike(frames)
    direction = _plane(frames)
    found = sort_images(frames, direction[:, 2])
    stacks = [_stack(group, direction) for group in found.groups]
    if found.echoes:
        order = sorted(range(len(stacks)), key=lambda n: (stacks[n].echo_time_ms or 0.0, n))
        stacks = [stacks[n] for n in order]
    if spacing is not None and abs(stacks[0].spacing[2] - spacing[2]) > 0.02 * spacing[2]:
        raise DicomError(f"The slices lie {stacks[0].spacing[2]:.3g} mm apart by their positions, but the spacing that "
                         f"was stated says {spacing[2]:g} mm.", "State the distance that the positions have.")
    return Stacks(on_one_grid(stacks), found.echoes, [*notes, *found.notes])


def on_one_grid(stacks: list[Stack]) -> list[Stack]:
    """The stacks with the first one's geometry where theirs differs by rounding only."""
    first = stacks[0]
    return [first, *(replace(s, spacing=first.spacing, origin=first.origin, direction=first.direction)
                     if s.same_place(first) else s for s in stacks[1:])]


def _check_alike(frames: list[Frame]) -> None:
    """One grey-valued, placed, equally sized and oriented image after the other."""
    if frames[0].kind == MOSAIC:
        raise DicomError("The series is a mosaic: each of its images holds all slices of a volume side by side.",
                         "Export it from the scanner as single slices or as an enhanced series.")
    if any(f.header.photometric.startswith("PALETTE") for f in frames):
        raise DicomError("The series is in colour (PALETTE COLOR): its values are numbers of colours, as in a "
                         "scanner's coloured map, not grey values.", "Give the original series, not a coloured map.")
    if any(f.header.samples != 1 for f in frames):
        raise DicomError("The series is in colour (RGB), but a knee MRI has one grey value per voxel.",
                         "Give the original series, not a screenshot or colour overlay.")
    unplaced = sum(f.position is None or f.orientation is None for f in frames)
    if unplaced:
        raise DicomError(f"{unplaced} of the series' {len(frames)} image(s) do not say where they lie in the patient "
                         "(no ImagePositionPatient or ImageOrientationPatient).",
                         "Give the original series from the scanner.", images=len(frames), unplaced=unplaced)
    if any(f.spacing is None for f in frames):
        raise DicomError("The series does not tell its PixelSpacing.", "Give the original series from the scanner, or "
                         "state the voxel size with --spacing X,Y,Z (mm along columns, rows, slices).")
    sizes = sorted({(f.columns, f.rows) for f in frames})
    if len(sizes) > 1:
        text = ", ".join(f"{c} x {r}" for c, r in sizes[:4])
        raise DicomError(f"The series mixes images of {len(sizes)} sizes ({text}).",
                         "Export the series again, or choose another one.", sizes=[list(s) for s in sizes[:20]])
    spacings = np.array([f.spacing for f in frames])
    check_spacing(spacings[0])
    if np.ptp(spacings, axis=0).max() > 1e-3 * spacings.min():
        raise DicomError(f"The series mixes pixel spacings from {spacings.min():g} to {spacings.max():g} mm.",
                         "Export the series again, or choose another one.")


def _plane(frames: list[Frame]) -> np.ndarray:
    """(3, 3) direction: columns are the directions of growing i, growing j, and their normal."""
    cosines = np.array([f.orientation for f in frames])
    if np.abs(cosines - cosines[0]).max() > ORIENTATION_TOLERANCE:
        count = len(np.unique(np.round(cosines, 2), axis=0))
        raise DicomError(f"The series mixes at least {max(count, 2)} slice orientations, as a localizer does.",
                         "Choose a 3-D series of the knee.", orientations=int(max(count, 2)))
    along_i, along_j = cosines.mean(axis=0).reshape(2, 3)
    lengths = np.linalg.norm([along_i, along_j], axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(along_i @ along_j) > 0.01:
        raise DicomError("The series' ImageOrientationPatient is not a pair of perpendicular unit vectors.",
                         "Export the series again from the scanner.")
    along_i = along_i / lengths[0]
    along_j = along_j - (along_j @ along_i) * along_i
    along_j /= np.linalg.norm(along_j)
    return np.column_stack([along_i, along_j, np.cross(along_i, along_j)])


def _stack(frames: list[Frame], direction: np.ndarray) -> Stack:
    normal = direction[:, 2]
    positions = np.array([f.position for f in frames])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    ordered = tuple(frames[n] for n in order)
    if len(ordered) < 2:
        raise DicomError("The series is 2-D only: it has a single slice, but a 3-D volume is needed.",
                         "Give a whole stack of slices.", slices=len(ordered))
    if min(ordered[0].columns, ordered[0].rows) < 2:
        raise DicomError(f"The series' images have only {ordered[0].columns} x {ordered[0].rows} pixels.",
                         "Give the original series from the scanner.")
    distance = _slice_distance(positions @ normal)
    rows_mm, columns_mm = ordered[0].spacing
    expected = positions[0] + np.outer(np.arange(len(ordered)) * distance, normal)
    aside = np.linalg.norm((positions - expected) - np.outer((positions - expected) @ normal, normal), axis=1).max()
    if aside > max(0.1, 0.02 * distance):
        raise DicomError(f"The slices are not stacked straight: they are shifted by up to {aside:.1f} mm.",
                         "Resample the series to perpendicular axes, or choose another one.", shift_mm=float(aside))
    spacing = np.array([columns_mm, rows_mm, distance])
    check_spacing(spacing)
    return Stack(ordered, spacing, positions[0], direction)


def _slice_distance(heights: np.ndarray) -> float:
    """The common distance of neighbouring slices in mm, of sorted heights along the normal."""
    distance = float(heights[-1] - heights[0]) / (len(heights) - 1)
    drift = np.abs(heights - heights[0] - distance * np.arange(len(heights))).max()
    if drift <= min(ROUNDED_MM, 0.2 * distance):
        return distance
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[worst] - usual) > GAP_TOLERANCE * usual + 1e-3:
        missing = round(gaps[worst] / usual) - 1 if usual > 0 else 0
        which = f"; {missing} slice(s) seem to be missing there" if missing > 0 else ""
        raise DicomError(
            f"The slices are irregularly spaced: {gaps[worst]:.2f} mm between slices {worst + 1} and {worst + 2}, "
            f"{usual:.2f} mm elsewhere{which}.",
            "Export the whole series again.", slices=len(heights), usual_mm=usual, worst_mm=float(gaps[worst]))
    if drift > 0.25 * distance:
        raise DicomError(f"The slices are irregularly spaced: they drift by up to {drift:.2f} mm from even steps of "
                         f"{distance:.2f} mm.", "Export the whole series again.", drift_mm=float(drift))
    return distance
