"""The DICOM segmentation, read back by pydicom alone, by highdicom and, where it is installed, by dcmqi."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import DicomError, KneePipelineError, SegmentationError
from KneePipelineLib.imaging import Volume, read_image, read_labels, write_volume
from KneePipelineLib.imaging.labels import BY_NAME, BY_VALUE, STRUCTURES, codes_of
from KneePipelineLib.phantom.dicom import PATIENT_NAME, write_dicom
from KneePipelineLib.results import Drawing, drawing_of, read_source, write_dicom_seg
from KneePipelineLib.results.wording import BUNDLED_NOTICE

NOON = datetime(2020, 1, 2, 12, 0, 0)
NETWORK = Drawing("nnunet_fullres", "3.1")
PIR = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])


def _writers(repository: Path) -> SimpleNamespace:
    """The DICOM writers of the imaging tests."""
    spec = importlib.util.spec_from_file_location("imaging_writers", repository / "Testing/imaging/conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["imaging_writers"] = module
    spec.loader.exec_module(module)
    return SimpleNamespace(series=module.write_series, enhanced=module.write_enhanced, oblique=module.oblique)


@pytest.fixture(scope="session")
def writers(repository: Path) -> SimpleNamespace:
    return _writers(repository)


def make_labels(size: tuple[int, int, int] = (21, 18, 12), direction: np.ndarray = PIR,
                values: tuple[int, ...] = tuple(range(1, 11)), seed: int = 3) -> Volume:
    """Blocks of every structure in the middle, nothing in the first and last slices; values anywhere and irregular."""
    rng = np.random.default_rng(seed)
    array = np.zeros(size[::-1], np.uint8)
    array[2:-3] = rng.choice((0, *values), size=(size[2] - 5, size[1], size[0]))
    return Volume(array, (0.5, 0.4, 1.5), (12.3, -45.6, 78.9), direction)


def echoes_of(labels: Volume, count: int = 2) -> list[Volume]:
    """Echoes of one repetition, side and flip angle, as a qDESS pair has them."""
    return [labels.with_array(labels.array * np.uint16(10) + np.uint16(50 + n), echo_time_ms=6.0 + 24 * n, side="right",
                              repetition_time_ms=20.0, flip_angle_deg=20.0) for n in range(count)]


def written(folder: Path, labels: Volume, source: object, **how: object) -> Path:
    how = {"side": "right", "drawing": NETWORK, "created": NOON, **how}
    [output] = write_dicom_seg(folder / "out", "knee", labels, source, **how)
    assert [p.name for p in (folder / "out").iterdir()] == [output.path] == ["knee_segmentation.dcm"]
    return folder / "out" / output.path


def read_by_the_rules(path: Path) -> Volume:
    """The label map by pydicom alone and by the rules that dcmqi reads by.

    Origin and extent come from the frames' positions along the normal of the shared orientation, the distance of the
    slices from the shared pixel measures; every frame lies on that lattice and shows one segment; segments are numbered
    from 1 without gaps; their labels name the structure.
    """
    ds = pydicom.dcmread(path)
    shared, frames = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence
    assert len(frames) == ds.NumberOfFrames
    measures = shared.PixelMeasuresSequence[0]
    rows_mm, columns_mm = map(float, measures.PixelSpacing)
    step_mm = float(measures.SpacingBetweenSlices)
    along_i, along_j = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_i, along_j)
    positions = np.array([f.PlanePositionSequence[0].ImagePositionPatient for f in frames], float)
    heights = positions @ normal
    origin = positions[heights.argmin()]
    places = (heights - heights.min()) / step_mm
    assert np.abs(places - np.rint(places)).max() < 0.01
    assert np.abs(positions - origin - np.outer(np.rint(places) * step_mm, normal)).max() < 0.001
    assert [s.SegmentNumber for s in ds.SegmentSequence] == list(range(1, len(ds.SegmentSequence) + 1))
    values = {s.SegmentNumber: value_of(s.SegmentLabel) for s in ds.SegmentSequence}
    pixels = ds.pixel_array.reshape(len(frames), ds.Rows, ds.Columns)
    array = np.zeros((int(np.rint(places).max()) + 1, ds.Rows, ds.Columns), np.uint8)
    for frame, k, plane in zip(frames, np.rint(places).astype(int), pixels, strict=True):
        [segment] = frame.SegmentIdentificationSequence
        number = segment.ReferencedSegmentNumber
        assert list(frame.FrameContentSequence[0].DimensionIndexValues) == [number, k + 1]
        assert not array[k][plane > 0].any(), "segments overlap"
        array[k][plane > 0] = values[number]
    return Volume(array, (columns_mm, rows_mm, step_mm), origin, np.column_stack([along_i, along_j, normal]))


def value_of(title: str) -> int:
    return next(structure.value for structure in STRUCTURES if structure.title == title)


def assert_same(path: Path, labels: Volume) -> None:
    """Equal voxel by voxel and in place, for our reader, for highdicom and for dcmqi."""
    found = read_by_the_rules(path)
    assert found.same_grid(labels, 1e-6)
    assert np.array_equal(found.array, labels.array)
    assert_same_for_highdicom(path, labels)
    assert_same_for_dcmqi(path, labels)


def assert_same_for_highdicom(path: Path, labels: Volume) -> None:
    import highdicom

    segmentation = highdicom.seg.segread(path)
    volume = segmentation.get_volume(combine_segments=True)
    values = [0, *(value_of(s.SegmentLabel) for s in segmentation.SegmentSequence)]
    affine = volume.affine[:, [2, 1, 0, 3]]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # highdicom stacks slices against the normal; seen from our side the axes are turned.
    found = Volume(np.array(values, np.uint8)[volume.array], spacing, affine[:3, 3], affine[:3, :3] / spacing)
    found = found.reoriented(labels.orientation)
    assert found.same_grid(labels, 1e-6)
    assert np.array_equal(found.array, labels.array)


def assert_same_for_dcmqi(path: Path, labels: Volume) -> None:
    """What 3D Slicer shows: its reader of segmentations is dcmqi."""
    program = shutil.which("segimage2itkimage")
    if program is None:
        return
    out = path.parent.parent / "dcmqi"
    out.mkdir(exist_ok=True)
    ended = subprocess.run([program, "--inputDICOM", str(path), "--outputDirectory", str(out), "--outputType", "nrrd",
                            "--mergeSegments", "--prefix", "x"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = read_labels(out / "x-1.nrrd")
    about = json.loads((out / "x-meta.json").read_text())["segmentAttributes"]
    values = np.zeros(256, np.uint8)
    for segment in about[0]:
        structure = BY_VALUE[value_of(segment["SegmentLabel"])]
        values[segment["labelID"]] = structure.value
        assert np.abs(np.subtract(segment["recommendedDisplayRGBValue"], structure.color)).max() <= 1
    assert found.same_grid(labels, 1e-5)
    assert np.array_equal(values[found.array], labels.array)


@pytest.mark.skipif(shutil.which("segimage2itkimage") is None, reason="dcmqi is not installed")
def test_dcmqi_takes_part(tmp_path: Path) -> None:
    """So that a run of these tests says whether dcmqi was there."""
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert_same_for_dcmqi(path, labels)
    with pytest.raises(AssertionError):
        assert_same_for_dcmqi(path, labels.with_array(labels.array[::-1]))


@pytest.mark.parametrize("extension", [".dcm", ""])
def test_qdess_pair_round_trip(tmp_path: Path, extension: str) -> None:
    """Every slice occurs twice in the series; each frame refers to the first echo's image of its slice."""
    labels = make_labels()
    files = write_dicom(echoes_of(labels), tmp_path / "in", extension=extension)
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert_same(path, labels)
    first_echo = {tuple(np.round(np.array(ds.ImagePositionPatient, float), 3)): ds for ds in map(pydicom.dcmread, files)
                  if ds.EchoNumbers == 1}
    seg = pydicom.dcmread(path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        [image] = frame.DerivationImageSequence[0].SourceImageSequence
        position = tuple(np.round(np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float), 3))
        assert image.ReferencedSOPInstanceUID == first_echo[position].SOPInstanceUID
        assert image.ReferencedSOPClassUID == first_echo[position].SOPClassUID
        assert image.SpatialLocationsPreserved == "YES"
    [series] = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first_echo[position].SeriesInstanceUID
    listed = [i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence]
    assert sorted(listed) == sorted(ds.SOPInstanceUID for ds in first_echo.values())


