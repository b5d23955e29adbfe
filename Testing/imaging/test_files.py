"""NIfTI, NRRD and MetaImage: geometry against ITK and nibabel, encodings, units, echoes."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from KneePipelineLib.errors import InvalidFormatError, KneePipelineError
from KneePipelineLib.imaging import (
    EchoChoiceError,
    list_series,
    read_echoes,
    read_image,
    read_labels,
    to_sitk,
    write_volume,
)
from Testing.imaging.makers import SUFFIXES
from Testing.imaging.refusals import codes, fails


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_files_of_itk_are_read_in_place_in_all_48_orientations(suffix: str, make: object, tmp_path: Path) -> None:
    for n, direction in enumerate(make.permutations):
        volume = make.volume(direction)
        path = tmp_path / f"image{n}{suffix}"
        sitk.WriteImage(to_sitk(volume), str(path), useCompression=n % 2 == 0)
        found = read_image(path)
        assert (found.array == volume.array).all()
        assert make.points(found) == make.points(volume)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_our_files_are_read_in_place_by_itk(suffix: str, make: object, tmp_path: Path) -> None:
    for n, direction in enumerate([*make.permutations, make.oblique(), make.oblique() @ np.diag([1.0, -1.0, 1.0])]):
        volume = make.volume(direction)
        image = sitk.ReadImage(str(write_volume(volume, tmp_path / f"image{n}{suffix}")))
        assert (sitk.GetArrayFromImage(image) == volume.array).all()
        for corner in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4), (6, 5, 4)):
            assert image.TransformIndexToPhysicalPoint(corner) == pytest.approx(volume.to_physical(corner), abs=1e-4)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".nrrd", 1e-13), (".mha", 1e-12), (".nii.gz", 1e-4)])
def test_geometry_survives_a_round_trip(suffix: str, tolerance: float, make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique(), spacing=(0.36458333, 0.31, 0.7))
    found = read_image(write_volume(volume, tmp_path / f"image{suffix}"))
    assert np.abs(found.affine - volume.affine).max() <= tolerance * 128
    assert found.array.dtype == volume.array.dtype


def test_nrrd_in_ras_and_las_lies_at_the_same_points(make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique())
    text, data = (write_volume(volume, tmp_path / "lps.nrrd").read_bytes()).split(b"\n\n", 1)
    for space, signs in (("right-anterior-superior", (-1, -1, 1)), ("LAS", (1, -1, 1))):
        lines = []
        for line in text.decode().split("\n"):
            if line.startswith("space directions"):
                columns = (np.array(signs)[:, None] * volume.affine[:3, :3]).T
                line = "space directions: " + " ".join(f"({','.join(repr(float(v)) for v in c)})" for c in columns)
            elif line.startswith("space origin"):
                origin = np.array(signs) * volume.origin
                line = f"space origin: ({','.join(repr(float(v)) for v in origin)})"
            elif line.startswith("space:"):
                line = f"space: {space}"
            lines.append(line)
        path = tmp_path / "other.nrrd"
        path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
        assert make.points(read_image(path)) == make.points(volume)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("detached", [False, True])
def test_nrrd_of_another_library_in_every_encoding(encoding: str, detached: bool, make: object, tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    volume = make.volume(make.oblique())
    path = tmp_path / ("image.nhdr" if detached else "image.nrrd")
    nrrd.write(str(path), volume.array, {
        "space": "left-posterior-superior", "space directions": (volume.direction * volume.spacing).T,
        "space origin": volume.origin, "encoding": encoding, "kinds": ["domain"] * 3}, index_order="C")
    found = read_image(path)
    assert (found.array == volume.array).all()
    assert np.abs(found.affine - volume.affine).max() < 1e-10


@pytest.mark.parametrize("endian", ["little", "big"])
def test_both_byte_orders_are_read(endian: str, make: object, tmp_path: Path) -> None:
    volume = make.volume()
    raw = volume.array.astype(">i2" if endian == "big" else "<i2").tobytes()
    (tmp_path / "a.nrrd").write_bytes(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nspacings: .5 .75 2\nendian: {endian}\n"
        "encoding: raw\n\n".encode() + raw)
    (tmp_path / "a.mha").write_bytes(
        f"ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nElementSpacing = .5 .75 2\n"
        f"BinaryDataByteOrderMSB = {endian == 'big'}\nElementDataFile = LOCAL\n".encode() + raw)
    image = nibabel.Nifti1Image(volume.array.T, np.diag([0.5, 0.75, 2, 1]),
                                nibabel.Nifti1Header(endianness=">" if endian == "big" else "<"))
    image.to_filename(tmp_path / "a.nii")
    for name in ("a.nrrd", "a.mha", "a.nii"):
        found = read_image(tmp_path / name)
        assert (found.array == volume.array).all(), name
        assert found.spacing == pytest.approx([0.5, 0.75, 2.0])
        assert found.array.dtype.isnative


def test_nifti_prefers_the_sform_and_says_when_the_qform_differs(make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique())
    image = nibabel.load(write_volume(volume, tmp_path / "a.nii"))
    image.set_qform(np.diag([0.5, 0.75, 2.0, 1.0]), code="scanner")
    image.to_filename(tmp_path / "b.nii")
    found = read_image(tmp_path / "b.nii")
    assert found.to_physical((6, 5, 4)) == pytest.approx(volume.to_physical((6, 5, 4)), abs=1e-4)
    assert codes(found) == ["SFORM_QFORM_DIFFER"]


def test_nifti_falls_back_on_the_qform_and_then_on_bare_voxel_sizes(make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique())
    image = nibabel.load(write_volume(volume, tmp_path / "a.nii"))
    image.set_sform(None, code=0)
    image.to_filename(tmp_path / "q.nii")
    found = read_image(tmp_path / "q.nii")
    assert found.to_physical((6, 5, 4)) == pytest.approx(volume.to_physical((6, 5, 4)), abs=1e-3)
    assert found.meta["warnings"] == []
    image.set_qform(None, code=0)
    image.to_filename(tmp_path / "none.nii")
    found = read_image(tmp_path / "none.nii")
    assert found.spacing == pytest.approx(volume.spacing)
    assert found.orientation == "RAS"
    assert codes(found) == ["NO_ORIENTATION"]


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3), ("mm", 1.0)])
def test_nifti_units_are_honoured(unit: str, factor: float, make: object, tmp_path: Path) -> None:
    volume = make.volume()
    affine = np.diag([-factor, -factor, factor, 1.0]) @ volume.affine
    image = nibabel.Nifti1Image(volume.array.T, affine)
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "a.nii")
    found = read_image(tmp_path / "a.nii")
    assert found.spacing == pytest.approx(volume.spacing, rel=1e-5)
    assert found.origin == pytest.approx(volume.origin, rel=1e-5)


def test_nifti_scale_factors_are_applied(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    image = nibabel.Nifti1Image(volume.array.T, np.eye(4))
    image.header.set_slope_inter(0.5, 100)
    image.to_filename(tmp_path / "a.nii.gz")
    raw = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    stored = np.frombuffer(bytes(raw[352:]), "<i2").reshape(volume.array.shape)
    found = read_image(tmp_path / "a.nii.gz")
    assert found.array.dtype == np.float32
    assert found.array == pytest.approx(stored * 0.5 + 100)


def sheared(tmp_path: Path, shear: float) -> Path:
    affine = np.eye(4)
    affine[0, 1] = shear
    array = np.arange(210).reshape(7, 6, 5).astype(np.int16)
    path = tmp_path / "sheared.nii"
    image = nibabel.Nifti1Image(array, affine)
    image.set_qform(None, code=0)
    image.to_filename(path)
    return path


def test_a_trace_of_shear_is_repaired(tmp_path: Path) -> None:
    found = read_image(sheared(tmp_path, 5e-4))
    assert np.abs(found.direction.T @ found.direction - np.eye(3)).max() < 1e-12
    assert codes(found) == ["AXES_REPAIRED"]


def test_real_shear_is_refused(tmp_path: Path) -> None:
    assert "5.7 degrees" in fails(InvalidFormatError, sheared(tmp_path, 0.1)).message


def test_a_folder_with_one_image_is_that_image(make: object, tmp_path: Path) -> None:
    write_volume(make.volume(), tmp_path / "a.nrrd")
    assert (read_image(tmp_path).array == make.volume().array).all()
    write_volume(make.volume(), tmp_path / "b.mha")
    assert "2 image files" in fails(InvalidFormatError, tmp_path).message


def test_files_are_recognised_without_their_suffix(make: object, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = write_volume(make.volume(), tmp_path / f"a{suffix}")
        bare = path.rename(tmp_path / f"bare{suffix.replace('.', '-')}")
        assert (read_image(bare).array == make.volume().array).all()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_four_dimensional_images_need_a_choice(suffix: str, tmp_path: Path) -> None:
    echoes = np.random.default_rng(0).integers(0, 999, (3, 4, 5, 6)).astype(np.int16)
    path = tmp_path / f"four{suffix}"
    image = sitk.GetImageFromArray(echoes, isVector=False)
    image.SetSpacing((0.5, 0.75, 2.0, 1.0))
    sitk.WriteImage(image, str(path))
    assert "3 echoes" in fails(EchoChoiceError, path).message
    for n in (1, 2, 3):
        found = read_image(path, echo=n)
        assert (found.array == echoes[n - 1]).all()
        assert found.spacing == pytest.approx((0.5, 0.75, 2.0))
    combined = read_image(path, echo="rss")
    assert combined.array == pytest.approx(np.sqrt((echoes.astype(float) ** 2).sum(axis=0)), rel=1e-6)
    fails(KneePipelineError, path, echo=4)
    fails(KneePipelineError, path, echo="best")
    assert [(v.array == e).all() for v, e in zip(read_echoes(path), echoes, strict=True)] == [True] * 3
    assert list_series(path)[0].echoes == 3
    assert "4-D" in fails(InvalidFormatError, path, read_labels).message


def test_labels_may_come_as_whole_floating_point_numbers(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 10, (4, 5, 6)).astype(np.float32)
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(array.T, np.eye(4)).to_filename(path)
    found = read_labels(path)
    assert found.array.dtype == np.uint8
    assert (found.array == array).all()


def test_foreign_header_entries_do_not_travel(make: object, tmp_path: Path) -> None:
    image = to_sitk(make.volume())
    image.SetMetaData("0010|0010", "Secretname^Quentin")
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    found = read_image(tmp_path / "a.nrrd")
    assert "Secret" not in repr(found.meta)
    assert b"Secret" not in write_volume(found, tmp_path / "b.nrrd").read_bytes()
