"""The DICOM series that the digital knee writes are read by others, and their geometry survives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume
from KneePipelineLib.phantom import DigitalKnee, Grid, write_dicom

GRID = Grid.sagittal((40, 48, 12), (3.3, 2.9, 7.3)).rotated((7, -5, 11))
pydicom = pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    return DigitalKnee(0).qdess(GRID)


def test_simpleitk_reads_geometry_and_values_back(pair: tuple[Volume, Volume], tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    write_dicom(pair[0], tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    assert image.GetSize() == GRID.size
    np.testing.assert_allclose(image.GetOrigin(), GRID.origin, atol=1e-9)
    np.testing.assert_allclose(image.GetSpacing(), GRID.spacing, atol=1e-9)
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), GRID.direction, atol=1e-9)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.rint(pair[0].array))


def read_by_simpleitk(files: list[Path]) -> dict[int, object]:
    """Echo number -> image, from the headers that SimpleITK itself reads; slices by InstanceNumber."""
    sitk = pytest.importorskip("SimpleITK")
    of_echo: dict[int, list[tuple[int, str]]] = {}
    for path in files:
        header = sitk.ImageFileReader()
        header.SetFileName(str(path))
        header.ReadImageInformation()
        echo, instance = (int(header.GetMetaData(tag)) for tag in ("0018|0086", "0020|0013"))
        of_echo.setdefault(echo, []).append((instance, str(path)))
    return {echo: sitk.ReadImage([name for _, name in sorted(members)]) for echo, members in sorted(of_echo.items())}


@pytest.mark.parametrize("kind", ["qdess", "mese"])
def test_simpleitk_reads_every_echo(pair: tuple[Volume, Volume], tmp_path: Path, kind: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    echoes = list(pair) if kind == "qdess" else DigitalKnee(0).mese(
        Grid.sagittal((40, 40, 5), (3.5, 3.5, 16.0)).rotated((7, -5, 11)))
    images = read_by_simpleitk(write_dicom(echoes, tmp_path, description=kind))
    assert list(images) == list(range(1, len(echoes) + 1))
    for ours, theirs in zip(echoes, images.values(), strict=True):
        assert theirs.GetSize() == ours.size
        np.testing.assert_allclose(theirs.GetOrigin(), ours.origin, atol=1e-9)
        np.testing.assert_allclose(theirs.GetSpacing(), ours.spacing, atol=1e-6)
        np.testing.assert_allclose(np.reshape(theirs.GetDirection(), (3, 3)), ours.direction, atol=1e-6)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs), np.rint(ours.array))


def test_both_echoes_are_one_series_with_the_spoiler_in_its_private_block(pair: tuple, tmp_path: Path) -> None:
    files = write_dicom(pair, tmp_path, description="qDESS")
    headers = [pydicom.dcmread(f) for f in files]
    assert len(files) == 24
    assert len({h.SeriesInstanceUID for h in headers}) == 1
    assert len({h.SOPInstanceUID for h in headers}) == 24
    assert [h.EchoNumbers for h in headers[:4]] == [1, 2, 1, 2]
    for header in headers:
        assert header[0x0019, 0x0010].value == "GEMS_ACQU_01"
        assert float(header[0x0019, 0x10B6].value) == 3132
        assert float(header[0x0019, 0x10B7].value) == 1560
        assert (float(header.RepetitionTime), float(header.EchoTime), float(header.FlipAngle)) == (20, 6, 20)
    np.testing.assert_array_equal(headers[3].pixel_array, np.rint(pair[1].array[1]))


def test_anonymised_series_have_no_private_tags(pair: tuple, tmp_path: Path) -> None:
    for path in write_dicom(pair, tmp_path, private_tags=False, extension=""):
        assert path.suffix == ""
        assert not [e for e in pydicom.dcmread(path) if e.tag.is_private]


def test_every_identifier_says_phantom(pair: tuple, tmp_path: Path) -> None:
    header = pydicom.dcmread(write_dicom(pair[0], tmp_path)[0])
    assert "DigitalKnee" in str(header.PatientName)
    assert header.PatientID == "DIGITALKNEE"
    assert header.Manufacturer == "KneePipeline"
    assert header.PatientBirthDate == ""


def test_our_own_reader_finds_the_echoes(tmp_path: Path) -> None:
    from KneePipelineLib.imaging import read_echoes

    knee = DigitalKnee(1)
    train = knee.mese(Grid.sagittal((40, 40, 5), (3.5, 3.5, 16.0)))
    write_dicom(train, tmp_path / "mese")
    read = read_echoes(tmp_path / "mese")
    np.testing.assert_allclose([e.meta["echo_time_ms"] for e in read], [e.meta["echo_time_ms"] for e in train])
    for ours, theirs in zip(train, read, strict=True):
        assert theirs.same_grid(ours, 1e-6)
        np.testing.assert_array_equal(theirs.array, np.rint(ours.array))
    write_dicom(knee.qdess(GRID), tmp_path / "qdess")
    echoes = read_echoes(tmp_path / "qdess")
    assert [(e.meta["gl_area"], e.meta["tg_us"]) for e in echoes] == [(3132, 1560)] * 2
    assert echoes[0].array.mean() > echoes[1].array.mean()


def test_the_same_call_writes_the_same_bytes(pair: tuple, tmp_path: Path) -> None:
    a, b = (write_dicom(pair, tmp_path / n) for n in "ab")
    assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]


def test_what_does_not_fit_is_refused(tmp_path: Path, pair: tuple) -> None:
    with pytest.raises(ValueError, match="between 0 and 65535"):
        write_dicom(pair[0].with_array(pair[0].array - 1e5), tmp_path)
    with pytest.raises(ValueError, match="one grid"):
        write_dicom([pair[0], pair[1].cropped((0, 0, 0), (40, 48, 11))], tmp_path)
    with pytest.raises(ValueError, match="no volume"):
        write_dicom([], tmp_path)
