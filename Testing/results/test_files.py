"""Label maps, meshes and tables: what is written is what can be read again, whole or not at all."""

from __future__ import annotations

import csv
import json
import math
import os

import numpy as np
import pytest

from KneePipelineLib.errors import ConfigError
from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.results import (
    THICKNESS_COLUMNS,
    Output,
    write_label_files,
    write_mesh_files,
    write_thickness_files,
    write_vtk,
)
from KneePipelineLib.results.threads import in_threads
from KneePipelineLib.system.atomic import write_atomically

SUFFIXES = ("mm_mean", "mm_std", "mm_median", "VC_mm3", "tAB_mm2", "cAB_mm2", "dAB_mm2", "dAB_percent", "ThC_tAB_mm",
            "ThC_cAB_mm")


def read_vtk(path):
    """(points, triangles, {array name: values}, active scalars' name), by VTK's own reader."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader

    reader = vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.ReadAllFieldsOn()
    reader.ReadAllScalarsOn()
    reader.Update()
    mesh, data = reader.GetOutput(), reader.GetOutput().GetPointData()
    arrays = {data.GetArrayName(i): vtk_to_numpy(data.GetArray(i)) for i in range(data.GetNumberOfArrays())}
    active = data.GetScalars()
    triangles = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return vtk_to_numpy(mesh.GetPoints().GetData()), triangles, arrays, active and active.GetName()


def test_bone_meshes_come_back_from_vtk_as_they_were(right_knee, tmp_path):
    write_mesh_files(tmp_path, right_knee.surfaces)
    for bone, surface in right_knee.surfaces.items():
        points, triangles, arrays, active = read_vtk(tmp_path / f"{bone}_mesh.vtk")
        np.testing.assert_array_equal(points, surface.points)
        np.testing.assert_array_equal(triangles, surface.triangles)
        np.testing.assert_array_equal(arrays["thickness (mm)"], surface.thickness_mm)  # NaN where there is none
        np.testing.assert_array_equal(arrays["region"], surface.region)
        assert np.isnan(arrays["thickness (mm)"]).any()
        assert arrays["thickness (mm)"].dtype == np.float32
        assert arrays["region"].dtype == np.uint8
        assert active == "thickness (mm)"


def test_every_mesh_says_lps_where_slicer_looks_for_it(right_knee, tmp_path):
    outputs = write_mesh_files(tmp_path, right_knee.surfaces, raw_femur=right_knee.raw_femur,
                               cartilage_surfaces=right_knee.cartilage_surfaces)
    names = {"femur_mesh.vtk", "tibia_mesh.vtk", "patella_mesh.vtk", "femur_mesh_raw.vtk", "tibia_cart_0_mesh.vtk",
             "tibia_cart_1_mesh.vtk"}
    assert {o.path for o in outputs} == names == {p.name for p in tmp_path.iterdir()}
    for name in names:
        title = (tmp_path / name).read_bytes().split(b"\n")[1].decode()
        assert "SPACE=LPS" in title
        assert len(title) <= 255
    assert [o.structure for o in outputs if o.role == "cartilage_surface"] == ["med_tib_cart", "lat_tib_cart"]
    points, triangles, arrays, active = read_vtk(tmp_path / "tibia_cart_0_mesh.vtk")
    np.testing.assert_array_equal(points, right_knee.cartilage_surfaces["tibia", 0][0])
    np.testing.assert_array_equal(triangles, right_knee.cartilage_surfaces["tibia", 0][1])
    assert not arrays
    assert active is None


def test_a_second_stage_rewrites_the_bones_and_leaves_the_rest(right_knee, tmp_path):
    from dataclasses import replace

    bare = {b: replace(s, thickness_mm=np.full_like(s.thickness_mm, np.nan), region=np.zeros_like(s.region))
            for b, s in right_knee.surfaces.items()}
    write_mesh_files(tmp_path, bare, raw_femur=right_knee.raw_femur)
    raw = (tmp_path / "femur_mesh_raw.vtk").read_bytes()
    assert np.isnan(read_vtk(tmp_path / "femur_mesh.vtk")[2]["thickness (mm)"]).all()
    write_mesh_files(tmp_path, right_knee.surfaces)
    assert np.nanmax(read_vtk(tmp_path / "femur_mesh.vtk")[2]["thickness (mm)"]) == 3.0
    assert (tmp_path / "femur_mesh_raw.vtk").read_bytes() == raw


def test_an_empty_mesh_and_odd_array_names_are_readable(tmp_path):
    write_vtk(tmp_path / "empty.vtk", np.empty((0, 3)), np.empty((0, 3), int))
    assert read_vtk_points(tmp_path / "empty.vtk") == 0
    write_vtk(tmp_path / "odd.vtk", np.eye(3), [[0, 1, 2]], {'50 % "Tiefe"': np.float64([1, 2, 3])})
    assert list(read_vtk(tmp_path / "odd.vtk")[2]) == ['50 % "Tiefe"']


def read_vtk_points(path) -> int:
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader

    reader = vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput().GetNumberOfPoints()


@pytest.mark.parametrize(("triangles", "arrays"), [
    ([[0, 1, 3]], {}),
    ([[0, 1, -1]], {}),
    ([[0, 1, 2]], {"a": np.zeros(2, np.float32)}),
    ([[0, 1, 2]], {"a": np.zeros(3, np.complex64)}),
])
def test_a_mesh_that_contradicts_itself_is_refused_and_nothing_written(triangles, arrays, tmp_path):
    with pytest.raises(ValueError, match=r"vertex|vertices|type"):
        write_vtk(tmp_path / "bad.vtk", np.eye(3), triangles, arrays)
    assert not list(tmp_path.iterdir())


def test_label_maps_come_back_equal_under_their_names(right_knee, tmp_path):
    from KneePipelineLib.imaging import read_labels

    outputs = write_label_files(tmp_path, "kn-1", labels=right_knee.labels, subregions=right_knee.subregions,
                                depth=right_knee.depth)
    expected = {"kn-1_all-labels.nrrd": right_knee.labels, "kn-1_all-labels.nii.gz": right_knee.labels,
                "kn-1_subregions-labels.nrrd": right_knee.subregions,
                "kn-1_subregions-labels.nii.gz": right_knee.subregions, "kn-1_depth_seg.nrrd": right_knee.depth}
    assert {o.path for o in outputs} == set(expected) == {p.name for p in tmp_path.iterdir()}
    for name, volume in expected.items():
        back = read_labels(tmp_path / name)
        np.testing.assert_array_equal(back.reoriented("PIR").array, volume.reoriented("PIR").array)
        assert back.reoriented("PIR").same_grid(volume.reoriented("PIR"), 1e-4)


def test_label_maps_can_be_written_in_stages(right_knee, tmp_path):
    assert [o.path for o in write_label_files(tmp_path, "k", labels=right_knee.labels)] == [
        "k_all-labels.nrrd", "k_all-labels.nii.gz"]
    assert write_label_files(tmp_path, "k") == []
    assert len(list(tmp_path.iterdir())) == 2


def test_thickness_columns_are_those_of_the_design(right_knee, tmp_path):
    assert REGIONS == ("fem_cart", "ant_fem_cart", "med_wb_fem_cart", "lat_wb_fem_cart", "med_post_fem_cart",
                       "lat_post_fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart")
    wanted = [f"{region}_{suffix}" for region in REGIONS for suffix in SUFFIXES]
    assert list(THICKNESS_COLUMNS)[: len(wanted)] == wanted
    assert THICKNESS_COLUMNS[-1] == "measures_version"
    assert len(set(THICKNESS_COLUMNS)) == len(THICKNESS_COLUMNS)
    write_thickness_files(tmp_path, "knee", right_knee.regions)
    with open(tmp_path / "knee_thickness_results.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    data = json.loads((tmp_path / "knee_thickness_results.json").read_text("utf-8"))
    assert rows[0] == list(THICKNESS_COLUMNS) == list(data)
    assert len(rows) == 2
    assert len(rows[1]) == len(THICKNESS_COLUMNS)


def test_thickness_values_keep_every_digit_and_missing_ones_are_missing(right_knee, tmp_path):
    import pandas

    regions = {**right_knee.regions, "pat_cart": {"mm_mean": math.nan, "VC_mm3": np.float32(0.1), "tAB_mm2": 1 / 3}}
    write_thickness_files(tmp_path, "knee", regions)
    data = json.loads((tmp_path / "knee_thickness_results.json").read_text("utf-8"),
                      parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
    assert data["pat_cart_mm_mean"] is None  # nothing to average
    assert data["med_post_fem_cart_mm_mean"] is None  # no such region in this knee
    assert data["pat_cart_tAB_mm2"] == 1 / 3
    assert data["pat_cart_VC_mm3"] == float(np.float32(0.1))
    table = pandas.read_csv(tmp_path / "knee_thickness_results.csv")
    assert table["pat_cart_tAB_mm2"][0] == pytest.approx(1 / 3, abs=0)
    assert table["pat_cart_mm_mean"].isna().all()
    assert table["fem_cart_mm_mean"][0] == 2.25


@pytest.mark.parametrize("prefix", ["", "../up", "a b", "a/b", "ä", ".hidden", "x" * 65])
def test_prefixes_that_are_no_file_names_are_refused(prefix, tmp_path):
    with pytest.raises(ConfigError, match="prefix"):
        write_thickness_files(tmp_path, prefix, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "C:/x", "a\\b"])
def test_an_output_cannot_point_outside_the_run(path):
    with pytest.raises(ValueError, match="relative"):
        Output(role="r", path=path, type="model", title="t")


def test_a_failure_in_the_middle_leaves_the_previous_file(tmp_path):
    target = tmp_path / "f.bin"
    target.write_bytes(b"old")

    def fail_half_way(stream):
        stream.write(b"new" * 1000)
        stream.flush()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        write_atomically(target, fail_half_way)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.bin"]


def test_a_mesh_writer_that_fails_leaves_the_previous_meshes(right_knee, tmp_path, monkeypatch):
    from KneePipelineLib.results import mesh_files

    write_mesh_files(tmp_path, right_knee.surfaces)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mesh_files, "_point_data", full_disk)  # after points and triangles have been written
    with pytest.raises(OSError, match="space"):
        write_mesh_files(tmp_path, right_knee.surfaces)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.name != "posix", reason="permission bits are a POSIX matter")
def test_files_get_the_permissions_an_ordinary_open_gives(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "atomic", lambda stream: stream.write(b"x"))
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_threads_keep_the_order_and_pass_on_failures():
    assert in_threads([lambda n=n: n * n for n in range(6)]) == [0, 1, 4, 9, 16, 25]
    with pytest.raises(ZeroDivisionError):
        in_threads([lambda: 1, lambda: 1 / 0])
