"""Every quality rule fires on the knee it is for, and on no other."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from KneePipelineLib.imaging.labels import BY_NAME
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.results import RULES, build_results, report_text, results_schema, run_facts, validate_results
from KneePipelineLib.results.pieces import astray_percent
from KneePipelineLib.results.quality import KneeFacts, already_said, check_knee, flag_of, overall
from KneePipelineLib.results.rules import ACTIONS, SAID_BY_A_RULE
from KneePipelineLib.results.tidy import tidy_rows
from KneePipelineLib.side_words import named_sides, side_of_name

HEALTHY = {"mm_mean": 2.3, "dAB_percent": 3.0}


def region(**changes: float) -> dict:
    from KneePipelineLib.imaging.labels import REGIONS

    regions = {name: dict(HEALTHY) for name in REGIONS}
    regions["med_tib_cart"].update(changes)
    return {"regions": regions}


def without(name: str) -> dict:
    facts = region()
    del facts["regions"][name]
    return facts


def t2(mean: float = 42.0, n: int = 900, excluded: int = 50, poor_fit: int = 0) -> dict:
    tally = {"n": n, "excluded": excluded, "poor_fit": poor_fit, "above_range": excluded - poor_fit}
    return {"t2": {"regions": {"pat_cart": {"t2_ms_mean": mean}}, "counts": {"pat_cart": {"all": tally}}}}


def meniscus(coverage: float = 45.0, extrusion: float = 1.0, volume: float = 2000.0) -> dict:
    return {"menisci": {"med_meniscus": {"volume_mm3": volume, "coverage_percent": coverage,
                                         "extrusion_mm": extrusion}}}


def fit(assd: float = 0.2, bscore: float | None = 1.0, structure: str = "femur") -> dict:
    return {"fits": {"bone_only": {"title": "bone only", "bscore": bscore,
                                   "surfaces": {structure: {"assd_mm": assd, "hausdorff95_mm": 2 * assd}}}}}


def verdict(level: str, structure: str = "ok") -> dict:
    mark = {"name": "tibia", "title": "Tibia", "level": structure, "reasons": ["it is in pieces"]}
    return {"confidence": {"level": level, "reasons": [], "structures": {"tibia": mark}}}


def labels(value: int, blocks: tuple[tuple[int, int], ...], edge: bool = False, spacing: float = 1.0) -> dict:
    """A label map with blocks (corner, edge length) of one value."""
    array = np.zeros((40, 40, 40), np.uint8)
    for corner, length in blocks:
        array[corner:corner + length, corner:corner + length, (0 if edge else corner):corner + length] = value
    return {"labels": Volume(array, (spacing,) * 3)}


def slices(percent: int, spacing: tuple = (0.4, 0.4, 3.0)) -> dict:
    """Patellar cartilage of which so much bone faces along the slices."""
    return {**region(), "labels": Volume(np.zeros((4, 4, 4), np.uint8), spacing),
            "counts": {"pat_cart": {"vertices_field": 100, "vertices_total": 100, "vertices_along_slices": percent}}}


PATELLA, PATELLAR_CARTILAGE = 3, 7

CASES = {  # code: (facts that break the rule, facts at the limit that do not)
    "REGION_MISSING": (without("pat_cart"), region()),
    "THICKNESS_RANGE": (region(mm_mean=5.01), region(mm_mean=5.0)),
    "DENUDED_BONE": (region(dAB_percent=10.1), region(dAB_percent=10.0)),
    "NO_COVERED_BONE": (region(ThC_cAB_mm=None), region(ThC_cAB_mm=2.0)),
    "SLICE_DIRECTION": (slices(36), slices(35)),
    "FOOTPRINT_NOT_FITTED": ({**region(), "warnings": [
        ("FOOTPRINT_NOT_FITTED", "The healthy footprint does not fit the patella (its surface stays 3 mm off).")]},
        region()),
    "FEW_POINTS": ({**region(), "counts": {"pat_cart": {"vertices_field": 49}}},
                   {**region(), "counts": {"pat_cart": {"vertices_field": 50}}}),
    "VOLUME_RANGE": (labels(PATELLA, ((5, 16),)), labels(PATELLA, ((5, 20),))),
    "SEVERAL_PIECES": (labels(PATELLA, ((5, 20), (30, 8))), labels(PATELLA, ((5, 20), (30, 5)))),
    "CARTILAGE_AT_BORDER": (labels(PATELLAR_CARTILAGE, ((5, 12),), edge=True), labels(PATELLAR_CARTILAGE, ((5, 12),))),
    "LOW_CONFIDENCE": (verdict("low"), verdict("ok")),
    "STRUCTURE_DOUBTFUL": (verdict("ok", "low"), verdict("ok")),
    "SIDE_DISAGREES": ({"side": "right", "other_sides": {"name": "left"}},
                       {"side": "right", "other_sides": {"name": "right", "header": "unknown"}}),
    "MENISCUS_COVERAGE": (meniscus(coverage=9.0), meniscus(coverage=10.0)),
    "MENISCUS_EXTRUSION": (meniscus(extrusion=10.5), meniscus(extrusion=float("nan"))),
    "T2_SEQUENCE_ASSUMED": ({"warnings": [("T2_SEQUENCE_ASSUMED", "Unusual echo times.")]},
                            {"warnings": [("T2_LOW_SPOILING", "The spoiler is not told.")]}),
    "T2_EXCLUDED": (t2(n=790, excluded=210), t2(n=800, excluded=200)),
    "T2_POOR_FIT": (t2(n=850, excluded=150, poor_fit=110), t2(n=850, excluded=150, poor_fit=100)),
    "T2_FEW_VOXELS": (t2(n=99, excluded=0), t2(n=100, excluded=0)),
    "T2_RANGE": (t2(mean=66.0), t2(mean=65.0)),
    "SHAPE_FIT_ERROR": (fit(0.7), fit(0.6)),
    "SHAPE_FIT_FAILED": (fit(1.1), fit(1.0)),
    "BSCORE_RANGE": (fit(bscore=8.1), fit(bscore=None)),
}


def codes(facts: dict) -> list[str]:
    return [check["code"] for check in check_knee(KneeFacts(**facts))]


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("code", RULES)
def test_the_rule_fires_alone_where_it_should(code: str) -> None:
    assert codes(CASES[code][0]) == [code]


@pytest.mark.parametrize("code", RULES)
def test_the_rule_is_silent_at_its_limit(code: str) -> None:
    assert code not in codes(CASES[code][1])


@pytest.mark.parametrize("code", RULES)
def test_a_finding_says_what_where_and_what_to_do_in_the_schemas_form(code: str) -> None:
    import jsonschema

    schema = results_schema()
    for finding in check_knee(KneeFacts(**CASES[code][0])):
        jsonschema.Draft202012Validator({**schema["$defs"]["check"], "$defs": schema["$defs"]}).validate(finding)
        assert finding["flag"] == RULES[code].flag
        assert finding["message"].endswith(".")
        assert finding["action"].endswith(".")
        assert not {"LOW", "HIGH", "nan", "None"} & set(finding["message"].split())
        assert finding.get("subject") is None or finding["subject"] in BY_NAME


def test_nothing_known_nothing_said(right_knee: SimpleNamespace) -> None:
    assert check_knee(KneeFacts()) == []
    assert codes({"labels": right_knee.labels}) == []


def test_the_limits_stand_in_the_sentence() -> None:
    found = check_knee(KneeFacts(**meniscus(extrusion=-6.5)))[0]
    assert "outside −6 to 10 mm" in found["message"]
    assert found["limits"] == [-6.0, 10.0]
    patella = check_knee(KneeFacts(**CASES["VOLUME_RANGE"][0]))[0]
    assert patella["value"] == pytest.approx(16**3 / 1000)
    assert (patella["limits"], patella["unit"]) == ([5.0, 50.0], "ml")


def test_a_structure_that_the_network_doubts_is_doubted_once() -> None:
    facts = {**labels(BY_NAME["tibia"].value, ((5, 8), (30, 8))), **verdict("ok", "low")}
    assert codes(facts) == ["STRUCTURE_DOUBTFUL"]


def test_each_kind_of_number_has_its_own_flag() -> None:
    checks = check_knee(KneeFacts(**{**region(mm_mean=6.0), **t2(n=700, excluded=300)}))
    assert flag_of("pat_cart", checks, "t2") == "check"
    assert flag_of("pat_cart", checks, "thickness") == "ok"
    assert flag_of("med_tib_cart", checks, "thickness") == "poor"
    assert flag_of("med_tib_cart", checks, "t2") == "ok"
    border = check_knee(KneeFacts(**labels(BY_NAME["fem_cart"].value, ((5, 20),), edge=True)))
    assert {flag_of(name, border, "t2") for name in ("fem_cart", "ant_fem_cart")} == {"check"}
    assert flag_of("pat_cart", border, "t2") == "ok"


def test_doubt_about_the_whole_knee_is_doubt_about_every_number(right_knee: SimpleNamespace) -> None:
    for code in ("LOW_CONFIDENCE", "SIDE_DISAGREES"):
        checks = check_knee(KneeFacts(**CASES[code][0]))
        assert {flag_of(name, checks, about) for name in BY_NAME for about in ("thickness", "t2", "shape")} == {"poor"}
    record = build_results(prefix="knee", run=run_facts({}, []), regions=right_knee.regions, side="right",
                           other_sides={"header": "left"})
    assert {row["quality_flag"] for row in tidy_rows(record)} == {"poor"}


def test_echoes_of_a_doubtful_sequence_flag_t2_and_nothing_else(right_knee: SimpleNamespace) -> None:
    sentence = "The echo times of the pair are unusual for qDESS."
    facts = t2()["t2"] | {"sequence": "qdess", "t2_method": "spoiled"}
    record = build_results(prefix="knee", run=run_facts({}, []), regions=right_knee.regions, side="right", t2=facts,
                           warnings=[("T2_SEQUENCE_ASSUMED", sentence)])
    validate_results(record)
    flags = {is_t2: {row["quality_flag"] for row in tidy_rows(record) if row["measure"].startswith("t2") is is_t2}
             for is_t2 in (True, False)}
    assert flags[True] == {"poor"}
    assert "poor" not in flags[False]
    assert record["regions"]["pat_cart"]["flag"] == "poor"
    assert record["regions"]["med_tib_cart"]["flag"] != "poor", "a region without T2 has nothing to do with it"
    assert report_text.quality(record).count(sentence) == 1, "the warning and the rule are one line"


def test_a_run_on_the_cpu_is_a_note_and_no_reason_to_look(right_knee: SimpleNamespace) -> None:
    sentence = "No usable GPU was found: the segmentation ran on the CPU."
    plain = build_results(prefix="knee", run=run_facts({}, []), regions=right_knee.regions, side="right")
    told = build_results(prefix="knee", run=run_facts({}, []), regions=right_knee.regions, side="right",
                         warnings=[("CPU_ONLY", sentence)])
    assert told["warnings"] == [{"code": "CPU_ONLY", "message": sentence, "severity": "info"}]
    assert told["quality"] == plain["quality"]
    assert f'<span class="flag info">info</span></span><span>{sentence}' in report_text.quality(told)


def test_a_scan_without_patella_is_to_be_looked_at_and_no_more() -> None:
    checks = check_knee(KneeFacts(**without("pat_cart")))
    told = [{"code": "PATELLA_MISSING", "severity": "info"}]
    assert overall(checks, told, errors=()) == "check"
    assert flag_of("pat_cart", checks, "thickness") == "missing"
    assert overall(checks, [{"code": "CARTILAGE_MISSING", "severity": "serious"}], errors=()) == "poor"


def test_a_warning_that_a_rule_repeats_is_said_once() -> None:
    assert set(SAID_BY_A_RULE) & set(ACTIONS) == set()
    checks = check_knee(KneeFacts(**verdict("low")))
    assert already_said({"code": "LOW_CONFIDENCE"}, checks)
    assert not already_said({"code": "LOW_CONFIDENCE"}, [])
    assert not already_said({"code": "T2_LOW_SPOILING"}, checks)


def test_share_of_stray_voxels() -> None:
    volume = labels(PATELLA, ((5, 10), (20, 5), (30, 5)))["labels"]
    assert astray_percent(volume) == {PATELLA: pytest.approx(100 * 250 / 1250)}
    corner = copy.deepcopy(volume.array)
    corner[:] = 0
    corner[5:10, 5:10, 5:10] = corner[10:15, 10:15, 10:15] = 12  # subregions are parts by definition
    assert astray_percent(volume.with_array(corner)) == {}


@pytest.mark.parametrize(("name", "side"), [
    ("/home/x/Knee_RIGHT.nii.gz", "right"), ("C1234_leftknee/", "left"), ("KneeL", "left"), ("rt_dess", "right"),
    ("/left/knee.nrrd", None), ("wright.nrrd", None), ("left_right", None), (None, None), ("L", None)])
def test_the_side_in_a_name(name: str | None, side: str | None) -> None:
    assert side_of_name(name) == side


def test_names_leave_nothing_but_a_side(right_knee: SimpleNamespace) -> None:
    sides = named_sides({"input": "/scans/Jane_Doe_left", "segmentation": "/scans/Doe_knee_R.nrrd"})
    assert sides == {"name": "left", "labels_name": "right"}
    record = build_results(prefix="knee", run=run_facts({}, []), side="right", side_from="labels", other_sides=sides,
                           regions=right_knee.regions)
    validate_results(record)
    assert record["side"]["agrees_with"] == {"name": False, "labels_name": True}
    assert [c["message"] for c in record["quality"]["checks"] if c["code"] == "SIDE_DISAGREES"] == [
        "This was measured as a right knee, but the name of the input says left."]
    assert "Doe" not in str(record)
    assert named_sides({"input": "a_left.nrrd", "segmentation": "a_left.nrrd"}) == {"name": "left"}


def test_excluded_voxels_stand_in_the_tidy_table_layer_by_layer() -> None:
    tally = {depth: {"n": n, "excluded": e} for depth, n, e in (("all", 10, 4), ("deep", 6, 1), ("superficial", 4, 3))}
    measures = {f"{layer}t2_ms_mean": 40.0 for layer in ("", "deep_", "superficial_")}
    record = build_results(prefix="knee", run=run_facts({}, []), t2={
        "sequence": "qdess", "t2_method": "spoiled", "regions": {"pat_cart": measures}, "counts": {"pat_cart": tally}})
    rows = {(r["depth"], r["measure"]): r for r in tidy_rows(record)}
    assert {depth: rows[depth, "t2_excluded_voxels"]["value"] for depth in tally} == {
        "all": 4, "deep": 1, "superficial": 3}
    assert rows["deep", "t2_excluded_voxels"]["n"] == 7
    assert rows["superficial", "t2_ms_mean"]["n"] == 4
    assert {r["method"] for r in rows.values()} == {"qdess-spoiled"}
    assert {r["quality_flag"] for r in rows.values()} == {"check"}  # few voxels, many excluded


def test_the_t2_map_never_makes_a_knee_poor() -> None:
    """What is wrong with T2 stands at T2; thickness and shape are as good as before."""
    assumed = {"code": "T2_SEQUENCE_ASSUMED", "flag": "poor"}
    failed = [{"code": "DICOM_ERROR", "message": "No echoes.", "part": "t2"}]
    assert overall([assumed], [{"code": "T2_SEQUENCE_ASSUMED", "severity": "serious"}]) == "check"
    assert overall([], [], failed) == "check"
    assert overall([], [], [*failed, {"code": "NSM_FAILED", "message": "No fit.", "part": "shape"}]) == "poor"
    assert overall([assumed], [{"code": "SIDE_GUESSED", "severity": "serious"}]) == "poor"
