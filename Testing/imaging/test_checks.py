"""What may pass as a knee, the facts of a header, resampling, and the cost of importing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import ConfigError, InvalidFormatError
from KneePipelineLib.imaging import (
    Volume,
    boxes_overlap,
    check_plausible_geometry,
    check_plausible_knee,
    dicom_facts,
    from_sitk,
    resample_to,
    to_sitk,
)
from KneePipelineLib.imaging.facts import laterality_of, side_in_words
from KneePipelineLib.imaging.labels import STRUCTURES
from KneePipelineLib.phantom import DigitalKnee, Grid


def knee_sized(size: tuple[int, int, int] = (64, 64, 32), spacing: tuple = (2.2, 2.2, 3.5), **meta: object) -> Volume:
    array = np.random.default_rng(0).integers(0, 999, size[::-1]).astype(np.int16)
    return Volume(array, spacing, meta=meta)


@pytest.mark.parametrize(("size", "spacing"), [
    ((384, 384, 160), (0.3646, 0.3646, 0.7)),  # OAI sagittal 3-D DESS
    ((256, 256, 24), (0.625, 0.625, 4.0)),     # the reference multi-echo series
    ((512, 512, 30), (0.3125, 0.3125, 3.5)),   # a clinical 2-D sagittal
    ((256, 320, 256), (0.5, 0.5, 0.5)),        # isotropic
])
def test_real_protocols_pass_without_a_word(size: tuple, spacing: tuple) -> None:
    array = np.zeros(size[::-1], np.uint8)
    array[::2] = 1
    assert check_plausible_knee(Volume(array, spacing)) == []


@pytest.mark.parametrize(("size", "spacing", "sentence"), [
    ((64, 64, 32), (0.05, 2.2, 3.5), "spacing"),
    ((64, 64, 32), (2.2, 2.2, 7.0), "spacing"),
    ((64, 64, 5), (2.2, 2.2, 5.0), "only 5 voxels"),
    ((64, 64, 32), (0.5, 2.2, 0.5), "field of view"),   # a strip
    ((64, 64, 32), (0.2, 0.2, 0.3), "field of view"),   # a finger
    ((240, 240, 100), (2.0, 2.0, 4.0), "field of view"),  # half a body
])
def test_what_cannot_be_a_knee_is_refused(size: tuple, spacing: tuple, sentence: str) -> None:
    with pytest.raises(InvalidFormatError, match=sentence):
        check_plausible_knee(knee_sized(size, spacing))


def test_a_label_map_is_called_one_and_its_values_are_not_looked_at() -> None:
    volume = knee_sized()
    assert check_plausible_geometry(volume.with_array(np.zeros_like(volume.array)), "label map") == []
    with pytest.raises(InvalidFormatError, match=r"The label map's field of view of 1152 x 1152 x 480 mm"):
        check_plausible_geometry(knee_sized((384, 384, 160), (3, 3, 3)), "label map")


@pytest.mark.parametrize(("origin", "turn_deg", "overlap"), [
    ((0, 0, 0), 0, True), ((9.9, 0, 0), 0, True), ((10.1, 0, 0), 0, False), ((0, 0, -10.1), 0, False),
    ((7, 7, 0), 0, True), ((0, 0, 500), 30, False),
    ((10.1, 5, 0), 45, True),  # a corner points into the other box
    ((13.5, 5.2, 0), 45, False),
    ((8.0, 11.5, 0), 45, False),  # apart along the turned axes alone
])
def test_boxes_in_space(origin: tuple, turn_deg: float, overlap: bool) -> None:
    """Boxes 10 mm wide; the second is turned about its own centre."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    still = Volume(np.zeros((5, 10, 20)), (0.5, 1, 2))
    center = still.to_physical((np.array(still.size) - 1) / 2)
    moved = Volume(np.zeros((10, 10, 10)), (1, 1, 1), center + np.array(origin) - turn @ np.full(3, 4.5), turn)
    assert boxes_overlap(still, moved) is overlap
    assert boxes_overlap(moved, still) is overlap


def test_values_are_looked_at() -> None:
    volume = knee_sized()
    with pytest.raises(InvalidFormatError, match="constant"):
        check_plausible_knee(volume.with_array(np.zeros_like(volume.array)))
    broken = volume.array.astype(np.float32)
    broken[3, 3, 3] = np.nan
    with pytest.raises(InvalidFormatError, match="not numbers"):
        check_plausible_knee(volume.with_array(broken))


def test_the_unusual_is_said() -> None:
    def codes(volume: Volume) -> list[str]:
        return [code for code, sentence in check_plausible_knee(volume) if sentence.endswith(".")]

    assert codes(knee_sized((64, 64, 32), (5.0, 5.0, 5.0))) == ["UNUSUAL_FIELD_OF_VIEW"]
    assert codes(knee_sized((600, 600, 20), (0.2, 0.2, 5.0))) == ["VERY_ANISOTROPIC"]
    assert codes(knee_sized(modality="CT")) == ["NOT_MR"]
    empty = np.zeros((32, 64, 64), np.int16)
    empty[0, 0, :5] = range(5)
    assert codes(knee_sized().with_array(empty)) == ["MOSTLY_EMPTY"]


