"""From labels to every file, with the real rooms before this one; and the names that the field's scripts know."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.results import (
    THICKNESS_COLUMNS,
    build_results,
    input_facts,
    report_output,
    results_outputs,
    run_facts,
    validate_results,
    write_label_files,
    write_mesh_files,
    write_report,
    write_results,
    write_thickness_files,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The digital knee, coarse, measured and written: (folder, morphometry, record)."""
    from KneePipelineLib.morphometry import measure_knee
    from KneePipelineLib.phantom import DigitalKnee, Grid

    folder = tmp_path_factory.mktemp("knee")
    digital = DigitalKnee(seed=2, side="left")
    knee = measure_knee(digital.labels(Grid.isotropic(1.0)))
    outputs = write_label_files(folder, "knee", labels=knee.labels, subregions=knee.subregions, depth=knee.depth,
                                parts=knee.fine_labels)
    outputs += write_mesh_files(folder, knee.surfaces, raw_femur=knee.raw_femur,
                                cartilage_surfaces=knee.cartilage_surfaces)
    outputs += write_thickness_files(folder, "knee", knee.regions, knee.fine, knee.sums, knee.joint)
    record = build_results(
        prefix="knee", run=run_facts({"seed": 2}, ["surfaces", "thickness"], segmentation="truth"),
        input_facts=input_facts(knee.labels, kind="digital knee", content="labels"), side=knee.side,
        side_from="labels", regions=knee.regions, menisci=knee.menisci, labels=knee.labels,
        fine=knee.fine, sums=knee.sums, joint=knee.joint,
        subregions=knee.subregions, surfaces=knee.surfaces, warnings=knee.warnings,
        outputs=[*outputs, report_output(), *results_outputs()])
    write_report(folder, record, labels=knee.subregions, surfaces=knee.surfaces, axes=knee.frame.axes)
    write_results(folder, record)
    return folder, knee, record


def test_every_file_is_listed_and_every_listed_file_is_there(written):
    folder, _, record = written
    listed = {o["path"] for o in record["outputs"]}
    assert listed == {p.name for p in folder.iterdir()}
    assert {"knee_all-labels.nrrd", "femur_mesh_raw.vtk", "femur_cart_0_mesh.vtk", "patella_cart_0_mesh.vtk",
            "tibia_cart_1_mesh.vtk", "knee_thickness_results.csv", "report.html", "results.csv"} <= listed
    references = {o["reference"] for o in record["outputs"] if "reference" in o}
    assert references <= listed


def test_files_agree_with_each_other(written):
    folder, knee, _ = written
    record = json.loads((folder / "results.json").read_text("utf-8"))
    validate_results(record)
    flat = json.loads((folder / "knee_thickness_results.json").read_text("utf-8"))
    with open(folder / "results.csv", newline="", encoding="utf-8") as stream:
        tidy = {f"{r['region']}_{r['measure']}": r for r in csv.DictReader(stream)}
    told = {f"{name}_{measure}": value for part in ("regions", "subregions") for name, entry in record[part].items()
            for measure, value in entry["measures"].items()}
    told |= {f"{name}_ThC_tAB_mm": entry["ThC_tAB_mm"] for name, entry in record["sums"].items()}
    told |= {f"joint_{name}": value for name, value in record["joint"].items()}
    assert record["measures_version"] == flat.pop("measures_version") == tidy["MT_tAB_mm2"]["measures_version"]
    assert set(flat) == set(THICKNESS_COLUMNS[:-1])
    for column, value in flat.items():
        name = f"joint_{column}" if column in record["joint"] else column
        assert value == told.pop(name) == float(tidy[name]["value"]), column
    assert all("meniscus" in name for name in told)
    voxel_mm3 = knee.labels.voxel_volume_mm3
    for region in REGIONS:
        assert flat[f"{region}_VC_mm3"] == pytest.approx(int(tidy[f"{region}_VC_mm3"]["n"]) * voxel_mm3)
        assert int(tidy[f"{region}_mm_mean"]["n"]) > 50


def test_the_mean_on_the_mesh_is_the_mean_in_the_table(written):
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader

    folder, knee, _ = written
    reader = vtkPolyDataReader()
    reader.SetFileName(str(folder / "patella_mesh.vtk"))
    reader.ReadAllScalarsOn()
    reader.Update()
    data = reader.GetOutput().GetPointData()
    thickness, region = (vtk_to_numpy(data.GetArray(n)) for n in ("thickness (mm)", "region"))
    covered = region == 7
    assert np.isfinite(thickness[covered]).all()
    area = knee.surfaces["patella"].vertex_area_mm2
    assert np.average(thickness[covered], weights=area[covered]) == pytest.approx(
        knee.regions["pat_cart"]["ThC_cAB_mm"], abs=1e-4)


def test_scripts_written_for_pymskt_find_their_columns(shared):
    reference = json.loads((shared / "reference" / "pymskt_knee_dess_right" / "sag_thickness_results.json").read_text())
    assert set(reference) <= set(THICKNESS_COLUMNS)