def test_the_echo_that_was_segmented_is_referred_to(tmp_path: Path) -> None:
    labels = make_labels()
    write_dicom(echoes_of(labels), tmp_path / "in")
    first, second = read_source(tmp_path / "in"), read_source(tmp_path / "in", echo="2")
    assert {i.instance_uid for i in second.images}.isdisjoint(i.instance_uid for i in first.images)
    assert read_source(tmp_path / "in", echo="rss").images == first.images


def test_zip_round_trip(tmp_path: Path) -> None:
    labels = make_labels()
    files = write_dicom(echoes_of(labels, 1), tmp_path / "in", extension="")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in files:
            archive.write(file, f"DICOM/{file.name}")
    assert_same(written(tmp_path, labels, read_source(tmp_path / "in.zip")), labels)


@pytest.mark.parametrize("size", [(21, 18, 12), (16, 24, 9)], ids=["bits across bytes", "whole bytes"])
def test_oblique_round_trip(tmp_path: Path, writers: SimpleNamespace, size: tuple[int, int, int]) -> None:
    labels = make_labels(size, writers.oblique())
    writers.series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)))
    labels = _on(read_source(tmp_path / "in").grid, labels)
    assert_same(written(tmp_path, labels, read_source(tmp_path / "in")), labels)


def test_enhanced_multiframe_round_trip(tmp_path: Path, writers: SimpleNamespace) -> None:
    """Frames of two echoes in any order: each frame refers to that frame of the first echo which shows its slice."""
    labels = make_labels(direction=writers.oblique((3, 80, 4)))
    order = np.random.default_rng(1).permutation(2 * labels.size[2]).tolist()
    path = writers.enhanced(tmp_path / "in" / "a.dcm", echoes_of(labels), [10.0, 40.0], order=order)
    source = read_source(path)
    labels = _on(source.grid, labels)
    seg_path = written(tmp_path, labels, source)
    assert_same(seg_path, labels)
    given, seg = pydicom.dcmread(path), pydicom.dcmread(seg_path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        [image] = frame.DerivationImageSequence[0].SourceImageSequence
        shown = given.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1]
        assert shown.MREchoSequence[0].EffectiveEchoTime == 10.0
        assert np.allclose(np.array(shown.PlanePositionSequence[0].ImagePositionPatient, float),
                           np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float), atol=1e-4)
        assert image.ReferencedSOPClassUID == given.SOPClassUID
    [reference] = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert reference.ReferencedSOPInstanceUID == given.SOPInstanceUID
    assert "ReferencedFrameNumber" not in reference


