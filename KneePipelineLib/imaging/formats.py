"""NIfTI, NRRD and MetaImage files: one file in, geometry in LPS, one array per component out.

NIfTI goes through nibabel with the standard's order of affines (sform, then qform, then bare voxel sizes) kept here,
because ITK refuses every affine that float32 rounding left a little oblique. NRRD and MetaImage go through SimpleITK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InvalidFormatError, KneePipelineError
from .limits import Limits
from .metadata import meta_from_header

SHEAR_TOLERANCE = 1e-3
"""Largest deviation of the axes' scalar products from 0 that is repaired to the nearest orthonormal axes (0.06 deg)."""

_NIFTI_UNITS_MM = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass
class ImageFile:
    """What one file holds, its pixels not yet loaded.

    ``size`` is (i, j, k); ``components`` counts the echoes, time points or channels stored for each voxel;
    ``load(c)`` returns component ``c`` as an array (k, j, i).
    """

    format: str
    size: tuple[int, int, int]
    components: int
    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray
    load: Callable[[int], np.ndarray]
    header: dict[str, str] = field(default_factory=dict)
    meta: dict = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)


def damaged(kind: str, error: Exception | None = None) -> InvalidFormatError:
    """The one sentence for a file that its own format's reader gives up on."""
    return InvalidFormatError(f"The {kind} file cannot be read: it is damaged, cut short or not {kind} at all.",
                              "Copy or export the file again.", cause=type(error).__name__ if error else "")


def open_nifti(path: Path, limits: Limits) -> ImageFile:
    """Read the header of a .nii or .nii.gz file (NIfTI-1 or -2)."""
    import nibabel

    nibabel.imageglobals.logger.disabled = True  # it prints header repairs; ours are warnings in meta
    try:
        image = nibabel.load(path, mmap=False)
        header = image.header
        shape = tuple(int(n) for n in image.shape)
        dtype = header.get_data_dtype()
    except Exception as error:
        raise damaged("NIfTI", error) from None
    if dtype.names or dtype.kind == "c":
        raise _colour() if dtype.names else _complex()
    size, components = _split_size(shape)
    limits.check_voxels(size)
    limits.check_echoes(components)
    warnings: list[tuple[str, str]] = []
    try:
        affine = _nifti_affine(header, size, warnings)
    except Exception as error:
        raise damaged("NIfTI", error) from None
    spacing, origin, direction = _decompose(affine, warnings)

    def load(component: int) -> np.ndarray:
        try:
            index = np.unravel_index(component, shape[3:], order="F") if len(shape) > 3 else ()
            array = np.asanyarray(image.dataobj[(Ellipsis, *(int(i) for i in index))] if index else image.dataobj)
            return array.reshape(size).T
        except MemoryError:
            raise
        except Exception as error:
            raise damaged("NIfTI", error) from None

    return ImageFile("NIfTI", size, components, spacing, origin, direction, load, warnings=warnings)


def _nifti_affine(header: object, size: tuple[int, int, int], warnings: list[tuple[str, str]]) -> np.ndarray:
    """(4, 4) from (i, j, k) to LPS mm by the NIfTI-1 standard's methods 3, 2 and 1, in this order."""
    sform, s_code = header.get_sform(coded=True)
    qform, q_code = header.get_qform(coded=True)
    if s_code:
        ras = sform
        if q_code:
            corners = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1)
            shift = np.abs((sform - qform)[:3, :3] @ corners + (sform - qform)[:3, 3:]).max()
            if not shift <= 1.0:
                warnings.append(("SFORM_QFORM_DIFFER", f"The NIfTI file's two placements in space differ by up to "
                                 f"{shift:.1f} mm; the sform was used."))
    elif q_code:
        ras = qform
    else:
        ras = np.diag([*(float(z) for z in header.get_zooms()[:3]), 1.0])
        warnings.append(("NO_ORIENTATION", "The NIfTI file does not say how it lies in the patient; it was taken as "
                         "right-anterior-superior, so left and right may be swapped."))
    affine = np.array(ras, dtype=np.float64)
    affine[:3] *= _NIFTI_UNITS_MM.get(header.get_xyzt_units()[0], 1.0)
    affine[:3] = _RAS_TO_LPS @ affine[:3]
    return affine


