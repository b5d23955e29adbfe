"""results.json and results.csv: complete, checked against the schema, free of names and paths."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.morphometry import MEASURES, MENISCUS_MEASURES, WARNINGS
from KneePipelineLib.results import (
    TIDY_COLUMNS,
    build_results,
    input_facts,
    results_schema,
    run_facts,
    validate_results,
    write_mesh_files,
    write_results,
)
from KneePipelineLib.results.provenance import public_options
from KneePipelineLib.results.wording import MEASURE_TABLE, MENISCUS_TABLE, severity_of, without_paths

OPTIONS = {"side": "auto", "seed": 42, "image_smooth_var_cart": 0.3125, "input": "/data/Jane Doe/knee.nii.gz"}


def record_of(knee, **more) -> dict:
    arguments = {
        "prefix": "knee", "run": run_facts(OPTIONS, ["surfaces", "thickness"], seed=42, timings_s={"surfaces": 1.25}),
        "input_facts": input_facts(knee.labels, kind="NRRD", content="labels"), "side": knee.side,
        "side_from": "labels", "regions": knee.regions, "menisci": knee.menisci, "labels": knee.labels,
        "subregions": knee.subregions, "surfaces": knee.surfaces, "warnings": knee.warnings,
        "skipped": [("T2", "no echoes were given")],
    }
    return build_results(**{**arguments, **more})


def test_a_full_record_validates_and_says_what_was_measured(right_knee, tmp_path):
    outputs = write_mesh_files(tmp_path, right_knee.surfaces)
    record = record_of(right_knee, outputs=outputs, truth={"fem_cart": {"mm_mean": 2.2}})
    write_results(tmp_path, record)
    back = json.loads((tmp_path / "results.json").read_text("utf-8"))
    validate_results(back)
    assert back == record
    assert back["status"] == "complete"
    assert back["side"] == {"value": "right", "determined_by": "labels"}
    assert back["regions"]["fem_cart"]["measures"]["mm_mean"] == 2.25
    assert back["menisci"]["lat_meniscus"]["measures"]["extrusion_mm"] is None
    assert back["input"]["orientation"] == "PIR"
    assert back["input"]["size"] == list(right_knee.labels.size)
    assert back["run"]["versions"]["KneePipeline"]
    assert [o["path"] for o in back["outputs"]] == ["femur_mesh.vtk", "tibia_mesh.vtk", "patella_mesh.vtk"]
    assert back["outputs"][0]["color"] == [241, 214, 145]
    assert back["skipped"] == [{"part": "T2", "reason": "no echoes were given"}]


def test_counts_are_the_points_behind_the_numbers(right_knee):
    counts = record_of(right_knee)["regions"]
    tibia, subregions = right_knee.surfaces["tibia"], right_knee.subregions.array
    medial = counts["med_tib_cart"]["counts"]
    assert medial["voxels"] == (right_knee.labels.array == 5).sum()
    assert medial["vertices_total"] == (tibia.total_region == 5).sum()
    assert medial["vertices_covered"] == (tibia.region == 5).sum() < medial["vertices_total"]  # it has a bare spot
    assert counts["ant_fem_cart"]["counts"]["voxels"] == (subregions == 11).sum() > 0
    assert counts["fem_cart"]["counts"]["voxels"] == (right_knee.labels.array == 4).sum()


@pytest.mark.parametrize("damage", [
    lambda r: r.pop("side"),
    lambda r: r.update(patient_name="x"),
    lambda r: r["regions"].update(nose={"title": "n", "structure": "n", "measures": {}, "flag": "ok"}),
    lambda r: r["regions"]["fem_cart"]["measures"].update(mm_mean="thick"),
    lambda r: r["warnings"].append({"code": "X", "message": "m"}),
    lambda r: r["warnings"].append({"code": "bad code", "message": "m", "severity": "info"}),
    lambda r: r["outputs"].append({"role": "r", "path": "/abs/file", "type": "model", "title": "t"}),
    lambda r: r["outputs"].append({"role": "r", "path": "../up", "type": "model", "title": "t"}),
    lambda r: r["run"].update(options_digest="abc"),
    lambda r: r.update(schema_version="2.0"),
    lambda r: r["side"].update(value="both"),
    lambda r: r["quality"].update(overall="excellent"),
])
def test_the_schema_refuses_what_it_does_not_describe_and_nothing_is_written(damage, right_knee, tmp_path):
    record = copy.deepcopy(record_of(right_knee))
    validate_results(record)
    damage(record)
    with pytest.raises(ValueError, match=r"schema at"):
        write_results(tmp_path, record)
    assert not list(tmp_path.iterdir())


def test_the_schema_is_a_schema_and_knows_every_region_measure_and_output_type():
    import jsonschema

    schema = results_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert tuple(schema["$defs"]["region_name"]["enum"]) == REGIONS
    assert tuple(schema["$defs"]["measures"]["properties"]) == MEASURES
    assert tuple(schema["$defs"]["meniscus"]["properties"]["measures"]["properties"]) == MENISCUS_MEASURES
    assert tuple(MEASURE_TABLE) == MEASURES
    assert tuple(MENISCUS_TABLE) == MENISCUS_MEASURES
    from KneePipelineLib.results.outputs import TYPES

    assert tuple(schema["$defs"]["output"]["properties"]["type"]["enum"]) == TYPES


def test_a_failed_run_still_has_a_valid_record(right_knee, tmp_path):
    error = SegmentationError("The label map is empty.", "Look at the segmentation.", voxels=np.int64(0),
                              limits=[np.float32(0.5), float("nan")])
    record = build_results(prefix="knee", run=run_facts({}, []), errors=[error.to_dict()])
    write_results(tmp_path, record)
    assert record["status"] == "failed"
    assert record["quality"]["overall"] == "poor"
    assert record["errors"][0]["details"] == {"voxels": 0, "limits": [0.5, None]}
    assert (tmp_path / "results.csv").read_text("utf-8").splitlines() == [",".join(TIDY_COLUMNS)]
    partial = record_of(right_knee, errors=[{"code": "NSM_FAILED", "message": "No fit.", "part": "shape"}])
    assert partial["status"] == "partial"
    assert partial["regions"]


def test_writing_that_fails_leaves_the_previous_record(right_knee, tmp_path):
    write_results(tmp_path, record_of(right_knee))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    broken = copy.deepcopy(record_of(right_knee, prefix="other"))
    broken["run"]["timings_s"]["surfaces"] = float("nan")  # the schema lets a NaN pass; JSON does not
    with pytest.raises(ValueError):
        write_results(tmp_path, broken)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_tidy_table_has_one_row_a_number(right_knee, tmp_path):
    write_results(tmp_path, record_of(right_knee))
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == TIDY_COLUMNS
    assert len(rows) == len(right_knee.regions) * len(MEASURES) + 2 * len(MENISCUS_MEASURES)
    by_key = {(r["region"], r["measure"]): r for r in rows}
    assert len(by_key) == len(rows)
    volume = by_key["med_tib_cart", "VC_mm3"]
    assert (volume["structure"], volume["unit"], volume["side"], volume["depth"]) == ("tibia", "mm3", "right", "all")
    assert int(volume["n"]) == (right_knee.labels.array == 5).sum()
    missing = by_key["lat_meniscus", "extrusion_mm"]
    assert (missing["value"], missing["quality_flag"]) == ("", "missing")
    assert all(r["unit"] and r["method"] and r["quality_flag"] in ("ok", "check", "poor", "missing") for r in rows)


def test_quality_rules_fire_on_the_knee_they_are_for_and_only_there(right_knee):
    assert {c["code"] for c in record_of(right_knee)["quality"]["checks"]} == {"REGION_MISSING"}  # no posterior regions
    regions = copy.deepcopy(right_knee.regions)
    regions["med_tib_cart"]["mm_mean"] = 7.5
    regions["lat_tib_cart"]["dAB_percent"] = 33.0
    record = record_of(right_knee, regions=regions)
    checks = {(c["code"], c.get("subject")) for c in record["quality"]["checks"]}
    assert {("THICKNESS_RANGE", "med_tib_cart"), ("DENUDED_BONE", "lat_tib_cart")} <= checks
    assert record["regions"]["med_tib_cart"]["flag"] == "poor"
    assert record["regions"]["lat_tib_cart"]["flag"] == "check"
    assert record["regions"]["pat_cart"]["flag"] == "ok"
    record = record_of(right_knee, other_sides={"header": "left"})
    assert ("SIDE_DISAGREES", None) in {(c["code"], c.get("subject")) for c in record["quality"]["checks"]}
    assert {entry["flag"] for entry in record["regions"].values()} == {"poor"}
    assert record["side"]["agrees_with"] == {"header": False}
    assert record["quality"]["overall"] == "poor"


def test_cartilage_at_the_edge_of_the_image_is_flagged(right_knee):
    where = np.argwhere(right_knee.labels.array == 7)
    cut = right_knee.labels.cropped((int(where[:, 2].min()), 0, 0), right_knee.labels.size)
    cut_patella = {c["subject"] for c in record_of(right_knee, labels=cut)["quality"]["checks"]
                   if c["code"] == "CARTILAGE_AT_BORDER"}
    assert "pat_cart" in cut_patella


def test_every_warning_of_the_morphometry_room_has_a_severity():
    assert {severity_of(code) for code in WARNINGS} == {"info", "warning", "serious"}
    assert severity_of("NEVER_HEARD_OF") == "warning"


def test_the_bundled_network_always_carries_its_notice(right_knee):
    run = run_facts({}, ["segmentation"], segmentation="network", model={"name": "bundled"})
    assert run["model"]["notice"] == "bundled network: for trying out, not validated for research"
    validate_results(record_of(right_knee, run=run))


def test_equal_analyses_have_equal_digests_wherever_their_files_are():
    here = run_facts({**OPTIONS, "output": "/home/a/out"}, [])
    there = run_facts({**OPTIONS, "input": "C:\\Users\\b\\scan.zip"}, [])
    other = run_facts({**OPTIONS, "image_smooth_var_cart": 0.5}, [])
    assert here["options_digest"] == there["options_digest"] != other["options_digest"]
    text = json.dumps(here["options"], sort_keys=True, separators=(",", ":"))
    assert here["options_digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert here["options"] == {"image_smooth_var_cart": 0.3125, "seed": 42, "side": "auto"}


def test_options_that_could_name_somebody_are_not_recorded():
    options = {"series": "Doe Jane 1970", "label_scheme": "/home/doe/scheme.json", "nsm": {"folder": "doe"},
               "unknown": {"patient": "Doe"}, "device": "cuda:0", "steps": ("thickness", "a/b"), "zip": True,
               "nnunet": {"type": "fullres", "where": "/home/doe"}, "file": Path("doe.nrrd"), "name": "doe.nrrd"}
    assert public_options(options) == {"device": "cuda:0", "steps": ["thickness"], "nnunet": {"type": "fullres"}}


SECRETS = ("Doe", "/home/", "C:\\", "studies", "1.2.840.113619")


def test_no_path_of_an_input_reaches_any_output(right_knee, tmp_path):
    secret = "/home/Doe Jane/studies/1.2.840.113619.2.5/knee.nii.gz"
    record = record_of(
        right_knee,
        warnings=[("X", f"Could not read '{secret}' twice"), ("Y", "See C:\\studies\\Doe\\k.dcm."),
                  ("Z", "In studies/Doe/knee.nrrd there is nothing")],
        errors=[{"code": "DICOM_ERROR", "message": f"'{secret}' is odd", "hint": "Look into /home/studies/Doe, please.",
                 "details": {"where": "/home/studies/Doe/x"}}],
        skipped=[("T2", "file:///home/studies/Doe is empty")], run=run_facts({"input": secret, "x": secret}, []),
        input_facts=input_facts(right_knee.labels.with_array(right_knee.labels.array, dicom_files=[secret],
                                                             patient_name="Doe"), kind="NRRD"))
    write_results(tmp_path, record)
    for file in tmp_path.iterdir():
        text = file.read_text("utf-8")
        assert not [s for s in SECRETS if s in text or s in json.dumps(text)]


@pytest.mark.parametrize("text", ["T1/T2 and 3 mm/s", "med/lat", "50 % (and/or less)", "a ratio of 1/2", "9:30", "</p>",
                                  "femur / tibia", "0.36 x 0.36 x 0.7 mm"])
def test_ordinary_words_with_a_slash_are_left_alone(text):
    assert without_paths(text) == text


def test_csv_survives_commas_and_quotes():
    from KneePipelineLib.results.tables import csv_text

    text = csv_text(("a", "b"), [{"a": 'x,"y"\nz', "b": None}])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ['x,"y"\nz', ""]]


def test_importing_the_room_loads_nothing_heavy(repository):
    import subprocess
    import sys

    code = ("import sys; import KneePipelineLib.results as r; "
            "print(sorted({'numpy','vtk','SimpleITK','jsonschema','scipy','torch'} & set(sys.modules)))")
    answer = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