def test_real_multi_echo_series_round_trip(tmp_path: Path, shared: Path) -> None:
    folder = shared / "data" / "mese_dicom"
    image = read_image(folder, echo=1)
    rng = np.random.default_rng(0)
    labels = image.with_array(rng.choice(np.arange(11, dtype=np.uint8), size=image.array.shape))
    path = written(tmp_path, labels, read_source(folder))
    assert_same(path, labels)
    assert len(pydicom.dcmread(path).ReferencedSeriesSequence[0].ReferencedInstanceSequence) == image.size[2]


def test_geometry_is_that_of_the_label_map_on_disk(tmp_path: Path, writers: SimpleNamespace) -> None:
    labels = make_labels(direction=writers.oblique())
    writers.series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)))
    labels = _on(read_source(tmp_path / "in").grid, labels)
    write_volume(labels, tmp_path / "labels.nrrd")
    found = read_by_the_rules(written(tmp_path, labels, read_source(tmp_path / "in")))
    on_disk = read_labels(tmp_path / "labels.nrrd")
    assert found.same_grid(on_disk, 1e-6)
    assert found.orientation == on_disk.orientation


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASL"])
def test_labels_with_turned_axes_come_back_in_place(tmp_path: Path, orientation: str) -> None:
    """A label map of the same voxels in another order is written slice by slice as the series has them."""
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    path = written(tmp_path, labels.reoriented(orientation), read_source(tmp_path / "in"))
    assert_same(path, labels)
    assert all(f.DerivationImageSequence for f in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize("flip", [1, -1])
def test_labels_on_another_grid_refer_to_the_series_only(tmp_path: Path, flip: int) -> None:
    """Also a left-handed grid, whose slices are stacked against the normal of their plane."""
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    other = Volume(labels.array, (0.3, 0.3, 0.9), (1.0, 2.0, 3.0), np.diag([1.0, 1.0, flip]))
    path = written(tmp_path, other, read_source(tmp_path / "in"))
    found = read_by_the_rules(path).reoriented(other.orientation)
    assert found.same_grid(other, 1e-6)
    assert np.array_equal(found.array, other.array)
    seg = pydicom.dcmread(path)
    assert not any(f.DerivationImageSequence for f in seg.PerFrameFunctionalGroupsSequence)
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == labels.size[2]


def test_only_structures_that_occur_are_segments(tmp_path: Path) -> None:
    labels = make_labels(values=(2, 4, 9))
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    assert [s.SegmentLabel for s in pydicom.dcmread(path).SegmentSequence] == ["Tibia", "Femoral cartilage",
                                                                              "Lateral meniscus"]
    assert_same(path, labels)


def test_frames_that_show_nothing_are_left_out_but_for_the_ends(tmp_path: Path) -> None:
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    seg = pydicom.dcmread(written(tmp_path, labels, read_source(tmp_path / "in")))
    empty = [tuple(f.FrameContentSequence[0].DimensionIndexValues) for f, plane in
             zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True) if not plane.any()]
    assert empty == [(1, 1), (10, labels.size[2])]


