"""What an image is, asked before anything is stacked: maps, Dixon, repetitions, derived series, colour, padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from KneePipelineLib.errors import DicomError, InvalidFormatError
from KneePipelineLib.imaging import Volume, check_plausible_knee, list_series, read_echoes, read_image
from KneePipelineLib.imaging.acquisitions import acquisition_of, is_steady_state_pair
from KneePipelineLib.imaging.image_kinds import is_original, is_picture, kind_of
from Testing.imaging.refusals import codes, fails


@pytest.mark.parametrize(("image_type", "kind"), [
    (r"ORIGINAL\PRIMARY\OTHER", "magnitude"),
    (r"ORIGINAL\PRIMARY\M\ND\NORM\DIS2D", "magnitude"),
    (r"ORIGINAL\PRIMARY\M_SE\M\SE", "magnitude"),
    (r"ORIGINAL\PRIMARY\T1\NONE", "magnitude"),
    (r"ORIGINAL\PRIMARY\T2\NONE", "magnitude"),
    (r"ORIGINAL\PRIMARY\PROTON_DENSITY\NONE", "magnitude"),
    (r"DERIVED\SECONDARY\MPR", "magnitude"),
    ("", "magnitude"),
    (r"ORIGINAL\PRIMARY\T2 MAP\T2\UNSPECIFIED", "T2 map"),
    (r"DERIVED\PRIMARY\M\ND\T2_MAP", "T2 map"),
    (r"DERIVED\PRIMARY\T2_STAR_MAP\NONE", "T2* map"),
    (r"DERIVED\PRIMARY\T1RHO MAP", "T1rho map"),
    (r"ORIGINAL\PRIMARY\T1 MAP\T1\UNSPECIFIED", "T1 map"),
    (r"ORIGINAL\PRIMARY\B0 MAP\B0\FFE", "field map"),
    (r"DERIVED\PRIMARY\FF\FF\DERIVED", "fat fraction map"),
    (r"DERIVED\PRIMARY\DIXON\FAT_FRACTION", "fat fraction map"),
    (r"DERIVED\PRIMARY\DIXON\WATER", "water"),
    (r"DERIVED\PRIMARY\F\F\DERIVED", "fat"),
    (r"ORIGINAL\PRIMARY\IP\IP\TSE", "in-phase"),
    (r"DERIVED\PRIMARY\M\OPP_PHASE", "opposed-phase"),
    (r"ORIGINAL\PRIMARY\M\ND\OUT_PHASE", "opposed-phase"),
    (r"ORIGINAL\PRIMARY\PHASE MAP\P\FFE", "phase"),
    (r"ORIGINAL\PRIMARY\P\ND", "phase"),
    (r"ORIGINAL\PRIMARY\R_FFE\R\FFE", "real part"),
    (r"DERIVED\SECONDARY\COMBINED", "combination"),
    (r"DERIVED\SECONDARY\PROJECTION IMAGE", "projection"),
    (r"DERIVED\PRIMARY\M\SUB", "subtraction"),
    (r"ORIGINAL\PRIMARY\M\MOSAIC", "mosaic"),
])
def test_the_words_of_vendors(image_type: str, kind: str) -> None:
    assert kind_of(image_type.split("\\")) == kind
    assert is_picture(kind) == (kind in ("magnitude", "water", "fat", "in-phase", "opposed-phase", "combination",
                                         "projection"))


@pytest.mark.parametrize(("image_type", "original"), [
    ("", True), (r"ORIGINAL\PRIMARY\M", True),
    (r"DERIVED\PRIMARY\DIXON\WATER", True), (r"DERIVED\SECONDARY\MPR", False),
    (r"ORIGINAL\PRIMARY\MPR", False), (r"DERIVED\SECONDARY\REFORMATTED\AVERAGE", False), (r"DERIVED\SECONDARY", False)])
def test_originals(image_type: str, original: bool) -> None:
    assert is_original(image_type.split("\\")) is original


@pytest.mark.parametrize(("scanning", "names", "acquisition"), [
    (("GR",), ("SAG QDESS",), "dess"), (("RM",), ("3D DESS WE",), "dess"), ((), ("*DE3D1RS",), "dess"),
    (("GR",), ("MENSA",), "dess"), (("SE",), ("DESS PROTOCOL TSE",), "spin echo"), (("SPIN",), ("PD",), "spin echo"),
    (("GR",), ("SAG T1RHO",), "spin lock"), (("SE",), ("T1_RHO MAP",), "spin lock"),
    (("GR",), ("TSL 40",), "spin lock"),
    (("GR",), ("T1R",), "spin lock"), (("GR",), ("T1 RARE",), "gradient echo"), (("SE", "GR"), (), ""), ((), (), ""),
    ((), ("ADDRESS",), ""), ((), ("SAG T1 RHOMBOID",), "spin lock"), (("GR",), ("FIESTA",), "gradient echo"),
])
def test_acquisitions(scanning: tuple, names: tuple, acquisition: str) -> None:
    assert acquisition_of(scanning, names) == acquisition


@pytest.mark.parametrize(("changes", "answer"), [
    ({}, True), ({"times": (6.0, 14.0), "numbers": (None, None)}, True), ({"times": (6.0, 34.2)}, True),
    ({"numbers": (1, 1)}, False), ({"numbers": (None, None)}, False), ({"tr": 700.0}, False), ({"tr": None}, False),
    ({"flip": 90.0}, False), ({"flip": None}, False), ({"times": (4.9, 7.4)}, False), ({"times": (None, None)}, False),
    ({"numbers": (1, 1), "acquisition": "dess"}, True), ({"numbers": (1, 1), "spoiled": True}, True),
    ({"acquisition": "spin echo", "spoiled": True}, False), ({"acquisition": "spin lock"}, False),
])
def test_evidence_of_a_qdess_pair(changes: dict, answer: bool) -> None:
    given = {"acquisition": "gradient echo", "spoiled": False, "times": (6.0, 6.0), "numbers": (1, 2), "tr": 20.0,
             "flip": 20.0, **changes}
    assert is_steady_state_pair(*given.values()) is answer


def write_sets(make: object, folder: Path, sets: list[dict], **common: object) -> list[Volume]:
    """One series in which every slice occurs once for each set, the sets' elements differing; returns the volumes."""
    uid, volumes = pydicom.uid.generate_uid(), []
    common = {"SeriesDescription": "PD", "EchoNumbers": 1, **common}
    for n, values in enumerate(sets):
        volume = make.volume(seed=n)
        volumes.append(volume)
        make.series(folder, volume, SeriesInstanceUID=uid, first_instance=100 * n + 1, **{**common, **values})
    return volumes


