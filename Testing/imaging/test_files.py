"""NIfTI, NRRD and MetaImage: geometry against ITK and nibabel, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from KneePipelineLib.errors import (
    ConfigError,
    InputTooLargeError,
    InvalidFormatError,
    KneePipelineError,
    MissingFileError,
    NothingUsableError,
)
from KneePipelineLib.imaging import (
    EchoChoiceError,
    Limits,
    Volume,
    list_series,
    read_echoes,
    read_image,
    read_labels,
    to_sitk,
    write_volume,
)

SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")


def fails(error: type[KneePipelineError], path: Path, read: object = read_image,
          **options: object) -> KneePipelineError:
    """Reading must end in exactly this kind of error: one sentence, a hint, and no path in either."""
    with pytest.raises(error) as caught:
        read(path, **options)
    found = caught.value
    assert found.message.endswith(".")
    assert found.hint
    assert found.message.count("\n") == 0
    assert str(path.parent) not in found.message + found.hint + repr(found.details)
    return found


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
    assert [code for code, _ in found.meta["warnings"]] == ["SFORM_QFORM_DIFFER"]


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
    assert [code for code, _ in found.meta["warnings"]] == ["NO_ORIENTATION"]


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
    assert [code for code, _ in found.meta["warnings"]] == ["AXES_REPAIRED"]


def test_real_shear_is_refused(tmp_path: Path) -> None:
    assert "5.7 degrees" in fails(InvalidFormatError, sheared(tmp_path, 0.1)).message


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.6, -1, -5, -9])
def test_a_file_cut_short_is_refused(suffix: str, kept: float, make: object, tmp_path: Path) -> None:
    path = write_volume(make.volume(size=(30, 20, 10)), tmp_path / f"image{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept >= 0 else int(kept)])
    fails(InvalidFormatError, path)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_a_flipped_byte_in_packed_voxels_is_noticed(suffix: str, make: object, tmp_path: Path) -> None:
    path = write_volume(make.volume(size=(30, 20, 10)), tmp_path / f"image{suffix}")
    data = bytearray(path.read_bytes())
    data[-len(data) // 3] ^= 0x55
    path.write_bytes(bytes(data))
    assert "damaged" in fails(InvalidFormatError, path).message


def test_missing_and_unreadable_inputs(tmp_path: Path) -> None:
    fails(MissingFileError, tmp_path / "nothing.nii.gz")
    fails(MissingFileError, tmp_path / ("x" * 300))
    (tmp_path / "text.txt").write_text("hello, I am a text and no image")
    assert "known format" in fails(InvalidFormatError, tmp_path / "text.txt").message
    (tmp_path / "liar.nii.gz").write_text("hello, I am a text and no image")
    assert "NIfTI" in fails(InvalidFormatError, tmp_path / "liar.nii.gz").message
    (tmp_path / "liar.nrrd").write_bytes(b"\0" * 500)
    assert "NRRD" in fails(InvalidFormatError, tmp_path / "liar.nrrd").message
    (tmp_path / "liar.dcm").write_bytes(b"\0" * 500)
    fails(KneePipelineError, tmp_path / "liar.dcm")


def test_empty_folder_and_folder_without_image(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(NothingUsableError, tmp_path / "empty").message
    (tmp_path / "notes" / "deeper").mkdir(parents=True)
    (tmp_path / "notes" / "deeper" / "readme.txt").write_text("no image")
    assert "no image" in fails(NothingUsableError, tmp_path / "notes").message


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
def test_two_dimensional_images_are_refused(suffix: str, tmp_path: Path) -> None:
    flat = sitk.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(5, 6))
    sitk.WriteImage(flat, str(tmp_path / f"flat{suffix}"))
    assert "2-D only" in fails(InvalidFormatError, tmp_path / f"flat{suffix}").message
    single = sitk.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(1, 5, 6))
    sitk.WriteImage(single, str(tmp_path / f"single{suffix}"))
    assert "2-D only" in fails(InvalidFormatError, tmp_path / f"single{suffix}").message


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_colour_images_are_refused(suffix: str, tmp_path: Path) -> None:
    colour = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / f"rgb{suffix}"))
    assert "RGB" in fails(InvalidFormatError, tmp_path / f"rgb{suffix}").message


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


def test_one_echo_is_not_enough_for_t2(make: object, tmp_path: Path) -> None:
    path = write_volume(make.volume(), tmp_path / "a.nrrd")
    assert "at least two" in fails(InvalidFormatError, path, read_echoes).message
    assert read_image(path, echo=1).array.shape == (5, 6, 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(bad: float, make: object, tmp_path: Path) -> None:
    array = make.volume().array.astype(np.float32)
    array[1, 2, 3] = bad
    path = write_volume(Volume(array), tmp_path / "a.nrrd")
    assert "1 voxels" in fails(InvalidFormatError, path).message
    assert np.isclose(read_image(path, allow_nan=True).array[1, 2, 3], bad, equal_nan=True)


def test_an_empty_label_map_is_called_one(tmp_path: Path) -> None:
    for kind in (np.uint8, np.int16):
        write_volume(Volume(np.zeros((5, 6, 7), kind)), tmp_path / "image.nrrd")
        assert "empty label map" in fails(InvalidFormatError, tmp_path / "image.nrrd").message
    write_volume(Volume(np.zeros((5, 6, 7), np.float32)), tmp_path / "image.nrrd")
    assert "label map" not in fails(InvalidFormatError, tmp_path / "image.nrrd").message


def test_one_echo_is_called_one(tmp_path: Path) -> None:
    write_volume(Volume(np.arange(210.0).reshape(5, 6, 7).astype(np.int16)), tmp_path / "image.nrrd")
    error = fails(ConfigError, tmp_path / "image.nrrd", echo=7)
    assert error.message == "The image holds one echo only, so there is no echo 7."
    assert "Choose 1 to" not in error.hint


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    path = write_volume(Volume(np.full((4, 5, 6), 7, np.int16)), tmp_path / "a.nii.gz")
    assert "value 7" in fails(InvalidFormatError, path).message


def test_complex_images_are_refused(tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.ones((4, 5, 6), np.complex64), np.eye(4)).to_filename(tmp_path / "c.nii")
    assert "complex" in fails(InvalidFormatError, tmp_path / "c.nii").message


@pytest.mark.parametrize("spacing", [1e-6, 0.0, 5000.0, float("nan")])
def test_impossible_spacing_is_refused(spacing: float, tmp_path: Path) -> None:
    head = ("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nspace: LPS\n"
            f"space directions: ({spacing},0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\n\n")
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(range(8)))
    assert "impossible spacing" in fails(InvalidFormatError, tmp_path / "a.nrrd").message


def test_size_limits_are_kept_before_voxels_are_loaded(make: object, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = write_volume(make.volume(), tmp_path / f"a{suffix}")
        fails(InputTooLargeError, path, limits=Limits(max_voxels=209))
        assert read_image(path, limits=Limits(max_voxels=210)).array.size == 210
        fails(InputTooLargeError, path, limits=Limits(max_file_bytes=100))
    huge = tmp_path / "huge.nrrd"  # a header that promises 8 TB, with nothing behind it
    huge.write_bytes(b"NRRD0004\ntype: double\ndimension: 3\nsizes: 10000 10000 10000\nencoding: raw\n\n")
    fails(InputTooLargeError, huge)
    many = tmp_path / "many.nrrd"
    many.write_bytes(b"NRRD0004\ntype: uchar\ndimension: 4\nsizes: 9 9 9 99\nencoding: raw\n\n")
    fails(InputTooLargeError, many)


def test_voxels_in_another_file_must_be_there(make: object, tmp_path: Path) -> None:
    for header in ("a.nhdr", "a.mhd"):
        sitk.WriteImage(to_sitk(make.volume()), str(tmp_path / header), useCompression=False)
        (tmp_path / "a.raw").unlink()
        fails(MissingFileError, tmp_path / header)


def test_labels_may_come_as_whole_floating_point_numbers(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 10, (4, 5, 6)).astype(np.float32)
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(array.T, np.eye(4)).to_filename(path)
    found = read_labels(path)
    assert found.array.dtype == np.uint8
    assert (found.array == array).all()


@pytest.mark.parametrize("value", [0.5, -1.0, 70000.0, np.nan])
def test_what_is_no_label_is_refused(value: float, tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), np.float32)
    array[1, 1, 1] = value
    path = write_volume(Volume(array), tmp_path / "a.nrrd")
    assert "label" in fails(InvalidFormatError, path, read_labels).message


def test_foreign_header_entries_do_not_travel(make: object, tmp_path: Path) -> None:
    image = to_sitk(make.volume())
    image.SetMetaData("0010|0010", "Secretname^Quentin")
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    found = read_image(tmp_path / "a.nrrd")
    assert "Secret" not in repr(found.meta)
    assert b"Secret" not in write_volume(found, tmp_path / "b.nrrd").read_bytes()
