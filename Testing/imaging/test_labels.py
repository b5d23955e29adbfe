"""The label table and the remap between schemes."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging import labels


def test_values_names_and_colours_are_unique() -> None:
    everything = labels.STRUCTURES + labels.SUBREGIONS
    assert [s.value for s in everything] == list(range(1, 16))
    for attribute in ("name", "title", "color"):
        assert len({getattr(s, attribute) for s in everything}) == len(everything)
    assert all(0 <= c <= 255 for s in everything for c in s.color)


def test_layers_stay_within_one_byte() -> None:
    assert labels.LATERAL_POSTERIOR + labels.SUPERFICIAL_OFFSET <= 255


def test_every_code_is_complete() -> None:
    for structure in labels.STRUCTURES + labels.SUBREGIONS:
        for code in filter(None, (structure.code, structure.modifier)):
            assert code[0] == "SCT"
            assert code[1].isdigit()
            assert code[2]


def test_native_order_maps_onto_the_canonical_structures() -> None:
    native = ["pat_cart", "fem_cart", "med_tib_cart", "lat_tib_cart", "med_meniscus", "lat_meniscus", "femur", "tibia",
              "patella"]
    for value, name in enumerate(native, start=1):
        assert labels.BY_VALUE[labels.NATIVE_TO_CANONICAL[value]].name == name


def test_regions_have_a_structure_each() -> None:
    assert all(name in labels.BY_NAME for name in labels.REGIONS)
    grown = [c for cartilages in labels.BONE_CARTILAGES.values() for c in cartilages]
    assert sorted(grown) == sorted(labels.CARTILAGES)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.int64])
def test_remap_replaces_every_value(dtype: type) -> None:
    array = np.random.default_rng(1).integers(0, 10, (4, 5, 6)).astype(dtype)
    result = labels.remap_labels(array, labels.NATIVE_TO_CANONICAL)
    assert result.dtype == np.uint8
    assert result.shape == array.shape
    for old, new in labels.NATIVE_TO_CANONICAL.items():
        assert (result[array == old] == new).all()
    assert (result[array == 0] == 0).all()


def test_remap_refuses_what_it_does_not_know() -> None:
    with pytest.raises(SegmentationError, match=r"\[10, 250\]") as caught:
        labels.remap_labels(np.array([[[0, 3, 10, 250]]]), labels.NATIVE_TO_CANONICAL)
    assert caught.value.details == {"unknown": [10, 250]}


def test_remap_of_an_empty_map_stays_empty() -> None:
    assert not labels.remap_labels(np.zeros((2, 2, 2), np.uint8), {}).any()


@pytest.mark.parametrize("side", ["right", "left", "unknown"])
def test_codes_lead_back_to_their_structure_and_no_other(side: str) -> None:
    for structure in labels.STRUCTURES:
        codes = labels.codes_of(structure, side)
        assert labels.value_of_codes(codes.type, codes.modifier, codes.region) == structure.value
    parts = {labels.codes_of(structure, side) for structure in labels.SUBREGIONS}
    assert {codes.region[2] for codes in parts} == {"Femur"}
    assert {codes.modifier[2] for codes in parts} == {"Anterior", "Medial", "Lateral"}


def test_codes_that_fit_several_structures_fit_none() -> None:
    cartilage, medial = ("SCT", "309312004", "Cartilage"), ("SCT", "255561001", "Medial")
    articular = ("SCT", "61496007", "Articular cartilage")
    assert labels.value_of_codes(cartilage) is None
    assert labels.value_of_codes(cartilage, medial) is None  # of which bone?
    assert labels.value_of_codes(articular) is None
    assert labels.value_of_codes(articular, medial) == labels.MEDIAL_TIBIAL_CARTILAGE
    assert labels.value_of_codes(("SCT", "76752008", "Breast")) is None
    assert labels.value_of_codes(None) is None
    assert labels.value_of_codes(("", "", "")) is None
