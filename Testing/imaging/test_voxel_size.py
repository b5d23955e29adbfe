"""The size of a voxel: never assumed, refused where it is missing or contradicted, stated with ``spacing``."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from KneePipelineLib.errors import DicomError, InvalidFormatError
from KneePipelineLib.imaging import Volume, read_image, read_labels
from Testing.imaging.refusals import codes, fails

SIZE = (7, 6, 5)
STATED = (0.5, 0.75, 2.0)
LINES = {"type": "short", "dimension": "3", "sizes": "7 6 5", "encoding": "raw", "endian": "little"}


def pixels() -> np.ndarray:
    return np.arange(210, dtype="<i2").reshape(SIZE[::-1])


def write_mha(path: Path, *lines: str) -> Path:
    head = ["ObjectType = Image", "NDims = 3", "DimSize = 7 6 5", "ElementType = MET_SHORT", *lines,
            "ElementDataFile = LOCAL", ""]
    path.write_bytes("\n".join(head).encode() + pixels().tobytes())
    return path


def write_nrrd(path: Path, **more: str) -> Path:
    fields = {**LINES, **{key.replace("_", " "): value for key, value in more.items()}}
    path.write_bytes(("NRRD0004\n" + "".join(f"{k}: {v}\n" for k, v in fields.items()) + "\n").encode()
                     + pixels().tobytes())
    return path


def write_nifti(path: Path, *, sform: np.ndarray | bool = True, qform: bool = True,
                edit: Callable[[bytearray], None] | None = None) -> np.ndarray:
    """An image of STATED mm and its RAS matrix; ``sform`` replaces the one that agrees, ``edit`` spoils the bytes."""
    affine = np.diag([*STATED, 1.0])
    affine[:3, 3] = (10, 20, 30)
    image = nib.Nifti1Image(pixels().T, affine)
    image.set_qform(affine, int(qform))
    image.set_sform(affine if isinstance(sform, bool) else sform, 0 if sform is False else 2)
    nib.save(image, path)
    if edit:
        data = bytearray(path.read_bytes())
        edit(data)
        path.write_bytes(data)
    return affine


def no_pixdim(data: bytearray) -> None:
    struct.pack_into("<3f", data, 80, 0, 0, 0)


@pytest.mark.parametrize("name", ["mha", "nrrd", "nrrd_nan", "nii"])
def test_a_missing_size_is_refused_and_can_be_stated(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{name.split('_')[0]}"
    if name == "mha":
        write_mha(path)
    elif name.startswith("nrrd"):
        write_nrrd(path, **({"spacings": "0.5 nan 2"} if name == "nrrd_nan" else {}))
    else:
        write_nifti(path, sform=False, qform=False, edit=no_pixdim)
    for read in (read_image, read_labels):
        error = fails(InvalidFormatError, path, read)
        assert "does not tell how large its voxels are" in error.message
        assert "--spacing X,Y,Z" in error.hint
        found = read(path, spacing=STATED)
        assert found.spacing == pytest.approx(STATED)
        assert found.size == SIZE
        assert "SPACING_STATED" in codes(found)


def test_a_stated_size_replaces_the_files_own_and_says_so(make: object, tmp_path: Path) -> None:
    path = write_mha(tmp_path / "a.mha", "ElementSpacing = 1 1 1", "TransformMatrix = 0 1 0 0 0 1 1 0 0",
                     "Offset = 3 4 5")
    found = read_image(path, spacing=STATED)
    assert found.spacing == pytest.approx(STATED)
    assert (found.direction == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]).all()
    assert found.origin == pytest.approx((3, 4, 5))
    assert "the file says 1 x 1 x 1" in dict(found.meta["warnings"])["SPACING_STATED"]
    assert codes(read_image(path, spacing=(1.0, 1.0, 1.0))) == []


IDENTITY = np.eye(4)
SCALED = np.diag([0.51, 0.765, 2.04, 1.0])
SHEARED = np.array([[0.5, 0.3, 0, 10], [0, 0.75, 0, 20], [0, 0, 2.0, 30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("sform", [IDENTITY, SCALED, SHEARED, np.diag([0, 0, 0, 1.0])])
def test_an_sform_of_other_sizes_yields_to_the_qform_as_in_itk(sform: np.ndarray, tmp_path: Path) -> None:
    affine = write_nifti(tmp_path / "a.nii", sform=sform)
    found = read_image(tmp_path / "a.nii")
    assert codes(found) == ["SFORM_QFORM_DIFFER"]
    assert "voxel size" in found.meta["warnings"][0][1]
    assert found.affine == pytest.approx(np.diag([-1, -1, 1, 1]) @ affine, abs=1e-5)
    assert sitk.ReadImage(str(tmp_path / "a.nii")).GetSpacing() == pytest.approx(found.spacing)


@pytest.mark.parametrize("sform", [IDENTITY, SCALED])
def test_two_sizes_and_no_qform_are_refused(sform: np.ndarray, tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", sform=sform, qform=False,
                edit=lambda data: struct.pack_into("<3f", data, 80, *STATED))
    assert "two voxel sizes" in fails(InvalidFormatError, tmp_path / "a.nii").message
    assert read_image(tmp_path / "a.nii", spacing=STATED).spacing == pytest.approx(STATED)


def test_an_sform_beside_no_pixdim_is_the_one_size_there_is(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", qform=False, edit=no_pixdim)
    assert read_image(tmp_path / "a.nii").spacing == pytest.approx(STATED)


def test_unit_voxels_without_a_place_are_doubted(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", sform=False, qform=False,
                edit=lambda data: struct.pack_into("<3f", data, 80, 1, 1, 1))
    assert codes(read_image(tmp_path / "a.nii")) == ["NO_ORIENTATION", "UNIT_SPACING"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("size", [100, 900, 20_000])
def test_header_extensions_are_passed_over(size: int, suffix: str, tmp_path: Path) -> None:
    image = nib.Nifti1Image(pixels().T, np.diag([*STATED, 1.0]))
    text = bytes(np.random.default_rng(0).integers(32, 127, size, dtype=np.uint8))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", text))
    nib.save(image, tmp_path / f"a{suffix}")
    for read in (read_image, read_labels):
        assert (read(tmp_path / f"a{suffix}").array == pixels()).all()


def test_voxels_begin_after_the_header_whatever_the_offset_says(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", edit=lambda data: struct.pack_into("<f", data, 108, 0.0))
    assert (read_image(tmp_path / "a.nii").array == pixels()).all()


def test_a_gzip_header_with_a_long_name(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    packed = gzip.compress((tmp_path / "a.nii").read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(b"\x1f\x8b\x08\x08\0\0\0\0\0\3" + b"n" * 6000 + b"\0" + packed[10:])
    assert (read_image(tmp_path / "b.nii.gz").array == pixels()).all()


def test_reading_nifti_leaves_nibabels_logger_alone(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    read_image(tmp_path / "a.nii")
    assert not nib.imageglobals.logger.disabled


def test_a_list_axis_without_a_direction(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    write_nrrd(path, sizes="2 7 6 5", dimension="4", kinds="list domain domain domain", space="left-posterior-superior",
               space_directions="(nan,nan,nan) (0.5,0,0) (0,0.75,0) (0,0,2)", space_origin="(0,0,0)")
    path.write_bytes(path.read_bytes() + pixels().tobytes())
    found = read_image(path, echo=1)
    assert found.size == SIZE
    assert found.spacing == pytest.approx(STATED)


def without_spacing(dataset: object, _: int) -> None:
    del dataset.PixelSpacing


def test_dicom_without_pixel_spacing(make: object, tmp_path: Path) -> None:
    volume: Volume = make.volume()
    make.series(tmp_path, volume, tweak=without_spacing)
    assert "--spacing" in fails(DicomError, tmp_path).hint
    assert make.points(read_image(tmp_path, spacing=STATED)) == make.points(volume)
    assert "2 mm apart by their positions" in fails(DicomError, tmp_path, spacing=(0.5, 0.75, 3.0)).message
