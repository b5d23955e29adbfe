"""Images of the digital knee: what is in a voxel is what the physics says, and every run says the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.imaging import labels as L
from KneePipelineLib.phantom import CartilageT2, Dess, DigitalKnee, Grid, MultiEchoSpinEcho
from KneePipelineLib.phantom.anatomy import Fields
from KneePipelineLib.phantom.images import relative_depth
from KneePipelineLib.phantom.tissues import CARTILAGE_DENSITY

KNEE = DigitalKnee(2)
GRID = Grid.sagittal((100, 100, 30), (1.2, 1.2, 3.4))
CLEAN = {"snr": None, "bias": 0.0, "texture": 0.0, "soft": False}


def test_every_cartilage_voxel_carries_the_exact_steady_state_of_its_true_t2() -> None:
    first, second = KNEE.qdess(GRID, **CLEAN)
    t2 = KNEE.true_t2(GRID).array
    labels = KNEE.labels(GRID).array
    inside = np.isfinite(t2)
    np.testing.assert_array_equal(inside, np.isin(labels, L.CARTILAGES))
    s1, s2 = (Dess().signal(1200.0, t2[inside].astype(float), 1.25e-9) * CARTILAGE_DENSITY * Dess().gain).T
    np.testing.assert_allclose(first.array[inside], s1, rtol=3e-4)
    np.testing.assert_allclose(second.array[inside], s2, rtol=3e-4)
    assert first.meta["gl_area"] == 3132
    assert first.meta["echo_time_ms"] == 6


def test_a_mono_exponential_fit_of_the_ideal_train_returns_the_true_t2() -> None:
    grid = Grid.sagittal((110, 110, 12), (1.1, 1.1, 6.0))
    echoes = KNEE.mese(grid, **CLEAN)
    te = np.array([e.meta["echo_time_ms"] for e in echoes])
    assert len(echoes) == 8
    assert te[-1] == pytest.approx(50.5)
    true = KNEE.true_t2(grid).array
    inside = np.isfinite(true)
    slope = np.polyfit(te, np.log([e.array[inside] for e in echoes]), 1)[0]
    np.testing.assert_allclose(-1 / slope, true[inside], rtol=1e-3)


def test_stimulated_echoes_lengthen_the_apparent_t2() -> None:
    grid = Grid.sagittal((80, 80, 6), (1.4, 1.4, 8.0))
    echoes = KNEE.mese(grid, sequence=MultiEchoSpinEcho(refocusing_deg=150), **CLEAN)
    true = KNEE.true_t2(grid).array
    inside = np.isfinite(true)
    te = [e.meta["echo_time_ms"] for e in echoes]
    apparent = -1 / np.polyfit(te, np.log([e.array[inside] for e in echoes]), 1)[0]
    assert (apparent > true[inside]).all()


def test_t2_rises_from_bone_to_surface_as_promised() -> None:
    gradient = CartilageT2(20.0, 60.0)
    surface = KNEE.true_surface("fem_cart")
    chosen = np.flatnonzero(surface.thickness_mm > 1.5)[::40]
    for depth in (0.1, 0.5, 0.9):
        points = surface.points[chosen] + (depth * surface.thickness_mm[chosen])[:, None] * surface.normals[chosen]
        fields = Fields(KNEE.anatomy, tuple(KNEE.frame.to_canonical(points).T))
        found = relative_depth(fields, "femoral")
        np.testing.assert_allclose(np.median(found), depth, atol=0.02)
        np.testing.assert_allclose(found, depth, atol=0.12)
    np.testing.assert_allclose(gradient(np.array([0.0, 0.5, 1.0])), [20, 40, 60])


def test_true_regional_t2_equals_the_mean_of_the_true_map() -> None:
    grid = Grid.isotropic(0.45, (96, 96, 80), (0.0, -8.0, 24.0))
    t2, labels = KNEE.true_t2(grid).array, KNEE.labels(grid).array
    truth = KNEE.truth(regions=("fem_cart", "pat_cart"))
    for region, value in (("fem_cart", 4), ("pat_cart", 7)):
        found = t2[labels == value]
        assert truth[region]["t2_ms_mean"] == pytest.approx(found.mean(), abs=0.5)
        deep = found[found < 39.5]
        assert truth[region]["deep_t2_ms_mean"] == pytest.approx(deep.mean(), abs=0.5)


def test_the_same_call_gives_the_same_image_and_another_seed_other_noise() -> None:
    grid = Grid.sagittal((60, 60, 20), (2.2, 2.2, 5.0))
    first, again = KNEE.image(grid), DigitalKnee(2).image(grid)
    np.testing.assert_array_equal(first.array, again.array)
    assert (KNEE.image(grid, noise_seed=99).array != first.array).mean() > 0.9


def test_a_left_image_is_the_mirrored_right_image() -> None:
    grid = Grid.isotropic(2.5, centre_mm=(0.0, -8.0, 4.0))
    options = {"snr": None, "bias": 0.0}
    right, left = (DigitalKnee(3, side).image(grid, "pd", **options).array for side in ("right", "left"))
    np.testing.assert_allclose(left, right[:, :, ::-1], rtol=1e-3, atol=1.0)


def test_partial_volume_is_the_mean_of_what_is_inside_the_voxel() -> None:
    coarse = Grid.sagittal((40, 40, 12), (0.9, 0.9, 2.4), (20.0, -5.0, 5.0))
    fine = Grid.sagittal((40 * 6, 40 * 6, 12 * 12), (0.15, 0.15, 0.2), (20.0, -5.0, 5.0))
    soft = KNEE.image(coarse, "pd_fs", snr=None, bias=0.0, texture=0.0).array
    hard = KNEE.image(coarse, "pd_fs", **CLEAN).array
    exact = KNEE.image(fine, "pd_fs", **CLEAN).array.reshape(12, 12, 40, 6, 40, 6).mean((1, 3, 5))
    error, without = (np.sqrt(np.mean((i - exact) ** 2)) for i in (soft, hard))
    assert error < 0.25 * without
    assert error < 0.02 * exact.max()


def test_noise_has_the_asked_for_size_and_is_rician() -> None:
    grid = Grid.sagittal((100, 100, 8), (1.4, 1.4, 12.0))
    first, second = (KNEE.echoes(grid, "pd", snr=20, bias=0.0, texture=0.0, noise_seed=n)[0].array for n in (1, 2))
    clean = KNEE.echoes(grid, "pd", snr=None, bias=0.0, texture=0.0)[0].array
    sigma = (3200, 28)
    expected = (1 - np.exp(-sigma[0] / 1200)) * np.exp(-sigma[1] / 40) * 0.85 * 8000 / 20
    bright = clean > 10 * expected
    assert np.std((first - second)[bright]) / np.sqrt(2) == pytest.approx(expected, rel=0.03)
    air = clean == 0
    assert first[air].mean() == pytest.approx(expected * np.sqrt(np.pi / 2), rel=0.03)


def test_the_receive_field_is_smooth_and_bounded() -> None:
    grid = Grid.sagittal((60, 60, 20), (2.2, 2.2, 5.0))
    plain = KNEE.image(grid, "pd", snr=None, bias=0.0, texture=0.0).array
    shaded = KNEE.image(grid, "pd", snr=None, bias=0.2, texture=0.0).array
    inside = plain > 0
    ratio = shaded[inside] / plain[inside]
    assert 0.79 < ratio.min() < ratio.max() < 1.21
    assert np.ptp(ratio) > 0.05


@pytest.mark.parametrize("contrast", ["dess", "t1", "pd", "pd_fs", "t2", "t2_fs"])
def test_every_contrast_shows_the_joint(contrast: str) -> None:
    image = KNEE.image(Grid.sagittal((70, 70, 20), (1.9, 1.9, 5.0)), contrast).array
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() < 65535
    assert image.std() > 0.1 * image.mean()


def test_an_unknown_contrast_is_refused() -> None:
    with pytest.raises(ValueError, match="not a contrast"):
        KNEE.image(GRID, "flair")


def test_importing_the_room_loads_nothing_heavy(repository: Path) -> None:
    code = ("import sys, KneePipelineLib.phantom as p; p.DigitalKnee; p.Grid; p.write_dicom;"
            "heavy = {'torch', 'scipy', 'pydicom', 'SimpleITK', 'vtk', 'skimage'} & set(sys.modules);"
            "print(','.join(sorted(heavy)))")
    out = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
