"""Any numbering comes out canonical, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from KneePipelineLib.errors import ConfigError, InvalidFormatError, MissingFileError, SegmentationError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging.labels import NATIVE_TO_CANONICAL
from KneePipelineLib.morphometry import canonical_labels, schemes
from KneePipelineLib.morphometry.segments import scheme_from_segments, structure_of_name, structure_of_terminology
from KneePipelineLib.phantom import Grid

ARCHIVE = {4: 1, 5: 2, 6: 3, 7: 4, 1: 5, 2: 6, 3: 7, 10: 8, 9: 9, 8: 10}
NATIVE = {canonical: native for native, canonical in NATIVE_TO_CANONICAL.items()} | {10: 0}


def test_canonical_map_is_recognised(knee_labels):
    found = canonical_labels(knee_labels)
    assert found.meta["label_scheme"] == "canonical"
    assert np.array_equal(found.array, knee_labels.array)


@pytest.mark.parametrize(("scheme", "table"), [("archive", ARCHIVE), ("native", NATIVE)])
def test_other_orders_are_recognised(knee_labels, relabelled, scheme, table):
    found = canonical_labels(relabelled(table))
    assert found.meta["label_scheme"] == scheme
    wanted = np.where((knee_labels.array == 10) & (table[10] == 0), 0, knee_labels.array)
    assert np.array_equal(found.array, wanted)


def test_recognised_without_patella_and_menisci(relabelled):
    for table, scheme in ((ARCHIVE, "archive"), (NATIVE, "native"), ({}, "canonical")):
        bare = relabelled({3: 0, 7: 0, 8: 0, 9: 0})
        values = np.arange(256, dtype=np.uint8)
        for old, new in table.items():
            values[old] = new
        assert canonical_labels(bare.with_array(values[bare.array])).meta["label_scheme"] == scheme


def test_named_scheme_is_taken(relabelled):
    assert set(np.unique(canonical_labels(relabelled(NATIVE), "native").array)) == set(range(10))


def test_float_and_wide_integers_are_accepted(knee_labels):
    for kind in (np.int8, np.int16, np.uint16, np.float32):
        found = canonical_labels(knee_labels.with_array(knee_labels.array.astype(kind)))
        assert found.array.dtype == np.uint8
        assert np.array_equal(found.array, knee_labels.array)


def test_subregions_are_folded_back(knee_labels):
    array = knee_labels.array.copy()
    where = np.flatnonzero(array == 4)
    array.flat[where] = 11 + np.arange(len(where)) % 5
    assert np.array_equal(canonical_labels(knee_labels.with_array(array)).array, knee_labels.array)


def test_scheme_file(tmp_path, relabelled, knee_labels):
    path = tmp_path / "scheme.json"
    path.write_text(json.dumps({"101": "femur", "2": 2, "3": "patella", "4": "fem_cart", "5": 5, "6": "lat_tib_cart",
                                "7": 7, "8": 0, "9": "lat_meniscus", "10": "fibula"}))
    found = canonical_labels(relabelled({1: 101}), path)
    assert np.array_equal(found.array, np.where(knee_labels.array == 8, 0, knee_labels.array))


@pytest.mark.parametrize(("text", "error"), [
    ("{", ConfigError), ("[1]", ConfigError), ("{}", ConfigError), ('{"a": 1}', ConfigError),
    ('{"1": "muscle"}', ConfigError), ('{"1": 99}', ConfigError), ('{"1": true}', ConfigError),
    ("[" * 100_000, ConfigError), (f'{{"{"1" * 5000}": 1}}', ConfigError), ('{"1": 1e999}', ConfigError),
])
def test_bad_scheme_files(tmp_path, knee_labels, text, error):
    path = tmp_path / "scheme.json"
    path.write_text(text)
    with pytest.raises(error) as caught:
        canonical_labels(knee_labels, path)
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value)


def test_missing_scheme_file(tmp_path, knee_labels):
    with pytest.raises(MissingFileError):
        canonical_labels(knee_labels, tmp_path / "no.json")


def test_unknown_value_is_never_dropped(relabelled):
    with pytest.raises(SegmentationError, match="77"):
        canonical_labels(relabelled({3: 77}), "canonical")


def test_refuses_when_no_order_fits(relabelled):
    """A value that no scheme knows leaves the numbering itself open."""
    with pytest.raises(SegmentationError, match="no known label scheme") as caught:
        canonical_labels(relabelled({1: 77}))
    assert "JSON file" in caught.value.hint


SCHEMES = ["auto", "canonical"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_femur_below_the_tibia(knee_labels, scheme):
    """The numbering is known, so the sentence speaks of the anatomy and the hint of the orientation."""
    upside_down = Volume(knee_labels.array, knee_labels.spacing, knee_labels.origin,
                         knee_labels.direction @ np.diag([-1.0, -1.0, 1.0]))
    with pytest.raises(SegmentationError, match="^Read as canonical, the femur lies below the tibia: the file has "
                                                r"probably lost its orientation\.$") as caught:
        canonical_labels(upside_down, scheme)
    assert "orientation" in caught.value.hint
    assert "JSON" not in caught.value.hint


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lost_header(knee_labels, scheme):
    """1 mm voxels along the patient's axes: the rows of a sagittal map run backwards instead of down."""
    with pytest.raises(SegmentationError, match=r"the femur lies b(elow|eside) the tibia: the file has probably lost"):
        canonical_labels(Volume(knee_labels.array), scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("spacing", [(3, 3, 3), (0.05, 0.05, 0.1), (1, 1, 7)])
def test_impossible_voxels(knee_labels, scheme, spacing):
    with pytest.raises(InvalidFormatError, match=r"^The label map's"):
        canonical_labels(Volume(knee_labels.array, spacing, knee_labels.origin, knee_labels.direction), scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_refuses_loose_cartilage(knee_labels, scheme):
    array = knee_labels.array.copy()
    cartilage = array == 7
    array[cartilage] = 0
    array[:, -40:-30, :][:, :, :20] = 7
    with pytest.raises(SegmentationError, match="Read as canonical, the patellar cartilage does not touch its bone"):
        canonical_labels(knee_labels.with_array(array), scheme)


def test_native_named_for_a_canonical_map(relabelled):
    """Femoral cartilage would be the tibia; ended by counting, before anything is computed."""
    with pytest.raises(SegmentationError, match=r"^Read as native, the .* is larger than a bone") as caught:
        canonical_labels(relabelled({10: 0}), "native")
    assert "numbering" in caught.value.hint


def test_scheme_file_with_bones_exchanged(tmp_path, relabelled):
    path = tmp_path / "scheme.json"
    path.write_text(json.dumps({"1": "tibia", "2": "femur"}))
    with pytest.raises(SegmentationError, match="Read with the given scheme file, the femur lies below the tibia"):
        canonical_labels(relabelled(dict.fromkeys(range(3, 11), 0)), path)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("table", [
    dict.fromkeys(range(3, 11), 0), dict.fromkeys((4, 5, 6, 7), 0), dict.fromkeys((3, 7, 8, 9), 0), {5: 0, 6: 0},
])
def test_incomplete_maps_pass(relabelled, scheme, table):
    found = canonical_labels(relabelled(table), scheme)
    assert found.meta["label_scheme"] == "canonical"
    assert not set(table) & set(np.unique(found.array))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_coarse_tilted_map_passes(digital_knee, scheme):
    grid = Grid.isotropic(2.0).rotated((25, -20, 30))
    assert canonical_labels(digital_knee.labels(grid), scheme).meta["label_scheme"] == "canonical"


def test_refuses_when_two_orders_fit(knee_labels, monkeypatch):
    monkeypatch.setitem(schemes.SCHEMES, "twin", dict(schemes.SCHEMES["canonical"]))
    with pytest.raises(SegmentationError, match="more than one"):
        canonical_labels(knee_labels)


@pytest.mark.parametrize("array", [
    np.zeros((4, 4, 4), np.uint8), np.full((4, 4, 4), -1, np.int16), np.full((4, 4, 4), 1.5),
    np.full((4, 4, 4), np.nan), np.full((4, 4, 4), 70000, np.int32),
])
def test_what_is_no_label_map(array):
    with pytest.raises(SegmentationError):
        canonical_labels(Volume(array))


def test_segment_names_decide(knee_labels, relabelled):
    names = {1: "Femur", 2: "Tibia bone", 3: "Patella", 4: "Femoral Cartilage", 5: "MedTibCart",
             6: "lateral tibial cartilage", 7: "pat_cart", 8: "Medial Meniscus", 9: "lat_meniscus", 10: "Fibula"}
    shuffled = {old: 11 - old for old in names}
    volume = relabelled(shuffled)
    volume = volume.with_array(volume.array, segments=[
        {"name": name, "value": shuffled[value], "terminology": None} for value, name in names.items()
    ])
    found = canonical_labels(volume)
    assert found.meta["label_scheme"] == "segments"
    assert "segments" not in found.meta
    assert np.array_equal(found.array, knee_labels.array)


def test_segments_that_say_nothing_leave_it_to_plausibility(knee_labels):
    anonymous = [{"name": f"Segment_{v}", "value": v, "terminology": None} for v in range(1, 11)]
    assert canonical_labels(knee_labels.with_array(knee_labels.array, segments=anonymous)).meta[
        "label_scheme"] == "canonical"


def test_terminology_stands_in_for_names():
    terminology = {"type": ("SCT", "71341001", "Femur"), "modifier": None}
    assert structure_of_terminology(terminology) == 1
    meniscus = {"type": ("SCT", "38033009", "Meniscus of knee"), "modifier": ("SCT", "49370004", "Lateral")}
    assert structure_of_terminology(meniscus) == 9
    ambiguous = {"type": ("SCT", "61496007", "Articular cartilage"), "modifier": None}
    assert structure_of_terminology(ambiguous) is None
    segments = [{"name": "Segment_1", "value": 5, "terminology": terminology}]
    assert scheme_from_segments(segments, {5: 10}) == {5: 1}


def test_a_renamed_segment_is_known_by_the_entry_that_the_extension_wrote():
    from KneePipelineLib.imaging.segments import parse_terminology
    from KneePipelineLib.slicer_side.terminology import entry

    for side in ("right", "unknown"):
        for value in range(1, 11):
            assert structure_of_terminology(parse_terminology(f"TerminologyEntry:{entry(value, side)}|a:b")) == value


@pytest.mark.parametrize(("name", "value"), [
    ("tibial cartilage", None), ("femur and tibia", None), ("meniscus", None), ("Segment_4", None), ("muscle", None),
    ("medial_tibial_cartilage", 5), ("Lat Tib Cart", 6), ("ant_fem_cart", 4), ("PatellarCartilage", 7),
])
def test_structure_of_name(name, value):
    assert structure_of_name(name) == value