def test_patient_and_study_are_the_sources(tmp_path: Path, writers: SimpleNamespace) -> None:
    """And nothing else of its header: not the hospital, the scanner or its private elements."""
    labels = make_labels()
    given = {"FrameOfReferenceUID": "1.2.3.4", "StudyID": "S1", "StudyDescription": "Knee", "PatientSex": "F",
             "PatientAge": "070Y", "StudyTime": "101112", "SpecificCharacterSet": "ISO_IR 100",
             "PatientName": "Sécret^Anaïs"}
    files = writers.series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)), **given)
    seg, first = pydicom.dcmread(written(tmp_path, labels, read_source(tmp_path / "in"))), pydicom.dcmread(files[0])
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyInstanceUID",
                 "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "FrameOfReferenceUID"):
        assert seg[name].value == first[name].value, name
    assert seg.SeriesInstanceUID != first.SeriesInstanceUID
    assert (seg.Modality, seg.SOPClassUID.name, seg.SeriesNumber) == ("SEG", "Segmentation Storage", 1003)
    assert (seg.BodyPartExamined, seg.Laterality) == ("KNEE", "R")
    assert seg.ContentDate == seg.SeriesDate == "20200102"
    text = str(seg)
    assert "Secret Hospital" not in text
    assert "SIGNA" not in text
    assert not [e for e in seg if e.tag.is_private]