@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("contrast", ["dess", "t1", "pd_fs"])
def test_a_negative_is_told_and_a_knee_is_none(contrast: str, cropped: bool) -> None:
    """Its cartilage came out a sixth too thin, every region "ok"."""
    def codes(array: np.ndarray) -> list[str]:
        return [code for code, _ in check_plausible_knee(image.with_array(array))]

    image = DigitalKnee(0).image(Grid.sagittal((80, 80, 40), (1.8, 1.8, 3.0)), contrast)
    if cropped:
        image = image.cropped((15, 15, 8), (65, 65, 32))
    assert "LOOKS_INVERTED" not in codes(image.array)
    if not cropped:
        assert "LOOKS_INVERTED" in codes(image.array.max() - image.array)


@pytest.mark.parametrize(("text", "side"), [
    ("SAG 3D DESS WE RIGHT KNEE", "right"), ("SAG_IW_TSE_LEFT", "left"), ("knee rt pd", "right"), ("R Knee", "right"),
    ("KNEE L", "left"), ("LT_KNEE", "left"), ("bright blood", None), ("left to right", None), ("SAG DESS", None),
    ("R", None), ("", None), ("Knie rechts", "right"), ("T2 MAP R2", None)])
def test_the_side_is_read_from_words(text: str, side: str | None) -> None:
    assert side_in_words(text) == side


@pytest.mark.parametrize(("elements", "side"), [
    ({"ImageLaterality": "R", "Laterality": "L"}, "right"), ({"Laterality": "L"}, "left"), ({"Laterality": "B"}, None),
    ({"Laterality": "", "SeriesDescription": "DESS RIGHT"}, "right"), ({"Laterality": "U"}, None),
    ({"BodyPartExamined": "LKNEE"}, "left"), ({}, None)])
def test_the_side_is_read_from_elements_first(elements: dict, side: str | None) -> None:
    dataset = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    assert laterality_of(dataset) == side


def test_the_normalised_header(make: object, tmp_path: Path) -> None:
    make.series(tmp_path, make.volume(spacing=(0.36, 0.4, 0.7)), Laterality="R", BodyPartExamined="KNEE",
                MagneticFieldStrength=15000, SequenceName="*de3d1", PixelBandwidth="185", EchoTrainLength=1,
                MRAcquisitionType="3D", ScanningSequence=["GR", "IR"])
    facts = dicom_facts(tmp_path)
    assert facts == {
        "manufacturer": "GE MEDICAL SYSTEMS", "model": "SIGNA Tester", "field_strength_t": 1.5, "body_part": "KNEE",
        "names_knee": True, "laterality": "right", "sequence_name": "*de3d1", "scanning_sequence": "GR\\IR",
        "acquisition_type": "3D",
        "echo_train_length": 1.0, "pixel_bandwidth_hz": 185.0, "slice_thickness_mm": 0.6, "modality": "MR",
        "series_description": "SAG DESS", "repetition_time_ms": 20.5, "echo_times_ms": [6.5], "flip_angle_deg": 20.0,
        "spacing_mm": pytest.approx([0.36, 0.4, 0.7]), "matrix": [7, 6, 5], "format": "DICOM"}


def test_facts_that_are_missing_are_none(make: object, tmp_path: Path) -> None:
    def strip(dataset: object, _: int) -> None:
        for keyword in ("Manufacturer", "ManufacturerModelName", "MagneticFieldStrength", "RepetitionTime", "EchoTime",
                        "FlipAngle", "SeriesDescription", "Modality", "SliceThickness"):
            delattr(dataset, keyword)

    make.series(tmp_path, make.volume(), tweak=strip)
    facts = dicom_facts(tmp_path)
    assert {k for k, v in facts.items() if v not in (None, [None])} == {"spacing_mm", "matrix", "format"}


def test_resampling_onto_itself_changes_nothing(make: object) -> None:
    volume = make.volume(make.oblique())
    for interpolation in ("nearest", "linear"):
        found = resample_to(volume, volume, interpolation)
        assert found.array == pytest.approx(volume.array)
    assert resample_to(volume, volume, "nearest").array.dtype == volume.array.dtype


def test_resampling_follows_physical_points() -> None:
    """A field that is linear in space is reproduced exactly by linear interpolation on any other grid."""
    k, j, i = np.indices((20, 24, 28))
    field = Volume((3.0 * i - 2.0 * j + 5.0 * k).astype(np.float32), (1.0, 1.0, 1.0), (-10, -10, -10))
    turned = Volume(np.zeros((4, 5, 6)), (0.7, 0.9, 1.1), (0.0, 2.0, -3.0),
                    np.array([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]]))
    found = resample_to(field, turned)
    k, j, i = np.indices(turned.array.shape)
    points = turned.to_physical(np.stack([i, j, k], -1)) + 10
    assert found.array == pytest.approx(points @ [3.0, -2.0, 5.0], abs=1e-3)
    assert found.same_grid(turned)
    assert found.array.dtype == np.float32