MAP = {"ImageType": ["ORIGINAL", "PRIMARY", "T2 MAP", "T2", "UNSPECIFIED"], "EchoTime": 0, "EchoNumbers": 1}
PLAIN = {"ImageType": ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]}
WATER, FAT = ({"ImageType": ["DERIVED", "PRIMARY", w, w, "DERIVED"]} for w in "WF")
IN_PHASE = {"ImageType": ["ORIGINAL", "PRIMARY", "IP", "IP", "FFE"]}


@pytest.mark.parametrize(("sets", "read", "code"), [
    ([FAT, WATER], 1, "KINDS_LEFT_OUT"),
    ([WATER, FAT, IN_PHASE], 0, "KINDS_LEFT_OUT"),
    ([IN_PHASE, FAT], 0, "KINDS_LEFT_OUT"),
    ([MAP, PLAIN], 1, "KINDS_LEFT_OUT"),
    ([{"ImageType": ["DERIVED", "SECONDARY", "COMBINED"]}, PLAIN], 1, "KINDS_LEFT_OUT"),
    ([{"TemporalPositionIdentifier": 3}, {"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}], 1,
     "REPETITIONS"),
    ([{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}], 0, "REPETITIONS"),
    ([{"TriggerTime": 500}, {"TriggerTime": 20}], 1, "REPETITIONS"),
    ([{"FlipAngle": 5}, {"FlipAngle": 26}], 0, "REPETITIONS"),
    ([{"InversionTime": 400}, {"InversionTime": 200}], 1, "REPETITIONS"),
    ([{"ContrastBolusAgent": "Gd"}, {}], 1, "REPETITIONS"),
    ([{"AcquisitionTime": "120100"}, {"AcquisitionTime": "120000"}], 1, "REPETITIONS"),
    ([{"ImageType": ["DERIVED", "SECONDARY", "X"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "M"]}], 1, "REPETITIONS"),
    ([{}, {}], 0, "REPEATS_UNKNOWN"),
])
def test_one_set_is_read_with_a_word_and_none_is_an_echo(sets: list[dict], read: int, code: str, make: object,
                                                         tmp_path: Path) -> None:
    volumes = write_sets(make, tmp_path, sets)
    found = read_image(tmp_path)
    assert make.points(found) == make.points(volumes[read])
    assert codes(found) == [code]
    assert found.meta["echoes"] == 1
    assert list_series(tmp_path)[0].echoes == 1
    assert "echo" in fails(DicomError, tmp_path, read_echoes).message


def test_a_kind_or_repetition_can_be_chosen(make: object, tmp_path: Path) -> None:
    water, fat = write_sets(make, tmp_path / "dixon", [WATER, FAT])
    assert make.points(read_image(tmp_path / "dixon", echo="fat")) == make.points(fat)
    assert make.points(read_image(tmp_path / "dixon", echo="Water")) == make.points(water)
    first, second = write_sets(make, tmp_path / "times", [{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}])
    assert make.points(read_image(tmp_path / "times", echo=2)) == make.points(second)
    both = read_image(tmp_path / "times", echo="rss").array
    assert both == pytest.approx(np.hypot(first.array.astype(float), second.array), rel=1e-6)


@pytest.mark.parametrize("sets", [
    [{"EchoTime": 0, **MAP}, *({**PLAIN, "EchoTime": 6.36 * n, "EchoNumbers": n} for n in (1, 2, 3))],
    [{**MAP, "EchoTime": 6.36}, *({**PLAIN, "EchoTime": 6.36 * n, "EchoNumbers": n} for n in (1, 2, 3))],
    [{**MAP, "EchoNumbers": 9}, *({**PLAIN, "EchoTime": 6.36 * n, "EchoNumbers": n} for n in (1, 2, 3))],
])
def test_a_map_among_the_echoes_is_left_out(sets: list[dict], make: object, tmp_path: Path) -> None:
    volumes = write_sets(make, tmp_path, sets, RepetitionTime=2000, FlipAngle=90)
    echoes = read_echoes(tmp_path)
    assert [e.meta["echo_time_ms"] for e in echoes] == pytest.approx([6.36, 12.72, 19.08])
    assert [make.points(e) for e in echoes] == [make.points(v) for v in volumes[1:]]
    assert codes(echoes[0]) == ["KINDS_LEFT_OUT"]


def test_dynamics_of_several_echoes_give_the_echoes_of_the_first(make: object, tmp_path: Path) -> None:
    volumes = write_sets(make, tmp_path, [{"TemporalPositionIdentifier": t, "EchoNumbers": e, "EchoTime": 10 * e}
                                          for t in (2, 1) for e in (1, 2, 3)])
    echoes = read_echoes(tmp_path)
    assert [make.points(e) for e in echoes] == [make.points(v) for v in volumes[3:]]
    assert codes(echoes[0]) == ["REPETITIONS"]


@pytest.mark.parametrize("shift_mm", [0.005, 0.02, 0.05])
def test_echoes_whose_positions_or_times_jitter(shift_mm: float, make: object, tmp_path: Path) -> None:
    uid = pydicom.uid.generate_uid()
    for n in (0, 1):
        def tweak(dataset: object, k: int, n: int = n) -> None:
            dataset.EchoTime = (6, 14)[n] + 0.003 * (k % 2)
            dataset.ImagePositionPatient = make.decimal(np.array(dataset.ImagePositionPatient, float) + n * shift_mm)

        make.series(tmp_path, make.volume(seed=n), SeriesInstanceUID=uid, first_instance=100 * n + 1, tweak=tweak)
    first, second = read_echoes(tmp_path)
    assert first.same_grid(second, 1e-9)
    assert (second.array == make.volume(seed=1).array).all()


def test_enhanced_water_and_fat_frames(make: object, tmp_path: Path) -> None:
    water, fat = make.volume(seed=1), make.volume(seed=2)
    path = make.enhanced(tmp_path / "e.dcm", [fat, water], [6.0, 6.0])
    dataset = pydicom.dcmread(path)
    for n, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = pydicom.Dataset()
        item.FrameType = ["DERIVED", "PRIMARY", "DIXON", "WATER" if n % 2 else "FAT"]
        group.MRImageFrameTypeSequence = [item]
    dataset.save_as(path)
    assert make.points(read_image(path)) == make.points(water)
    fails(DicomError, path, read_echoes)


def test_one_file_of_an_enhanced_series_in_parts_brings_the_rest(make: object, tmp_path: Path) -> None:
    volume = make.volume(size=(7, 6, 10))
    uid = pydicom.uid.generate_uid()
    for n, (low, high) in enumerate(((0, 6), (6, 10))):
        part = volume.cropped((0, 0, low), (7, 6, high))
        make.enhanced(tmp_path / f"{n}.dcm", [part], [6.0], SeriesInstanceUID=uid, InstanceNumber=n + 1)
    found = read_image(tmp_path / "0.dcm")
    assert make.points(found) == make.points(volume)
    assert codes(found) == ["SERIES_COMPLETED"]


@pytest.mark.parametrize("other", [
    {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "T2 MAP", "T2", "SE"]},
    {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
    {"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}])
def test_originals_win_over_larger_series_that_are_none(other: dict, make: object, tmp_path: Path) -> None:
    volume = make.volume(size=(7, 6, 5))
    make.series(tmp_path / "a", volume, ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
    make.series(tmp_path / "b", make.volume(size=(8, 8, 8)), SeriesNumber=9, **other)
    assert make.points(read_image(tmp_path)) == make.points(volume)
    assert read_image(tmp_path, series=9).size == (8, 8, 8)


def test_a_small_original_is_no_rival(make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "a", make.volume(size=(6, 6, 3)), ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
    make.series(tmp_path / "b", make.volume(size=(12, 12, 12)), SeriesNumber=9,
                ImageType=["DERIVED", "SECONDARY", "MPR"])
    assert read_image(tmp_path).size == (12, 12, 12)


@pytest.mark.parametrize(("values", "word"), [
    ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase"),
    ({"ComplexImageComponent": "IMAGINARY"}, "imaginary"),
    ({"ImageType": ["DERIVED", "PRIMARY", "T2 MAP", "T2"]}, "T2 map"),
    ({"BodyPartExamined": "BRAIN"}, "no knee"), ({"BodyPartExamined": "HEAD"}, "no knee"),
    ({"BodyPartExamined": "C-SPINE"}, "no knee"),
])
def test_what_is_no_picture_of_a_knee_is_refused_unless_asked(values: dict, word: str, make: object,
                                                              tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(size=(64, 64, 20), spacing=(2.0, 2.0, 4.0)), **values)
    volume = read_image(tmp_path)
    with pytest.raises(InvalidFormatError, match=word) as caught:
        check_plausible_knee(volume)
    assert "--anyway" in caught.value.hint
    assert "NOT_A_KNEE_IMAGE" in [code for code, _ in check_plausible_knee(volume, anyway=True)]


@pytest.mark.parametrize("values", [
    {}, {"BodyPartExamined": "KNEE"}, {"BodyPartExamined": "LEG"}, {"BodyPartExamined": "EXTREMITY"},
    {"BodyPartExamined": "HIP"}, {"BodyPartExamined": "FOREHEADED"}, {"BodyPartExamined": ""},
    {"BodyPartExamined": "HEAD", "StudyDescription": "MRT Knie links"},
    {"BodyPartExamined": "PELVIS", "ProtocolName": "KNEE_DESS"}])
def test_other_headers_are_no_reason_to_refuse(values: dict, make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(size=(64, 64, 20), spacing=(2.0, 2.0, 4.0)), **values)
    assert "NOT_A_KNEE_IMAGE" not in [code for code, _ in check_plausible_knee(read_image(tmp_path))]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_monochrome1_is_turned_over_as_by_itk(dtype: type, make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(dtype=dtype), PhotometricInterpretation="MONOCHROME1", RescaleSlope="2",
                RescaleIntercept="-5")
    found = read_image(tmp_path)
    reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    assert (sitk.GetArrayFromImage(reference) == found.array).all()


def test_monochrome1_of_twelve_bits(make: object, tmp_path: Path) -> None:
    volume = make.volume(dtype=np.uint16)
    make.series(tmp_path, volume, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    assert (read_image(tmp_path).array == 4095 - volume.array).all()


def test_a_colour_map_is_refused_by_name(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(), PhotometricInterpretation="PALETTE COLOR")
    assert "PALETTE COLOR" in fails(DicomError, tmp_path).message


def test_mosaics_are_named(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    assert "mosaic" in fails(DicomError, tmp_path).message


def padded(dtype: type, value: int, limit: int | None = None) -> Callable:
    def tweak(dataset: object, _: int) -> None:
        array = np.frombuffer(dataset.PixelData, dtype).reshape(dataset.Rows, dataset.Columns).copy()
        array[:2, :2] = value
        array[0, 0] = value if limit is None else limit
        dataset.PixelData = array.tobytes()
        kind = "SS" if np.dtype(dtype).kind == "i" else "US"
        dataset.add_new(0x00280120, kind, value)
        if limit is not None:
            dataset.add_new(0x00280121, kind, limit)
    return tweak


@pytest.mark.parametrize(("dtype", "value", "limit"), [
    (np.uint16, 65535, None), (np.uint16, 65000, 65535), (np.int16, -2000, None), (np.int16, -3000, -2000)])
def test_padding_becomes_background(dtype: type, value: int, limit: int | None, make: object, tmp_path: Path) -> None:
    volume = make.volume(dtype=dtype)
    make.series(tmp_path, volume, tweak=padded(dtype, value, limit))
    found = read_image(tmp_path)
    inside = np.ones(volume.array.shape, bool)
    inside[:, :2, :2] = False
    assert (found.array[inside] == volume.array[inside]).all()
    assert (found.array[~inside] == volume.array[inside].min()).all()
    assert found.array.dtype == dtype


def test_zero_as_padding_changes_nothing(make: object, tmp_path: Path) -> None:
    volume = make.volume(dtype=np.uint16)
    shifted = volume.with_array((volume.array + 7).astype(np.uint16))
    make.series(tmp_path, shifted, tweak=padded(np.uint16, 0))
    assert (read_image(tmp_path).array[:, :2, :2] == 0).all()


def test_a_modality_lut_is_applied(make: object, tmp_path: Path) -> None:
    volume = make.volume(dtype=np.uint16)

    def tweak(dataset: object, _: int) -> None:
        item = pydicom.Dataset()
        item.add_new(0x00283002, "US", [256, 0, 16])
        item.ModalityLUTType = "US"
        item.add_new(0x00283006, "US", [3 * n + 1 for n in range(256)])
        dataset.ModalityLUTSequence = [item]

    make.series(tmp_path, volume, tweak=tweak)
    assert (read_image(tmp_path).array == 3 * volume.array + 1).all()
