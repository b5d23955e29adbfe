"""Label names to structures; resampling equal to the libraries it stands in for."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging import labels as L
from KneePipelineLib.segmentation import canonical_mapping, canonical_value
from KneePipelineLib.segmentation.resample import resize, resize_labels

NAMES = {
    "femur": 1, "Femur": 1, "Femur Bone": 1, "distal femur": None, "TIBIA": 2, "tibial bone": 2, "patella": 3,
    "femoral_cartilage": 4, "FemoralCartilage": 4, "fem_cart": 4, "fem cart": 4, "femur-cartilage": 4, "FC": 4,
    "Femoral Articular Cartilage": 4, "med_tib_cart": 5, "Medial Tibial Cartilage": 5, "tibial_cartilage_medial": 5,
    "MTC": 5, "lat_tib_cart": 6, "tib cart lat": 6, "LTC": 6, "patellar cartilage": 7, "pat_cart": 7,
    "medial_meniscus": 8, "Med Meniscus": 8, "meniscus_lat": 9, "LateralMeniscus": 9, "fibula": 10,
    "tibial cartilage": None, "meniscus": None, "cartilage": None, "acl": None, "": None, "bone": None,
    "femoral tibial cartilage": None, "medial femoral cartilage": None, "medial lateral meniscus": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_names_people_write(name: str) -> None:
    """Where a name does not say one structure without doubt, it says none."""
    assert canonical_value(name) == NAMES[name]


def test_own_names_are_known() -> None:
    for structure in L.STRUCTURES:
        assert canonical_value(structure.name) == structure.value
        assert canonical_value(structure.title) == structure.value


def test_the_published_table() -> None:
    names = ["background", "patellar cartilage", "femoral cartilage", "medial tibial cartilage",
             "lateral tibial cartilage", "medial meniscus", "lateral meniscus", "femur", "tibia", "patella"]
    assert canonical_mapping({n: v for v, n in enumerate(names)}) == (L.NATIVE_TO_CANONICAL, ())


@pytest.mark.parametrize("table", [{}, {"background": 0}, {"background": 0, "muscle": 1},
                                   {"background": 0, "femur": 1, "Femur": 2}, {"background": 0, "femur": [1, 2]}])
def test_tables_that_are_refused(table: dict) -> None:
    with pytest.raises(SegmentationError):
        canonical_mapping(table)


SHAPES = [((7, 12, 9), (11, 20, 9)), ((10, 11, 13), (4, 7, 30)), ((6, 6, 6), (6, 6, 7)), ((3, 40, 5), (9, 13, 2))]


@pytest.mark.parametrize(("before", "after"), SHAPES)
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resize_is_that_of_scikit_image(before: tuple, after: tuple, order: int) -> None:
    from skimage.transform import resize as theirs

    array = np.random.default_rng(1).normal(size=before).astype(np.float32)
    wanted = theirs(array.astype(float), after, order, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resize(array, after, order), wanted, atol=2e-6)


@pytest.mark.parametrize(("before", "after"), SHAPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order_z", [0, 1])
def test_thick_slices_are_resampled_as_nnunet_does(before: tuple, after: tuple, axis: int, order_z: int) -> None:
    pytest.importorskip("nnunetv2")
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg

    array = np.random.default_rng(2).normal(size=before).astype(np.float32)
    wanted = resample_data_or_seg(array[None], after, False, axis, 3, True, order_z)[0]
    np.testing.assert_allclose(resize(array, after, 3, separate_axis=axis, order_separate=order_z), wanted, atol=2e-6)


@pytest.mark.parametrize(("before", "after"), SHAPES)
@pytest.mark.parametrize("axis", [None, 0, 2])
def test_labels_are_resampled_as_nnunet_does(before: tuple, after: tuple, axis: int | None) -> None:
    pytest.importorskip("nnunetv2")
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(3).normal(size=before), 1)
    array = np.digitize(field, np.quantile(field, [0.3, 0.6, 0.8])).astype(np.int16) - 1
    wanted = resample_data_or_seg(array[None], after, True, axis, 1, axis is not None, 0)[0]
    answer = resize_labels(array, after, 1, separate_axis=axis)
    differ = answer != wanted
    assert differ.mean() < 0.01
    for one, other in zip(answer[differ], wanted[differ], strict=True):  # only ties, which rounding decides
        scores = [resize(array == v, after, 1, separate_axis=axis)[differ & (answer == one) & (wanted == other)]
                  for v in (one, other)]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_nothing_to_do_is_nothing_done() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(resize(array, (2, 3, 4), 3), array)
    assert resize_labels(array, (2, 3, 4)) is array


def test_nearest_neighbour_brings_labels_back_after_enlarging() -> None:
    array = np.random.default_rng(0).integers(0, 10, (4, 9, 7)).astype(np.uint8)
    large = resize_labels(array, (4, 18, 21), 0)
    assert np.array_equal(resize_labels(large, (4, 9, 7), 0), array)
