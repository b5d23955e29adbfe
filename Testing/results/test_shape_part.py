"""The femur's shape, the network's confidence and the notices: in the record, the tidy table and the report."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from KneePipelineLib.results import ShapePicture, build_results, run_facts, validate_results
from KneePipelineLib.results.figures.shape import CUTS, FEMUR_VIEWS, cut_svg, outlines, render_errors, score_svg
from KneePipelineLib.results.references import References
from KneePipelineLib.results.report import report_html
from KneePipelineLib.results.tidy import TIDY_COLUMNS, tidy_rows

from .conftest import sphere
from .test_report import Page
from .test_t2 import T2

FIT = {
    "latent": [0.3, 0.4], "icp_transform": [[1.0]], "center": [0.0], "scale": 1.0, "assd_bone_mm": 0.21,
    "hausdorff95_bone_mm": 0.7, "assd_cartilage_mm": 0.75, "hausdorff95_cartilage_mm": 1.9, "mirrored": True,
    "loss": 0.002, "method": "fast", "seed": 42, "steps": 50, "model": "shape_647",
    "vertices": {"femur": 100, "fem_cart": 50},
}
BONE = {key: value for key, value in FIT.items() if "cartilage" not in key} | {"model": "own"}
SCORES = {"bone_and_cart": 2.5, "models": {"bone_and_cart": {"shape_model": "shape_647", "bscore": "bscore_647"}}}
MARK = {"name": "femur", "title": "Femur", "level": "low", "reasons": ["the network was undecided"],
        "volume_ml": 100.2, "margin": 0.41, "pieces": 3, "kept_share": 0.97, "border_share": 0.01}


def record_of(**more) -> dict:
    record = build_results(**{"prefix": "knee", "run": run_facts({}, []), "side": "left", "side_from": "labels",
                              "fits": {"bone_and_cart": FIT, "bone_only": BONE}, "scores": SCORES, **more})
    validate_results(record)
    return record


def picture(shift_mm: float = 0.0) -> ShapePicture:
    points, triangles = sphere()
    moved = (30 * points + [shift_mm, 0, 0]).astype(np.float32)
    return ShapePicture("bone_and_cart", "femur", moved, triangles,
                        np.full(len(points), abs(shift_mm), np.float32), ((30 * points).astype(np.float32), triangles))


def test_fits_in_the_record() -> None:
    shape = record_of()["shape"]
    both, bone = shape["bone_and_cart"], shape["bone_only"]
    assert both["surfaces"]["fem_cart"] == {"assd_mm": 0.75, "hausdorff95_mm": 1.9, "vertices": 50}
    assert both["latent_norm"] == pytest.approx(0.5)
    assert (both["bscore"], both["bscore_model"], both["model"]) == (2.5, "bscore_647", "shape_647")
    assert (bone["bscore"], bone["bscore_model"], list(bone["surfaces"])) == (None, None, ["femur"])
    assert "latent" not in both  # it is in the file that record names
    assert record_of()["status"] == "complete"
    assert "shape" not in record_of(fits=None)


def test_fits_in_the_tidy_table() -> None:
    rows = list(tidy_rows(record_of()))
    assert all(set(row) == set(TIDY_COLUMNS) for row in rows)
    by_key = {(r["method"].split("-")[1], r["region"], r["measure"]): r for r in rows}
    assert len(by_key) == len(rows) == 10
    error = by_key["bone_and_cart", "fem_cart", "shape_assd_mm"]
    assert (error["value"], error["unit"], error["n"], error["structure"]) == (0.75, "mm", 50, "femur")
    assert error["quality_flag"] == "check"  # 0.75 mm is more than a good fit leaves
    score = by_key["bone_and_cart", "femur", "bscore"]
    assert (score["value"], score["unit"], score["quality_flag"]) == (2.5, "SD", "check")
    assert score["method"] == "shape-bone_and_cart-shape_647-bscore_647"
    assert by_key["bone_only", "femur", "bscore"]["quality_flag"] == "missing"


def test_a_bad_fit_casts_doubt_on_its_own_numbers_only() -> None:
    bad = {**FIT, "assd_cartilage_mm": 1.4}
    rows = list(tidy_rows(record_of(fits={"bone_and_cart": bad, "bone_only": BONE},
                                    scores={"bone_and_cart": 2.5, "bone_only": 1.5})))
    flags = {(r["method"].split("-")[1], r["region"], r["measure"]): r["quality_flag"] for r in rows}
    assert flags["bone_and_cart", "fem_cart", "shape_assd_mm"] == "poor"
    assert flags["bone_and_cart", "femur", "shape_assd_mm"] == "ok"
    assert flags["bone_and_cart", "femur", "bscore"] == "poor"  # fitted to both surfaces at once
    assert {flag for (kind, *_), flag in flags.items() if kind == "bone_only"} == {"ok"}
    rows = list(tidy_rows(record_of(fits={"bone_and_cart": FIT, "bone_only": {**BONE, "assd_bone_mm": 1.2}})))
    assert {r["quality_flag"] for r in rows if "bone_only" in r["method"] and r["region"] == "femur"} == {
        "poor", "missing"}
    assert "poor" not in {r["quality_flag"] for r in rows if "bone_and_cart" in r["method"]}


def test_the_report_shows_score_errors_and_pictures() -> None:
    page = Page(report_html(record_of(), shapes=[picture(0.5)]))
    for words in ("BScore", "+".join(["2.50"]), "0.21", "0.75", "unlike healthy", "not a diagnosis", "Sagittal cut",
                  "Bone and cartilage: femoral cartilage", "ShapeMed-Knee"):
        assert words in page.text, words
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert sum("Distance of the reconstructed femur" in label for label in labels) == len(FEMUR_VIEWS)
    assert sum("outlines" in label for label in labels) == len(CUTS)
    assert any("BScore on a scale" in label and "2.5" in label for label in labels)
    assert "the latent is in NSM_recon_params.json and NSM_bone_only_recon_params.json." in page.text
    alone = Page(report_html(record_of(fits={"bone_only": BONE}, scores=None)))
    assert "the latent is in NSM_bone_only_recon_params.json." in alone.text
    assert "Shape of the femur" not in Page(report_html(record_of(fits=None))).text.split("rules that were applied")[1]
    unscored = Page(report_html(record_of(scores=None)))
    assert "fitted but not scored" in unscored.text


def test_confidence_and_notices() -> None:
    notice = "for trying out, not validated for research"
    run = run_facts({}, [], segmentation="network", model={"name": "bundled", "notice": notice})
    confidence = {"level": "low", "reasons": ["Femur: undecided."], "structures": {"femur": MARK}}
    record = record_of(run=run, confidence=confidence, notices=[("shape_647", "non-commercial use only")])
    assert record["notices"] == [{"about": "bundled", "message": notice},
                                 {"about": "shape_647", "message": "non-commercial use only"}]
    assert record["confidence"] == confidence
    assert record["quality"]["overall"] == "poor"
    said_twice = [("BUNDLED_NETWORK", notice.capitalize() + ".")]
    again = record_of(run=run, warnings=said_twice)
    assert again["quality"]["overall"] != "poor"
    assert Page(report_html(again)).text.count("For trying out, not validated for research.") == 1
    page = Page(report_html(record))
    row = page.cells.index("100.2")
    assert page.cells[row - 1 : row + 6] == ["Femur", "100.2", "0.41", "3", "97.0", "1.0", "check"]
    for words in ("For trying out, not validated for research.", "Non-commercial use only."):
        assert page.text.index(words) < page.text.index("Quality")
    assert "confidence" not in record_of()


def test_errors_are_drawn_where_they_are() -> None:
    def red(shift_mm: float) -> float:
        pixels = render_errors(picture(shift_mm), FEMUR_VIEWS[0]).pixels.astype(int)
        solid = pixels[pixels[..., 3] == 255]
        return float((solid[:, 0] > 2 * solid[:, 2]).mean())

    assert red(0.0) == 0.0
    assert red(2.0) > 0.5


def test_outlines_are_closed_circles_of_the_right_size() -> None:
    points, triangles = sphere()
    loops = outlines(30.0 * points, triangles, axis=1, level=18.0)
    assert len(loops) == 1
    radii = np.linalg.norm(loops[0], axis=1)
    assert np.abs(radii - 24.0).max() < 0.2
    np.testing.assert_allclose(loops[0][0], loops[0][-1])
    length = np.linalg.norm(np.diff(loops[0], axis=0), axis=1).sum()
    assert length == pytest.approx(2 * np.pi * 24, rel=0.01)
    assert outlines(30.0 * points, triangles, axis=2, level=31.0) == []
    two = np.vstack([points, points + [5, 0, 0]])
    assert len(outlines(two, np.vstack([triangles, triangles + len(points)]), axis=2, level=0.013)) == 2


def test_both_outlines_and_a_score_off_the_scale_are_drawn_inside() -> None:
    drawing = cut_svg(CUTS[0], [picture(1.0)], None, "Coronal cut")
    assert drawing.count('class="original"') == drawing.count('class="recon"') == 1
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawing).groups())
    places = np.array(re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", drawing.split("<text")[0]), float)
    assert (places > 0).all()
    assert (places < [width, height]).all()
    scale = score_svg([("bone only", 11.3), ("other", -6.2)], "BScore")
    assert all(0 < float(x) < 640 for x in re.findall(r'cx="(-?[\d.]+)"', scale))
    assert "−6.2" in scale


@pytest.mark.parametrize(("model", "words"), [
    ({"name": "nnunet_fullres", "title": "nnU-Net, full resolution", "kind": "nnunet"}, "self-configuring method"),
    ({"name": "goyal_axial", "title": "Planar network, axial", "kind": "planar", "citation": "Goyal et al."},
     "slice by slice"),
    ({"name": "staple", "title": "Consensus", "citation": "Goyal et al."}, "STAPLE"),
    ({"name": "bundled", "title": "Bundled network"}, "not validated for research"),
    ({"name": "mine"}, "segmented by mine"),
])
def test_methods_name_the_network_and_cite_it(model: dict, words: str, right_knee: SimpleNamespace) -> None:
    run = run_facts({"t2_fit": "linear", "seed": 7}, [], segmentation="network", model=model, corrected=True, seed=7)
    source = report_html(record_of(run=run, regions=right_knee.regions, menisci=right_knee.menisci, t2=T2))
    page = Page(source)
    text = page.text[page.text.index("Methods"):]
    assert words in text
    assert "corrected by hand" in text
    assert "t2_fit linear" in text
    assert "seed 7" in text
    cited = {int(n) for group in re.findall(r"\[([\d, ]+)\]", text) for n in group.split(",")}
    listed = source.split('<ol class="references">')[1].split("</ol>")[0].count("<li>")
    assert cited == set(range(1, listed + 1))  # every work that is listed is cited, and the other way round
    works = text[text.index("References"):]
    assert "Eckstein F" in works
    assert "Taha AA" in works


def test_a_work_keeps_its_number() -> None:
    cited = References()
    assert [cited("qdess"), cited("own text", "qdess"), cited("bscore")] == ["[1]", "[2, 1]", "[3]"]
    assert len(cited.texts) == 3