def test_odd_headers_are_no_obstacle(tmp_path: Path, writers: SimpleNamespace, capfd: pytest.CaptureFixture,
                                     caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    """Anonymised archives hold zeros, crosses and gaps where the standard wants dates, sexes and UIDs.

    What libraries think of such values is not heard: it quotes them, and ends in the log.
    """
    labels = make_labels()

    def spoil(dataset: object, k: int) -> None:
        del dataset.AccessionNumber, dataset.PatientName
        with pydicom.config.disable_value_validation():
            for name, value in (("PatientBirthDate", "00000000"), ("PatientSex", "X"), ("StudyDate", "XXXX"),
                                ("PatientWeight", "unknown"), ("PatientID", "x" * 80)):
                dataset.add_new(pydicom.datadict.tag_for_keyword(name), "LO" if name == "PatientWeight" else
                                pydicom.datadict.dictionary_VR(name), value)

    writers.series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)), tweak=spoil)
    recwarn.clear()
    caplog.clear()
    path = written(tmp_path, labels, read_source(tmp_path / "in"))
    said = capfd.readouterr()
    assert not [w for w in recwarn if "xxxx" in str(w.message) or w.category is UserWarning]
    assert (said.out, said.err) == ("", "")
    assert not [r for r in caplog.records if r.name.startswith("pydicom")]
    assert_same(path, labels)
    seg = pydicom.dcmread(path)
    assert (seg.PatientBirthDate, seg.PatientSex, seg.StudyDate) == ("", "", "")
    assert seg.PatientID == "x" * 80
    assert seg.FrameOfReferenceUID.startswith("2.25.")


def test_segments_say_what_they_are(tmp_path: Path) -> None:
    """Codes, colour, algorithm: what the segment attributes of PS3.3 C.8.20.2 ask for."""
    from highdicom.color import CIELabColor

    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    seg = pydicom.dcmread(written(tmp_path, labels, read_source(tmp_path / "in")))
    assert (seg.SegmentationType, seg.SegmentsOverlap) == ("BINARY", "NO")
    for segment, structure in zip(seg.SegmentSequence, STRUCTURES, strict=True):
        codes = codes_of(structure, "right")
        for sequence, code in ((segment.SegmentedPropertyCategoryCodeSequence, codes.category),
                               (segment.SegmentedPropertyTypeCodeSequence, codes.type),
                               (segment.get("AnatomicRegionSequence"), codes.region)):
            assert (_triple(sequence) if sequence else None) == code
        modifier = segment.SegmentedPropertyTypeCodeSequence[0].get("SegmentedPropertyTypeModifierCodeSequence")
        assert (_triple(modifier) if modifier else None) == codes.modifier
        shown = CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
        assert np.abs(np.subtract(shown, structure.color)).max() <= 1
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "nnunet_fullres")
        [algorithm] = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("nnunet_fullres", "3.1")


def _triple(sequence: object) -> tuple[str, str, str]:
    [item] = sequence
    return item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning


@pytest.mark.parametrize("side", ["right", "left", "unknown"])
def test_codes_name_one_structure_each(side: str) -> None:
    codes = [codes_of(structure, side) for structure in STRUCTURES]
    assert len(set(codes)) == len(STRUCTURES)
    assert {c.region_modifier[2] if c.region_modifier else None for c in codes if c.region} == {
        {"right": "Right", "left": "Left", "unknown": None}[side]}
    assert codes_of(BY_NAME["med_tib_cart"], side).region[2] == "Tibia"


@pytest.mark.parametrize(("name", "side", "values"), [
    ("femur", "right", ("123037004", "71341001", "24028007", None, None)),
    ("fem_cart", "unknown", ("85756007", "309312004", None, "71341001", None)),
    ("lat_tib_cart", "left", ("85756007", "309312004", "49370004", "12611008", "7771000")),
    ("med_meniscus", "right", ("85756007", "74135004", "255561001", "72696002", "24028007")),
])
def test_codes_are_those_of_the_master_list(name: str, side: str, values: tuple) -> None:
    codes = astuple(codes_of(BY_NAME[name], side))
    assert tuple(code and code[1] for code in codes) == values
    assert {code[0] for code in codes if code} == {"SCT"}


