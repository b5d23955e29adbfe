"""Echoes: told apart by number, by time, by order, by series, and inside enhanced multi-frame files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import ConfigError, DicomError
from KneePipelineLib.imaging import EchoChoiceError, Volume, list_series, read_echoes, read_image


@pytest.fixture
def pair(make: object) -> list[Volume]:
    """Two echoes of one oblique grid."""
    return [make.volume(make.oblique(), seed=n) for n in (1, 2)]


def write_pair(make: object, folder: Path, pair: list[Volume], *, numbers: bool = True, times: tuple = (6.5, 6.5),
               interleaved: bool = False, **values: object) -> None:
    """A qDESS pair in one series, its echoes marked (or not) in the ways that scanners and anonymisers leave."""
    uid = pydicom.uid.generate_uid()
    slices = pair[0].size[2]
    for n, echo in enumerate(pair):
        def tweak(dataset: object, k: int, n: int = n) -> None:
            dataset.EchoTime = times[n]
            if numbers:
                dataset.EchoNumbers = n + 1
            dataset.InstanceNumber = 2 * k + n + 1 if interleaved else n * slices + k + 1

        make.series(folder, echo, SeriesInstanceUID=uid, first_instance=100 * n + 1, tweak=tweak, **values)


MARKS = [
    {"numbers": True, "times": (6.5, 6.5)},
    {"numbers": True, "times": (6.5, 34.5)},
    {"numbers": False, "times": (6.5, 34.5)},
    {"numbers": False, "times": (6.5, 6.5)},
    {"numbers": False, "times": (6.5, 6.5), "interleaved": True},
]


@pytest.mark.parametrize("marks", MARKS)
def test_qdess_pairs_are_told_apart(marks: dict, make: object, pair: list[Volume], tmp_path: Path) -> None:
    write_pair(make, tmp_path, pair, **marks)
    echoes = read_echoes(tmp_path)
    assert len(echoes) == 2
    for found, expected, time in zip(echoes, pair, marks["times"], strict=True):
        assert make.points(found) == make.points(expected)
        assert found.meta["echo_time_ms"] == time
        assert found.meta["repetition_time_ms"] == 20.5
        assert found.meta["flip_angle_deg"] == 20
    unsure = not marks["numbers"] and len(set(marks["times"])) == 1
    assert [code for code, _ in echoes[0].meta["warnings"]] == (["ECHO_ORDER_ASSUMED"] if unsure else [])
    assert list_series(tmp_path)[0].echoes == 2


def test_one_image_of_a_pair_needs_a_choice(make: object, pair: list[Volume], tmp_path: Path) -> None:
    write_pair(make, tmp_path, pair)
    with pytest.raises(EchoChoiceError, match="holds 2 echoes"):
        read_image(tmp_path)
    assert make.points(read_image(tmp_path, echo=1)) == make.points(pair[0])
    assert make.points(read_image(tmp_path, echo="2")) == make.points(pair[1])
    combined = read_image(tmp_path, echo="rss")
    assert combined.array == pytest.approx(np.hypot(pair[0].array.astype(float), pair[1].array), rel=1e-6)
    assert combined.meta["echo_time_ms"] is None
    assert combined.same_grid(pair[0], 1e-3)
    for wrong in (0, 3, "largest"):
        with pytest.raises(ConfigError):
            read_image(tmp_path, echo=wrong)


@pytest.mark.parametrize(("creator", "gl", "tg", "expected"), [
    ("GEMS_ACQU_01", "3132.000000", "1560.000000", (3132.0, 1560.0)),
    ("GEMS_ACQU_01", "0.000000", "0.000000", (0.0, 0.0)),
    ("GEMS_ACQU_01", "n/a", "", (None, None)),
    ("SIEMENS MR HEADER", "3132.0", "1560.0", (None, None)),
    (None, None, None, (None, None)),
])
def test_spoiler_tags(creator: str | None, gl: str, tg: str, expected: tuple, make: object, pair: list[Volume],
                      tmp_path: Path) -> None:
    write_pair(make, tmp_path, pair)
    if creator:
        for path in tmp_path.iterdir():
            dataset = pydicom.dcmread(path)
            block = dataset.private_block(0x0019, creator, create=True)
            block.add_new(0xB6, "LO", gl)
            block.add_new(0xB7, "LO", tg)
            dataset.save_as(path)
    for echo in read_echoes(tmp_path):
        assert (echo.meta["gl_area"], echo.meta["tg_us"]) == expected


def test_spoiler_tags_survive_implicit_vr(make: object, pair: list[Volume], tmp_path: Path) -> None:
    write_pair(make, tmp_path, pair)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x0019, "SOMEBODY GEMS", create=True)  # unknown creator: value comes as bytes
        block.add_new(0xB6, "DS", "3132.5")
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        dataset.save_as(path)
    assert read_echoes(tmp_path)[0].meta["gl_area"] == 3132.5
    assert read_echoes(tmp_path)[0].meta["tg_us"] is None


def test_one_series_for_each_echo_is_joined(make: object, tmp_path: Path) -> None:
    volumes = [make.volume(make.oblique(), seed=n) for n in range(4)]
    times = [40.0, 10.0, 30.0, 20.0]
    for n, (volume, time) in enumerate(zip(volumes, times, strict=True)):
        make.series(tmp_path / f"s{n}", volume, SeriesNumber=n + 1, EchoTime=time, SeriesDescription=f"T2 echo {n}")
    make.series(tmp_path / "dess", make.volume(size=(20, 20, 20)), SeriesNumber=9, SeriesDescription="DESS")
    echoes = read_echoes(tmp_path)
    assert [e.meta["echo_time_ms"] for e in echoes] == [10.0, 20.0, 30.0, 40.0]
    for echo in echoes:
        assert make.points(echo) == make.points(volumes[times.index(echo.meta["echo_time_ms"])])
    assert len(read_echoes(tmp_path, series=2)) == 4
    assert len(read_echoes(tmp_path, series="T2 echo")) == 4
    with pytest.raises(DicomError, match="single echo"):
        read_echoes(tmp_path, series=9)


def test_qdess_halves_in_two_series_are_joined(make: object, pair: list[Volume], tmp_path: Path) -> None:
    for n, volume in enumerate(pair):
        make.series(tmp_path / str(n), volume, SeriesNumber=5 - n, EchoNumbers=n + 1)
    echoes = read_echoes(tmp_path)
    assert [make.points(e) == make.points(v) for e, v in zip(echoes, pair, strict=True)] == [True, True]


@pytest.mark.parametrize("difference", [
    {"RepetitionTime": 99.0}, {"FlipAngle": 90}, {"StudyInstanceUID": "1.2.3"}, {"origin": (0.0, 0.0, 0.0)}])
def test_strangers_are_not_joined(difference: dict, make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "a", make.volume(), EchoTime=10.0)
    origin = {"origin": difference.pop("origin")} if "origin" in difference else {}
    make.series(tmp_path / "b", make.volume(seed=1, **origin), EchoTime=20.0, **difference)
    with pytest.raises(DicomError, match="single echo"):
        read_echoes(tmp_path)


def test_the_set_with_most_echoes_is_read(make: object, pair: list[Volume], tmp_path: Path) -> None:
    write_pair(make, tmp_path / "qdess", pair, SeriesNumber=2)
    uid = pydicom.uid.generate_uid()
    for n in range(3):
        make.series(tmp_path / "mese", make.volume(seed=n), SeriesInstanceUID=uid, SeriesNumber=8, EchoNumbers=n + 1,
                    EchoTime=10.0 * (n + 1), first_instance=10 * n + 1)
    echoes = read_echoes(tmp_path)
    assert len(echoes) == 3
    assert [code for code, _ in echoes[0].meta["warnings"]] == ["SEVERAL_ECHO_SETS"]
    assert len(read_echoes(tmp_path, series=2)) == 2
    assert len(read_echoes(next((tmp_path / "qdess").iterdir()))) == 2


def test_a_missing_slice_in_one_echo_is_noticed(make: object, pair: list[Volume], tmp_path: Path) -> None:
    write_pair(make, tmp_path, pair)
    sorted(tmp_path.iterdir())[-1].unlink()
    for read in (read_echoes, read_image):
        with pytest.raises(DicomError, match=r"same slices \(5, 4\)"):
            read(tmp_path)


def test_repeats_without_any_order_are_refused(make: object, pair: list[Volume], tmp_path: Path) -> None:
    write_pair(make, tmp_path, pair, numbers=False)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = 1
        dataset.save_as(path)
    with pytest.raises(DicomError, match="more than once within one echo"):
        read_echoes(tmp_path)


@pytest.mark.parametrize(("shared_geometry", "compressed"), [(True, False), (False, False), (False, True)])
def test_enhanced_multi_frame_files(shared_geometry: bool, compressed: bool, make: object, tmp_path: Path) -> None:
    volumes = [make.volume(make.oblique(), size=(24, 20, 5), seed=n) for n in range(3)]
    times = [12.6, 6.3, 18.9]
    order = list(range(15))
    random.Random(3).shuffle(order)
    path = make.enhanced(tmp_path / "enhanced.dcm", volumes, times, order=order, shared_geometry=shared_geometry)
    if compressed:
        make.compress(path, "j2k")
    for source in (path, tmp_path):
        echoes = read_echoes(source)
        assert [e.meta["echo_time_ms"] for e in echoes] == [6.3, 12.6, 18.9]
        assert [make.points(e) for e in echoes] == [make.points(volumes[n]) for n in (1, 0, 2)]
        assert echoes[0].meta["repetition_time_ms"] == 2450.0
        assert echoes[0].meta["flip_angle_deg"] == 90.0
        assert echoes[0].meta["laterality"] == "left"
        assert echoes[0].meta["slice_thickness_mm"] == 3.0
    with pytest.raises(EchoChoiceError):
        read_image(path)


def test_an_enhanced_file_with_one_echo_is_an_image(make: object, tmp_path: Path) -> None:
    for n, direction in enumerate(d for d in make.permutations if np.linalg.det(d) > 0):
        volume = make.volume(direction)
        found = read_image(make.enhanced(tmp_path / f"{n}" / "x", [volume], [5.0]))
        assert make.points(found) == make.points(volume)
        assert found.meta["warnings"] == []


def test_an_enhanced_file_for_each_echo_is_joined(make: object, pair: list[Volume], tmp_path: Path) -> None:
    for n, volume in enumerate(pair):
        make.enhanced(tmp_path / f"{n}.dcm", [volume], [10.0 + n], SeriesInstanceUID=f"1.2.{n + 3}", SeriesNumber=n)
    assert [make.points(e) for e in read_echoes(tmp_path)] == [make.points(v) for v in pair]


def test_enhanced_frames_missing_are_noticed(make: object, pair: list[Volume], tmp_path: Path) -> None:
    make.enhanced(tmp_path / "e.dcm", pair, [1.0, 2.0], order=[0, 1, 2, 3, 4, 5, 6, 7, 8])
    with pytest.raises(DicomError, match="same slices"):
        read_echoes(tmp_path)


def test_the_real_multi_echo_series(shared: Path) -> None:
    folder = shared / "data" / "mese_dicom"
    info = list_series(folder)
    assert [(s.slices, s.echoes, s.size, s.modality) for s in info] == [(24, 8, (256, 256, 24), "MR")]
    echoes = read_echoes(folder)
    assert [e.meta["echo_time_ms"] for e in echoes] == pytest.approx([6.312 * n for n in range(1, 9)])
    assert {e.size for e in echoes} == {(256, 256, 24)}
    assert echoes[0].spacing == pytest.approx((0.625, 0.625, 4.0), abs=1e-4)
    assert echoes[0].orientation[:2] == "PI"
    means = [float(e.array[e.array > 500].mean()) for e in echoes]
    assert means[1] > means[-1]
    total = [int(e.array.astype(np.int64).sum()) for e in echoes]
    assert total[1:] == sorted(total[1:], reverse=True)  # signal decays from the second echo on
    meta = echoes[0].meta
    assert (meta["repetition_time_ms"], meta["flip_angle_deg"], meta["field_strength_t"]) == (2450.0, 90.0, 3.0)
    assert (meta["gl_area"], meta["tg_us"]) == (0.0, 0.0)
    assert meta["header"]["sequence_name"] == "FSE-T2"
    assert len(meta["dicom_files"]) == 24
    for k in (0, 11, 23):
        dataset = pydicom.dcmread(meta["dicom_files"][k])
        expected = pytest.approx(echoes[0].to_physical((0, 0, k)), abs=0.01)
        assert np.array(dataset.ImagePositionPatient, float) == expected
        assert (dataset.pixel_array == echoes[0].array[k]).all()
