"""What a DICOM segmentation says: patient and study, codes and colours, who drew it; and what is refused."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import DicomError, KneePipelineError, SegmentationError
from KneePipelineLib.imaging import write_volume
from KneePipelineLib.imaging.labels import BY_NAME, STRUCTURES, codes_of
from KneePipelineLib.phantom.dicom import PATIENT_NAME, write_dicom
from KneePipelineLib.results import Drawing, drawing_of, read_source, write_dicom_seg
from KneePipelineLib.results.wording import BUNDLED_NOTICE
from Testing.imaging.makers import write_series
from Testing.results.dicom_seg_case import NOON, assert_same, echoes_of, make_labels, written


def test_patient_and_study_are_the_sources(tmp_path: Path) -> None:
    """And nothing else of its header: not the hospital, the scanner or its private elements."""
    labels = make_labels()
    given = {"FrameOfReferenceUID": "1.2.3.4", "StudyID": "S1", "StudyDescription": "Knee", "PatientSex": "F",
             "PatientAge": "070Y", "StudyTime": "101112", "SpecificCharacterSet": "ISO_IR 100",
             "PatientName": "Sécret^Anaïs"}
    files = write_series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)), **given)
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


def test_odd_headers_are_no_obstacle(tmp_path: Path, capfd: pytest.CaptureFixture,
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

    write_series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)), tweak=spoil)
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


def test_sources_that_cannot_be_referred_to_are_told(tmp_path: Path) -> None:
    labels = make_labels()
    write_volume(labels, tmp_path / "labels.nrrd")
    with pytest.raises(DicomError, match="not DICOM"):
        read_source(tmp_path / "labels.nrrd")

    def spoil(dataset: object, k: int) -> None:
        dataset.StudyInstanceUID = ""

    write_series(tmp_path / "in", labels.with_array(labels.array.astype(np.int16)), tweak=spoil)
    with pytest.raises(KneePipelineError, match="no UIDs") as raised:
        read_source(tmp_path / "in")
    assert "Secret" not in str(raised.value.to_dict())


def test_nothing_of_the_patient_shows_in_a_repr(tmp_path: Path) -> None:
    """Tracebacks of some tools print the values of variables."""
    write_dicom(echoes_of(make_labels(), 1), tmp_path / "in")
    assert PATIENT_NAME not in repr(read_source(tmp_path / "in"))
