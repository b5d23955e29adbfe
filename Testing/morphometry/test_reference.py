"""Agreement with pyMSKT's own numbers on real knees (reference data beside the checkout)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import Volume, read_labels
from KneePipelineLib.morphometry import canonical_labels, measure_knee
from KneePipelineLib.phantom import Grid

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def labels(shared: Path) -> Volume:
    return read_labels(shared / "data" / "knee_dess_right_labels.nrrd")


@pytest.fixture(scope="module")
def result(labels: Volume):
    return measure_knee(canonical_labels(labels))


def test_thickness_agrees_with_pymskt(shared, result):
    reference = json.loads((shared / "reference/pymskt_knee_dess_right/sag_thickness_results.json").read_text())
    assert len(reference) == 24
    for column, value in reference.items():
        region, measure = column.split("_mm_")
        found = result.regions[region][f"mm_{measure}"]
        assert found == pytest.approx(value, abs=0.10 if measure != "std" else 0.05), column


def test_plain_vertex_means_agree_too(shared, result):
    """What a script reads that averages the mesh's scalars."""
    reference = json.loads((shared / "reference/pymskt_knee_dess_right/sag_thickness_results.json").read_text())
    for bone, label, region in (("tibia", 5, "med_tib_cart"), ("tibia", 6, "lat_tib_cart"), ("patella", 7, "pat_cart"),
                                ("femur", 11, "ant_fem_cart"), ("femur", 14, "med_post_fem_cart")):
        surface = result.surfaces[bone]
        mean = surface.field_thickness_mm[surface.field_region == label].mean()
        assert mean == pytest.approx(reference[f"{region}_mm_mean"], abs=0.10), region


def test_subregions_agree_with_pymskt(shared, result):
    reference = read_labels(shared / "reference/pymskt_knee_dess_right/sag_subregions-labels.nrrd").array
    found = result.subregions.array
    for label in range(11, 16):
        overlap = np.count_nonzero((found == label) & (reference == label))
        dice = 2 * overlap / (np.count_nonzero(found == label) + np.count_nonzero(reference == label))
        assert dice >= 0.90, label
    others = reference < 11
    assert np.array_equal(found[others], reference[others])


def test_source_order_of_the_same_knee(shared, labels):
    source = canonical_labels(read_labels(shared / "data" / "knee_dess_right_labels_source.nrrd"))
    assert source.meta["label_scheme"] == "archive"
    assert np.array_equal(np.where(source.array == 10, 0, source.array), labels.array)


@pytest.fixture(scope="module")
def isotropic(shared: Path) -> Volume:
    return canonical_labels(read_labels(shared / "data" / "knee_isotropic_labels_source.nrrd"))


def test_isotropic_knee_runs_without_a_hint(isotropic):
    result = measure_knee(isotropic)
    assert result.side == "left"
    assert {code for code, _ in result.warnings} == {"MENISCUS_MISSING"}
    assert result.menisci == {}
    for measures in result.regions.values():
        assert 1.2 < measures["ThC_cAB_mm"] < 3.5
        assert measures["mm_mean"] == pytest.approx(measures["ThC_cAB_mm"], abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [(15, 0, 0), (0, 15, 0), (0, 0, 15), (-15, -15, 15)])
def test_isotropic_knee_on_rotated_grids(isotropic, degrees):
    """Nearest neighbours of a fine source on a rotated grid of the same fineness."""
    whole = measure_knee(isotropic)
    grid = Grid.of(isotropic).rotated(degrees)
    array = np.zeros(isotropic.array.shape, np.uint8)
    j, i = np.meshgrid(*[np.arange(n) for n in array.shape[1:]], indexing="ij")
    for k in range(len(array)):
        points = grid.to_physical(np.stack([i, j, np.full_like(i, k)], axis=-1))
        index = np.rint(isotropic.to_indices(points)).astype(int)
        inside = ((index >= 0) & (index < isotropic.size)).all(axis=-1)
        array[k][inside] = isotropic.array[tuple(index[inside].T[::-1])]
    turned = grid.volume(array)
    result = measure_knee(turned)
    assert result.side == "left"
    for region, measures in whole.regions.items():
        for name in ("mm_mean", "ThC_cAB_mm"):
            assert result.regions[region][name] == pytest.approx(measures[name], abs=0.05), (region, name)
    where = np.argwhere((result.subregions.array >= 11) & (result.subregions.array <= 15))
    index = np.rint(isotropic.to_indices(turned.to_physical(where[:, ::-1]))).astype(int)
    there, here = whole.subregions.array[tuple(index.T[::-1])], result.subregions.array[tuple(where.T)]
    for label in range(11, 16):
        both = np.count_nonzero((there == label) & (here == label))
        assert 2 * both / (np.count_nonzero(there == label) + np.count_nonzero(here == label)) >= 0.95, label