def open_itk(path: Path, kind: str, limits: Limits) -> ImageFile:
    """Read the header of an NRRD (``kind`` "NRRD") or MetaImage ("MHA") file."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO({"NRRD": "NrrdImageIO", "MHA": "MetaImageIO"}[kind])
    reader.SetFileName(str(path))
    with _quiet_itk():
        try:
            reader.ReadImageInformation()
            shape = tuple(int(n) for n in reader.GetSize())
            channels = int(reader.GetNumberOfComponents())
            pixel = reader.GetPixelID()
            geometry = [np.array(v, dtype=np.float64) for v in
                        (reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())]
            header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        except Exception as error:
            raise damaged(kind, error) from None
    if "complex" in sitk.GetPixelIDValueAsString(pixel):
        raise _complex()
    layered = kind == "NRRD" and "Segment0_ID" in header
    if channels in (3, 4) and "8-bit" in sitk.GetPixelIDValueAsString(pixel) and not layered:
        raise _colour()
    size, repeats = _split_size(shape)
    components = channels * repeats
    limits.check_voxels(size)
    limits.check_echoes(components)
    dimension = len(shape)
    affine = np.eye(4)
    affine[:3, :3] = geometry[2].reshape(dimension, dimension)[:3, :3] * geometry[0][:3]
    affine[:3, 3] = geometry[1][:3]
    warnings: list[tuple[str, str]] = []
    spacing, origin, direction = _decompose(affine, warnings)
    cache: list[np.ndarray] = []

    def load(component: int) -> np.ndarray:
        if not cache:
            with _quiet_itk():
                try:
                    cache.append(sitk.GetArrayFromImage(reader.Execute()))
                except MemoryError:
                    raise
                except Exception as error:
                    raise damaged(kind, error) from None
        array = cache[0].reshape(repeats, *size[::-1], channels)
        return np.ascontiguousarray(array[component // channels, ..., component % channels])

    return ImageFile(kind, size, components, spacing, origin, direction, load, header, meta_from_header(header),
                     warnings)


@contextmanager
def _quiet_itk() -> Iterator[None]:
    """ITK prints its troubles, paths included, on stderr; they reach people as exceptions instead."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _split_size(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """(i, j, k) and the product of all further axes; refuses what is not 3-D."""
    if any(n < 1 for n in shape) or not shape:
        raise InvalidFormatError("The image has an axis without any voxel.", "Export the image again.",
                                 shape=list(shape))
    flat = shape + (1,) * (3 - len(shape))
    if sum(n > 1 for n in flat[:3]) < 3:
        raise InvalidFormatError(
            f"The image is 2-D only ({' x '.join(str(n) for n in flat[:3])} voxels), but a 3-D volume is needed.",
            "Give a whole stack of slices.", shape=list(shape))
    repeats = 1
    for n in flat[3:]:
        repeats *= n
    return flat[:3], repeats


def _decompose(affine: np.ndarray, warnings: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spacing, origin and orthonormal direction of an LPS affine; repairs rounding, refuses shear."""
    matrix = affine[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    if not (np.isfinite(affine).all() and (spacing > 0).all()):
        text = ", ".join(f"{s:g}" for s in spacing)
        raise InvalidFormatError(f"The image has an impossible spacing or position (spacing {text} mm).",
                                 "Export the image again from the scanner's DICOM.")
    check_spacing(spacing)
    direction = matrix / spacing
    error = np.abs(direction.T @ direction - np.eye(3)).max()
    if error > 1e-12:
        u, _, vt = np.linalg.svd(direction)
        if error > SHEAR_TOLERANCE:
            angle = np.degrees(np.arcsin(min(error, 1.0)))
            raise InvalidFormatError(f"The image's axes are not perpendicular (they lean by {angle:.1f} degrees).",
                                     "Resample the image to perpendicular axes.", degrees=round(float(angle), 3))
        direction = u @ vt
        if error > 1e-5:
            warnings.append(("AXES_REPAIRED", f"The image's axes were off perpendicular by {error:.1e} and were "
                             "replaced by the nearest perpendicular ones."))
    return spacing, affine[:3, 3], direction


def check_spacing(spacing: np.ndarray) -> None:
    """Raise InvalidFormatError for a spacing no scanner produces: outside 0.001 to 100 mm."""
    values = np.asarray(spacing, dtype=float)
    if not (np.isfinite(values).all() and (values >= 1e-3).all() and (values <= 100.0).all()):
        text = " x ".join(f"{s:g}" for s in values)
        raise InvalidFormatError(f"The image has an impossible spacing ({text} mm).",
                                 "Export the image again; its header may be in the wrong unit.")


def _colour() -> KneePipelineError:
    return InvalidFormatError("The image is in colour (RGB), but a knee MRI has one grey value per voxel.",
                              "Give the original series, not a screenshot or colour overlay.")


def _complex() -> KneePipelineError:
    return InvalidFormatError("The image holds complex numbers.", "Give the magnitude image.")
