"""The two stages, and their hand-over on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from KneePipelineLib.errors import InvalidFormatError, MissingFileError
from KneePipelineLib.morphometry import measure_prepared, prepare_knee, read_prepared, write_prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory, knee_labels):
    folder = tmp_path_factory.mktemp("prepared knee")
    write_prepared(prepare_knee(knee_labels), folder)
    return folder


def test_measuring_after_the_disk_gives_the_same(folder, measured):
    result = measure_prepared(read_prepared(folder))
    for region, measures in measured.regions.items():
        assert result.regions[region] == pytest.approx(measures, abs=1e-4, nan_ok=True)
    assert np.array_equal(result.subregions.array, measured.subregions.array)
    assert np.array_equal(result.depth.array, measured.depth.array)
    for bone, surface in measured.surfaces.items():
        assert np.array_equal(result.surfaces[bone].points, surface.points)
        assert np.array_equal(result.surfaces[bone].region, surface.region)
    assert np.array_equal(result.raw_femur[0], measured.raw_femur[0])


def test_prepared_surfaces_have_no_thickness_yet(folder):
    surface = read_prepared(folder).surfaces["femur"]
    assert np.isnan(surface.thickness_mm).all()
    assert not surface.region.any()


@pytest.mark.parametrize("name", ["labels.nrrd", "meshes.npz", "prepared.json"])
def test_missing_file(folder, tmp_path, name):
    for file in folder.iterdir():
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(MissingFileError, match=name):
        read_prepared(tmp_path)


@pytest.mark.parametrize("name", ["meshes.npz", "prepared.json"])
def test_damaged_file(folder, tmp_path, name):
    for file in folder.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[: len(content) // 2] if file.name == name else content)
    with pytest.raises(InvalidFormatError):
        read_prepared(tmp_path)


def test_another_version(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((tmp_path / "prepared.json").read_text())
    (tmp_path / "prepared.json").write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(InvalidFormatError, match="another version"):
        read_prepared(tmp_path)