def test_points_outside_get_the_given_value(make: object) -> None:
    volume = make.volume()
    far = make.volume(origin=(500.0, 500.0, 500.0))
    assert (resample_to(volume, far, "nearest", outside=-7).array == -7).all()
    with pytest.raises(ConfigError, match="magic"):
        resample_to(volume, far, "magic")


def test_sitk_images_and_back(make: object) -> None:
    for direction in make.permutations:
        volume = make.volume(direction)
        found = from_sitk(to_sitk(volume), volume.meta)
        assert found.same_grid(volume, 1e-9)
        assert (found.array == volume.array).all()


def test_importing_the_room_imports_nothing_heavy(repository: Path) -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import KneePipelineLib.imaging as room; "
            "from KneePipelineLib.imaging import Volume, labels; "
            "heavy = {'SimpleITK', 'pydicom', 'nibabel', 'scipy', 'vtk', 'torch', 'gdcm'} & set(sys.modules); "
            "assert not heavy, heavy; "
            "names = [n for n in room.__all__ if getattr(room, n) is None]; assert not names, names; "
            "print(len(room.__all__))")
    done = subprocess.run([sys.executable, "-c", code, str(repository)], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 15


def test_segments_of_slicer_files(make: object, tmp_path: Path) -> None:
    """A .seg.nrrd as Slicer writes it: two layers, overlapping segments that share a value, terminology."""
    from KneePipelineLib.imaging import read_labels

    layers = np.zeros((5, 6, 7, 2), np.uint8)
    layers[1:3, 1:4, 1:4, 0] = 1
    layers[3:5, 1:4, 1:4, 0] = 2
    layers[2:4, 2:5, 2:5, 1] = 1
    volume = make.volume(make.oblique())
    columns = " ".join("(" + ",".join(repr(float(v)) for v in c) + ")" for c in volume.affine[:3, :3].T)
    codes = ["~".join(["Segmentation category and type", "SCT^123037004^Anatomical Structure",
                       "^".join(s.code), "^^", "Anatomic codes", "^^", "^^"]) for s in STRUCTURES[:3]]
    fields = []
    for n, (name, value, layer) in enumerate([("Femur", 1, 0), ("Tibia", 2, 0), ("Femoral cartilage", 1, 1)]):
        fields += [f"Segment{n}_ID:=Segment_{n}", f"Segment{n}_Name:={name}", f"Segment{n}_LabelValue:={value}",
                   f"Segment{n}_Layer:={layer}",
                   f"Segment{n}_Tags:=Segmentation.Status:inprogress|TerminologyEntry:{codes[n]}|"]
    head = ("NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 7 6 5\n"
            f"space directions: none {columns}\nkinds: list domain domain domain\nencoding: raw\n"
            f"space origin: ({','.join(repr(float(v)) for v in volume.origin)})\n" + "\n".join(fields) + "\n\n")
    (tmp_path / "knee.seg.nrrd").write_bytes(head.encode() + layers.tobytes())
    found = read_labels(tmp_path / "knee.seg.nrrd")
    assert found.same_grid(volume, 1e-9)
    expected = np.where(layers[..., 1] == 1, 3, layers[..., 0])
    assert (found.array == expected).all()
    assert [(s["name"], s["value"]) for s in found.meta["segments"]] == [
        ("Femur", 1), ("Tibia", 2), ("Femoral cartilage", 3)]
    assert found.meta["segments"][1]["terminology"]["type"] == STRUCTURES[1].code
    [(code, sentence)] = found.meta["warnings"]
    assert code == "OVERLAPPING_SEGMENTS"
    for bone, value in (("Femur", 1), ("Tibia", 2)):
        lost = np.count_nonzero((layers[..., 0] == value) & (layers[..., 1] == 1)) * volume.voxel_volume_mm3 / 1000
        assert f"'{bone}' lost {lost:.2g} ml to 'Femoral cartilage'" in sentence


def test_a_flat_segmentation_keeps_its_values(make: object, tmp_path: Path) -> None:
    from KneePipelineLib.imaging import read_labels

    array = np.zeros((3, 4, 5), np.uint8)
    array[0, 0, 0], array[1, 1, 1] = 5, 250
    head = ("NRRD0004\ntype: unsigned char\ndimension: 3\nspace: LPS\nsizes: 5 4 3\n"
            "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nencoding: raw\n"
            "space origin: (0,0,0)\nSegment0_ID:=a\nSegment0_Name:=Tibial cartilage: medial\n"
            "Segment0_LabelValue:=5\nSegment1_ID:=b\nSegment1_LabelValue:=250\n\n")
    (tmp_path / "a.seg.nrrd").write_bytes(head.encode() + array.tobytes())
    found = read_labels(tmp_path / "a.seg.nrrd")
    assert (found.array == array).all()
    assert found.meta["segments"] == [{"name": "Tibial cartilage: medial", "value": 5, "terminology": None},
                                      {"name": "Segment_2", "value": 250, "terminology": None}]
    assert found.meta["warnings"] == []
