"""Two knees in one image: told, and split where it is safe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import DicomError, InvalidFormatError
from KneePipelineLib.imaging import Volume, read_echoes, read_image
from KneePipelineLib.imaging.two_knees import one_limb
from Testing.imaging.refusals import codes, fails

SAGITTAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
"""i runs to posterior, j downward, k to the patient's left."""


def stack_at(make: object, x_mm: float, seed: int, slices: int = 20) -> Volume:
    return make.volume(SAGITTAL * [1, 1, 1], size=(12, 10, slices), spacing=(1.0, 1.0, 3.0), origin=(x_mm, 0.0, 0.0),
                       seed=seed)


@pytest.mark.parametrize("turn", [0.0, 8.0])
@pytest.mark.parametrize("echoes", [1, 2])
def test_two_sagittal_stacks_in_one_series(turn: float, echoes: int, make: object, tmp_path: Path) -> None:
    uid = pydicom.uid.generate_uid()
    knees = {}
    for n, (side, x_mm) in enumerate((("right", -140.0), ("left", 60.0))):
        for echo in range(echoes):
            volume = stack_at(make, x_mm, 10 * n + echo)
            angle = np.radians(turn * n)
            about = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
            volume = Volume(volume.array, volume.spacing, volume.origin, about @ volume.direction)
            knees[side, echo] = volume
            make.series(tmp_path, volume, SeriesInstanceUID=uid, EchoNumbers=echo + 1, EchoTime=6 + echo,
                        first_instance=1000 * n + 100 * echo + 1)
    error = fails(InvalidFormatError, tmp_path)
    assert "two knees" in error.message
    assert "--side left" in error.hint
    for side in ("left", "right"):
        for echo in range(echoes):
            found = read_image(tmp_path, side=side, echo=echo + 1)
            assert make.points(found) == make.points(knees[side, echo])
        if echoes == 2:
            assert len(read_echoes(tmp_path, side=side)) == 2


@pytest.mark.parametrize("side", [None, "right"])
def test_a_block_of_missing_slices_is_no_second_knee(side: str | None, make: object, tmp_path: Path) -> None:
    make.series(tmp_path, stack_at(make, 0.0, 1, 40), slices=[*range(15), *range(25, 40)])
    assert "10 slice(s) seem to be missing" in fails(DicomError, tmp_path, side=side).message


def legs(centres_mm: tuple[float, ...], radius_mm: float, *, width_mm: int = 320, noise: float = 20.0) -> Volume:
    """An axial volume, 2 mm voxels, of round legs; i runs to the patient's left."""
    x = np.arange(0, width_mm, 2) - width_mm / 2
    y = np.arange(0, 180, 2) - 90.0
    plane = np.full((len(y), len(x)), 0.0)
    for centre in centres_mm:
        plane[np.hypot(x - centre, y[:, None]) < radius_mm] = 800
    array = plane + np.abs(np.random.default_rng(0).normal(0, noise, (40, *plane.shape)))
    return Volume(array.astype(np.float32), (2.0, 2.0, 3.0), (x[0], y[0], 0.0))


@pytest.mark.parametrize("orientation", ["LPS", "RPS", "LSA", "PIR", "PIL"])
def test_two_legs_side_by_side(orientation: str) -> None:
    volume = legs((-80.0, 80.0), 60.0).reoriented(orientation)
    with pytest.raises(InvalidFormatError, match="two knees") as caught:
        one_limb(volume, "auto")
    assert "--side" in caught.value.hint
    for side, sign in (("left", 1), ("right", -1)):
        half = one_limb(volume, side)
        assert codes(half) == ["TWO_KNEES"]
        k, j, i = np.nonzero(half.array > 400)
        x = half.to_physical(np.stack([i, j, k], axis=-1))[:, 0]
        assert sign * x.min() > 0
        assert sign * x.max() > 0
        assert len(i) == np.count_nonzero(volume.array > 400) / 2


@pytest.mark.parametrize("volume", [
    legs((0.0,), 70.0), legs((0.0,), 70.0, width_mm=160), legs((-60.0,), 60.0), legs((-75.0, 185.0), 60.0),
    legs((-60.0, 60.0), 66.0), legs((), 1.0, noise=200.0), legs((-30.0, 30.0), 24.0, width_mm=170)],
    ids=["one", "close view", "aside", "edge of the other", "touching", "noise", "femur and tibia apart"])
def test_one_leg_is_left_alone(volume: Volume) -> None:
    assert one_limb(volume, None) is volume
    assert one_limb(volume, "left") is volume
