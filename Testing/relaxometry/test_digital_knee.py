"""The digital knee as DICOM, through our reader, into T2: signals from exact physics, truth known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.imaging import Volume, read_echoes
from KneePipelineLib.phantom import write_dicom
from KneePipelineLib.phantom.epg import dess_steady_state
from KneePipelineLib.phantom.tissues import QDESS, CartilageT2, MultiEchoSpinEcho
from KneePipelineLib.relaxometry import Status, T2Options, low_spoiling_bias, make_t2_map

GAMMA = 4258 * 2 * math.pi


def by_the_book(first: np.ndarray, second: np.ndarray, spoiled: bool) -> np.ndarray:
    """The closed form of Sveinsson et al. in seconds, written down once more, in ms."""
    tr, te, tg, t1, alpha = 0.020, 0.006, QDESS.tg_us * 1e-6, 1.2, math.radians(20)
    dk = GAMMA * (QDESS.gl_area / QDESS.tg_us * 100) * tg if spoiled else 0.0
    e = math.exp(-tr / t1 - tr * dk**2 * 1.25e-9)
    k = math.sin(alpha / 2) ** 2 * (1 + e) / (1 - math.cos(alpha) * e)
    c1 = (tr - tg / 3) * dk**2 * 1.25e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        return -2000 * (tr - te) / (np.log(np.abs(second / first) / k) + c1)


def exact_ratio(t2_ms: float) -> float:
    """S2 / S1 of the exact steady state."""
    first, second = dess_steady_state(1200.0, np.array([t2_ms]), tr_ms=20, te_ms=6, flip_deg=20, gl_area=QDESS.gl_area,
                                      tg_us=QDESS.tg_us, diffusivity_m2_s=1.25e-9)
    return float(second[0] / first[0])


def qdess(piece: object, t2_ms: float, **options: object) -> tuple[Volume, Volume]:
    return piece.knee.qdess(piece.grid, t2=CartilageT2(t2_ms, t2_ms), **{"snr": None, "texture": 0.0, **options})


@pytest.mark.parametrize("tags", [True, False])
def test_map_equals_the_closed_form_on_the_arrays_in_the_files(piece: object, tmp_path: Path, tags: bool) -> None:
    write_dicom(qdess(piece, 40.0, snr=25.0), tmp_path, private_tags=tags, extension="" if tags else ".dcm")
    echoes = read_echoes(tmp_path)
    found = make_t2_map(echoes)
    assert found.method == ("spoiled" if tags else "low_spoiling")
    expected = by_the_book(*(e.array.astype(np.float64) for e in echoes), spoiled=tags)
    shown = (expected > 0) & (expected < 900)
    assert shown.sum() > 20_000
    assert np.abs(found.t2_ms.array - expected)[shown & (expected < 100)].max() <= 0.05
    np.testing.assert_array_equal(found.status.array == Status.MEASURED, (expected > 0) & (expected < 80))


@pytest.mark.parametrize("t2_ms", [25.0, 35.0, 60.0])
def test_bias_is_that_of_the_exact_steady_state(piece: object, tmp_path: Path, t2_ms: float) -> None:
    write_dicom(qdess(piece, t2_ms), tmp_path)
    found = make_t2_map(read_echoes(tmp_path)).t2_ms.array[piece.inner]
    ratio = exact_ratio(t2_ms)
    assert np.mean(found) == pytest.approx(by_the_book(1.0, ratio, spoiled=True), rel=0.003)
    assert np.mean(found) > t2_ms


def test_low_spoiling_bias_is_computed_from_the_series(piece: object, tmp_path: Path) -> None:
    pair = qdess(piece, 45.0)
    write_dicom(pair, tmp_path / "with")
    write_dicom(pair, tmp_path / "without", private_tags=False)
    spoiled, low = (make_t2_map(read_echoes(tmp_path / name)) for name in ("with", "without"))
    s = spoiled.sequence
    expected = low_spoiling_bias(spoiled.t2_ms.array[piece.inner], s.tr_ms, s.te_ms, s.flip_deg, s.spoiler)
    measured = low.t2_ms.array[piece.inner] / spoiled.t2_ms.array[piece.inner] - 1
    np.testing.assert_allclose(measured, expected, atol=1e-4)
    assert measured.max() < -0.01


def test_one_series_an_echo(piece: object, tmp_path: Path) -> None:
    pair = qdess(piece, 40.0)
    write_dicom(pair, tmp_path / "one")
    for number, echo in enumerate(pair, start=1):
        for path in write_dicom(echo, tmp_path / "two" / str(number), series_number=number, description=f"e{number}"):
            dataset = pydicom.dcmread(path)
            dataset.EchoNumbers = number
            dataset.save_as(path)
    one, two = (make_t2_map(read_echoes(tmp_path / name)) for name in ("one", "two"))
    np.testing.assert_array_equal(one.t2_ms.array, two.t2_ms.array)
    assert two.method == "spoiled"


@pytest.mark.parametrize("fit", ["weighted", "linear", "nonlinear"])
def test_ideal_spin_echoes_read_the_truth(piece: object, tmp_path: Path, fit: str) -> None:
    """180 degrees, no noise, T2 rising from the bone to the surface: within 1 % in every inner voxel's mean."""
    write_dicom(piece.knee.mese(piece.grid, snr=None, texture=0.0), tmp_path)
    found = make_t2_map(read_echoes(tmp_path), T2Options(fit=fit))
    true = piece.knee.true_t2(piece.grid).array[piece.inner]
    measured = found.t2_ms.array[piece.inner]
    assert (found.status.array[piece.inner] == Status.MEASURED).all()
    assert np.mean(measured) == pytest.approx(np.mean(true), rel=0.01)
    assert np.percentile(np.abs(measured / true - 1), 90) < 0.03


@pytest.mark.parametrize("fit", ["weighted", "nonlinear"])
def test_noise_moves_the_mean_by_less_than_three_percent(piece: object, fit: str) -> None:
    echoes = piece.knee.mese(piece.grid, snr=40.0, texture=0.0)
    found = make_t2_map(echoes, T2Options(fit=fit))
    counted = piece.inner & (found.status.array == Status.MEASURED)
    assert counted.sum() > 0.98 * piece.inner.sum()
    true = piece.knee.true_t2(piece.grid).array
    assert np.mean(found.t2_ms.array[counted]) == pytest.approx(np.mean(true[counted]), rel=0.03)


def test_stimulated_echoes_lengthen_t2_as_computed(piece: object) -> None:
    from KneePipelineLib.phantom.epg import spin_echo_train
    from KneePipelineLib.relaxometry import fit_decay

    sequence = MultiEchoSpinEcho(refocusing_deg=150.0)
    echoes = piece.knee.mese(piece.grid, sequence=sequence, snr=None, texture=0.0, t2=CartilageT2(40.0, 40.0))
    measured = make_t2_map(echoes).t2_ms.array[piece.inner]
    train = spin_echo_train(1200.0, np.array([40.0]), echoes=8, spacing_ms=6.3125, refocusing_deg=150.0).T
    exact = fit_decay(train, sequence.echo_times_ms).t2_ms[0]
    assert exact > 41.5
    assert np.mean(measured) == pytest.approx(exact, rel=0.003)
