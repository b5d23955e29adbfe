"""Regional T2: which voxels belong, which count, and how many did not."""

from __future__ import annotations

import numpy as np
import pytest

from KneePipelineLib.errors import InvalidFormatError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.imaging.labels import FEMORAL_CARTILAGE
from KneePipelineLib.relaxometry import Status, regional_t2


def line(values: list, dtype: type) -> Volume:
    return Volume(np.array(values, dtype).reshape(1, 1, -1))


LABELS = line([0, 1, 11, 11, 11, 12, 12, 5, 5, 5, 5, 7, 8], np.uint8)
T2 = line([9, 9, 30, 40, 999, 50, 20, 30, 31, np.nan, 35, np.nan, 9], np.float32)
STATUS = line([0, 0, 0, 0, Status.ABOVE_RANGE, 0, 0, 0, 0, Status.NO_SIGNAL, 0, Status.OUTSIDE, 0], np.uint8)
DEPTH = line([0, 0, 111, 211, 211, 112, 212, 105, 105, 205, 205, 107, 0], np.uint8)


def test_by_hand() -> None:
    found = regional_t2(T2, STATUS, LABELS, DEPTH)
    assert list(found) == ["fem_cart", "ant_fem_cart", "med_wb_fem_cart", "med_tib_cart", "pat_cart"]
    femur = found["fem_cart"]
    values = [30, 40, 50, 20]
    assert femur["measures"]["t2_ms_mean"] == pytest.approx(35)
    assert femur["measures"]["t2_ms_std"] == pytest.approx(np.std(values))
    assert femur["measures"]["t2_ms_median"] == pytest.approx(35)
    assert femur["measures"]["deep_t2_ms_mean"] == pytest.approx(40)
    assert femur["measures"]["superficial_t2_ms_mean"] == pytest.approx(30)
    assert femur["counts"]["all"] == {"n": 4, "excluded": 1, "no_signal": 0, "no_decay": 0, "above_range": 1,
                                      "poor_fit": 0, "outside_field_of_view": 0}
    assert femur["counts"]["superficial"]["n"] == 2
    assert femur["counts"]["superficial"]["excluded"] == 1
    tibia = found["med_tib_cart"]
    assert tibia["measures"]["t2_ms_median"] == pytest.approx(31)
    assert tibia["measures"]["superficial_t2_ms_mean"] == pytest.approx(35)
    assert tibia["counts"]["all"]["no_signal"] == 1


def test_region_without_a_usable_voxel_has_no_mean_but_counts() -> None:
    patella = regional_t2(T2, STATUS, LABELS)["pat_cart"]
    assert np.isnan(patella["measures"]["t2_ms_mean"])
    assert patella["counts"] == {"all": {"n": 0, "excluded": 1, "no_signal": 0, "no_decay": 0, "above_range": 0,
                                         "poor_fit": 0, "outside_field_of_view": 1}}
    assert "deep_t2_ms_mean" not in patella["measures"]


def test_undivided_femoral_cartilage_is_the_femur() -> None:
    labels = LABELS.with_array(np.where(LABELS.array > 10, FEMORAL_CARTILAGE, LABELS.array).astype(np.uint8))
    found = regional_t2(T2, STATUS, labels)
    assert found["fem_cart"]["measures"]["t2_ms_mean"] == pytest.approx(35)
    assert "ant_fem_cart" not in found


def test_every_voxel_is_counted_once() -> None:
    found = regional_t2(T2, STATUS, LABELS, DEPTH)
    for region, counts in ((name, entry["counts"]) for name, entry in found.items()):
        for one in counts.values():
            reasons = {k: v for k, v in one.items() if k not in ("n", "excluded")}
            assert sum(reasons.values()) == one["excluded"], region
        for key in ("n", "excluded"):
            assert counts["deep"][key] + counts["superficial"][key] == counts["all"][key], region


def test_grids_must_be_equal() -> None:
    moved = Volume(LABELS.array, origin=(1.0, 0.0, 0.0))
    with pytest.raises(InvalidFormatError, match="grids"):
        regional_t2(T2, STATUS, moved)