def test_who_drew_the_labels_is_said(tmp_path: Path) -> None:
    given = drawing_of({"source": "given"}, model="bundled", edited=False)
    assert (given.model, given.algorithm_type, given.notice) == (None, "SEMIAUTOMATIC", "")
    bundled = drawing_of({"source": "network", "model": {"name": "bundled", "sha256": "ab" * 32}}, model="bundled",
                         edited=True)
    assert (bundled.algorithm_type, bundled.version) == ("SEMIAUTOMATIC", "ab" * 8)
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    seg = pydicom.dcmread(written(tmp_path, labels, read_source(tmp_path / "in"), drawing=bundled))
    assert "bundled network: not validated for research" in seg.SeriesDescription
    for segment in seg.SegmentSequence:
        assert BUNDLED_NOTICE.lower() in segment.SegmentDescription.lower()
        assert "corrected by a person" in segment.SegmentDescription
    seg = pydicom.dcmread(written(tmp_path, labels, read_source(tmp_path / "in"), drawing=given))
    assert {s.SegmentAlgorithmName for s in seg.SegmentSequence} == {"label map handed in, its origin unknown"}
    assert "validated" not in str(seg)


@pytest.mark.parametrize("drawing", [Drawing("bundled", edited=True), Drawing("x" * 90, "y" * 64),
                                     Drawing(edited=True)])
def test_descriptions_fit_their_elements(drawing: Drawing) -> None:
    assert max(len(drawing.series_description()), len(drawing.algorithm_name)) <= 64
    assert len(drawing.sentence()) <= 1024


def test_same_arguments_same_bytes_and_another_time_another_object(tmp_path: Path) -> None:
    labels = make_labels()
    write_dicom(echoes_of(labels, 1), tmp_path / "in")
    source = read_source(tmp_path / "in")
    first = written(tmp_path / "a", labels, source).read_bytes()
    assert first == written(tmp_path / "b", labels, read_source(tmp_path / "in")).read_bytes()
    uids = []
    for created, array in ((NOON, labels.array), (NOON.replace(second=1), labels.array), (NOON, labels.array[:, ::-1])):
        seg = pydicom.dcmread(written(tmp_path / "c", labels.with_array(array.copy()), source, created=created))
        uids += [seg.SOPInstanceUID, seg.SeriesInstanceUID]
    assert len(set(uids)) == 6
    assert all(uid.is_valid and len(uid) <= 64 for uid in uids)


@pytest.mark.parametrize(("values", "words"), [((0,), "empty"), ((1, 17), "17")])
def test_labels_that_cannot_be_written_are_told_and_leave_nothing(tmp_path: Path, values: tuple, words: str) -> None:
    labels = make_labels(values=values)
    write_dicom(echoes_of(make_labels(), 1), tmp_path / "in")
    with pytest.raises(SegmentationError, match=words):
        write_dicom_seg(tmp_path / "out", "knee", labels, read_source(tmp_path / "in"))
    assert not (tmp_path / "out").exists()


def test_sources_that_cannot_be_referred_to_are_told(tmp_path: Path, writers: SimpleNamespace) -> None:
    labels = make_labels()
    write_volume(labels, tmp_path / "labels.nrrd")
    with pytest.raises(DicomError, match="not DICOM"):
        read_source(tmp_path / "labels.nrrd")

    def spoil(dataset: object, k: int) -> None:
        dataset.StudyInstanceUID = ""

    writers.series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)), tweak=spoil)
    with pytest.raises(KneePipelineError, match="no UIDs") as raised:
        read_source(tmp_path / "in")
    assert "Secret" not in str(raised.value.to_dict())


def test_nothing_of_the_patient_shows_in_a_repr(tmp_path: Path) -> None:
    """Tracebacks of some tools print the values of variables."""
    write_dicom(echoes_of(make_labels(), 1), tmp_path / "in")
    assert PATIENT_NAME not in repr(read_source(tmp_path / "in"))


def _on(grid: Volume, labels: Volume) -> Volume:
    """The labels on the grid as headers tell it, whose decimal strings are rounded."""
    assert labels.same_grid(grid, 1e-3)
    return Volume(labels.array, grid.spacing, grid.origin, grid.direction)
