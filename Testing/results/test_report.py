"""report.html: complete, self-contained, safe and readable for everybody."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.results import build_results, input_facts, run_facts, write_report
from KneePipelineLib.results.markup import number
from KneePipelineLib.results.report import report_html
from KneePipelineLib.results.wording import MEASURE_TABLE, REGION_TITLES

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags with attributes, text by tag, and whether every tag was closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open):
                self.cells[-1] += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def record_of(knee, **more) -> dict:
    arguments = {
        "prefix": "knee", "run": run_facts({"seed": 42}, ["surfaces", "thickness"], timings_s={"surfaces": 1.25}),
        "input_facts": input_facts(knee.labels, kind="NRRD", content="labels"), "side": knee.side,
        "side_from": "labels", "regions": {r: dict.fromkeys(MEASURE_TABLE, 1.25 + i) for i, r in enumerate(REGIONS)},
        "menisci": knee.menisci, "labels": knee.labels, "warnings": knee.warnings,
        "skipped": [("T2", "no echoes were given")],
    }
    return build_results(**{**arguments, **more})


@pytest.fixture(scope="module")
def page_source(right_knee) -> str:
    return report_html(record_of(right_knee), right_knee.subregions, None, right_knee.surfaces)


def test_nothing_is_fetched_and_nothing_runs(page_source):
    page = Page(page_source)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "img"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                assert value.startswith("data:image/png;base64,")
            assert name != "style" or "url" not in value
    css = page_source.split("<style>")[1].split("</style>")[0]
    assert "@import" not in css
    assert "url(" not in css
    assert not re.search(r"(?:https?:)?//\w", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page_source))


def test_every_region_and_number_is_on_the_page(page_source):
    page = Page(page_source)
    for index, region in enumerate(REGIONS):
        assert REGION_TITLES[region] in page.text
        row = page.cells.index(REGION_TITLES[region])
        shown = list(MEASURE_TABLE.values())[:10]
        assert page.cells[row + 1 : row + 1 + len(shown)] == [number(1.25 + index, m.decimals) for m in shown]
    for measure in MEASURE_TABLE.values():
        assert measure.definition in page.text
    assert "Right knee" in page.text
    assert "no echoes were given" in page.text
    assert "60 mm of bone" in page.text
    assert "0 to 3 mm" in page.text  # the scale is stated
    assert page_source.count("<svg") == 4 + 7 + 1 + 1  # slices, views, scale, chart


def test_those_who_do_not_see_the_pictures_are_told(page_source):
    page = Page(page_source)
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert len(svg["aria-label"]) > 20
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 3
    assert all(th.get("scope") in ("row", "col", "colgroup") for th in page.all("th"))
    assert any("means: femur, all 1.25 mm" in svg["aria-label"].lower() for svg in page.all("svg"))


def test_what_comes_from_outside_cannot_become_html(right_knee):
    evil = '<script>alert("x")</script><img src=http://evil.example/a>'
    record = record_of(
        right_knee, warnings=[("X", evil)], skipped=[(evil, evil)],
        errors=[{"code": "DICOM_ERROR", "message": evil, "hint": evil, "part": evil}],
        input_facts={"kind": evil, "sequence": evil}, run=run_facts(
            {evil: evil, "device": "cpu"}, [evil], model={"name": evil, "notice": evil}, segmentation="network",
            versions={"KneePipeline": evil}, timings_s={evil: 1.0}, device=evil))
    record["outputs"].append({"role": "x", "path": "a&b.vtk", "type": "model", "title": evil})
    page = Page(report_html(record))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "alert(" in page.text  # shown as text


@pytest.mark.parametrize(("more", "words"), [
    ({"run": run_facts({}, [], model={"name": "bundled"}, segmentation="network")}, "not validated for research"),
    ({"run": run_facts({}, [], practice=True)}, "no number here was measured"),
    ({"run": run_facts({}, [], segmentation="truth")}, "the digital knee's own labels"),
    ({"errors": [{"code": "NSM_FAILED", "message": "No fit was found.", "hint": "Try again.", "part": "shape"}]},
     "Shape of the femur: No fit was found. There is no shape and no BScore; the other results are not affected. Try "
     "again."),
])
def test_banners_come_before_any_number(more, words, right_knee):
    page = Page(report_html(record_of(right_knee, **more)))
    assert words in page.text
    assert page.text.index(words) < page.text.index("mm over tAB")
    assert words not in Page(report_html(record_of(right_knee))).text


def test_the_truth_is_set_beside_the_measurement(right_knee):
    truth = {"fem_cart": {"mm_mean": 1.35, "VC_mm3": 1.0, "tAB_mm2": 0.0, "dAB_mm2": None}}
    page = Page(report_html(record_of(right_knee, truth=truth)))
    after = page.text.index("Measured against the truth")
    row = len(page.cells) - 1 - page.cells[::-1].index("Femur, all")
    assert page.cells[row + 1 : row + 10] == ["1.25", "1.35", "−0.10", "1", "1", "+25.0", "1", "0", "–"]
    assert after > page.text.index("Regions")
    assert "Measured against the truth" not in Page(report_html(record_of(right_knee))).text


def test_a_failed_run_still_has_a_report(tmp_path):
    record = build_results(prefix="knee", run=run_facts({}, []), errors=[
        {"code": "INVALID_FORMAT", "message": "The image has two dimensions.", "hint": "Give a 3-D one."}])
    output = write_report(tmp_path, record)
    page = Page((tmp_path / output.path).read_text("utf-8"))
    assert "Knee, side unknown" in page.text
    assert "Give a 3-D one." in page.text
    assert "Menisci" not in page.text


def test_parts_of_a_knee_make_parts_of_a_report(right_knee):
    surfaces = {b: s for b, s in right_knee.surfaces.items() if b != "patella"}
    regions = {"fem_cart": dict.fromkeys(MEASURE_TABLE, float("nan"))}
    source = report_html(record_of(right_knee, regions=regions, menisci={}), None, None, surfaces)
    page = Page(source)
    assert "Patella, from behind" not in page.text
    assert "Femur, from below" in page.text
    assert "nan" not in page.text.lower().split()
    assert "not measured" in page.text


def test_names_and_paths_stay_out(right_knee):
    labels = right_knee.labels.with_array(right_knee.labels.array, dicom_files=["/home/doe/1.dcm"], name="Doe^Jane")
    record = record_of(right_knee, input_facts=input_facts(labels, kind="DICOM series"),
                       run=run_facts({"input": "/home/doe/scans", "series": "Doe^Jane"}, []),
                       warnings=[("X", "Could not read /home/doe/scans/2.dcm")])
    source = report_html(record, labels, None, right_knee.surfaces)
    shown = re.sub(r"base64,[A-Za-z0-9+/=]+", "", source).lower()
    assert "doe^" not in shown
    assert "/home" not in shown
    assert ".dcm" not in shown


def test_the_page_stays_small_and_is_the_same_every_time(page_source, right_knee):
    assert len(page_source.encode()) < 3_000_000
    record = record_of(right_knee)
    first, second = (report_html(record, right_knee.subregions, None, right_knee.surfaces) for _ in range(2))
    assert first == second


def test_writing_the_report_again_replaces_it_whole(right_knee, tmp_path, monkeypatch):
    write_report(tmp_path, record_of(right_knee))
    before = (tmp_path / "report.html").read_bytes()
    from KneePipelineLib.results import report

    def broken(*_):
        raise RuntimeError("no pictures today")

    monkeypatch.setattr(report, "thickness_section", broken)
    with pytest.raises(RuntimeError):
        write_report(tmp_path, record_of(right_knee, prefix="other"), surfaces=right_knee.surfaces)
    assert (tmp_path / "report.html").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def themes(css: str) -> list[dict[str, str]]:
    """The colours of the light, dark and printed page."""
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    return [dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", block)) for block in blocks]


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio."""
    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
        value = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_text_has_contrast_in_light_dark_and_print(page_source):
    css = page_source.split("<style>")[1].split("</style>")[0]
    found = themes(css)
    assert len(found) == 3
    for theme in found:
        for ground in ("ground", "paper"):
            assert contrast(theme["ink"], theme[ground]) >= 7
            for ink in ("soft", "ok", "check", "poor", "accent"):
                assert contrast(theme[ink], theme[ground]) >= 4.5
        for ground in ("note", "caution", "alarm"):
            assert contrast(theme["ink"], theme[ground]) >= 7
    assert "@media print" in css
    assert "size: A4" in css


@pytest.mark.parametrize(("value", "decimals", "signed", "shown"), [
    (1.005, 2, False, "1.00"), (-0.004, 2, False, "0.00"), (-0.004, 2, True, "0.00"), (-1.5, 1, True, "−1.5"),
    (2.0, 0, True, "+2"), (None, 2, False, "–")])
def test_numbers_are_spelt_as_readers_expect(value, decimals, signed, shown):
    assert number(value, decimals, signed) == shown


def test_coarser_pictures_fill_the_same_page(right_knee):
    record = record_of(right_knee)
    fine, coarse = (report_html(record, right_knee.subregions, None, right_knee.surfaces, detail=detail)
                    for detail in (1.0, 0.5))
    assert len(coarse) < 0.6 * len(fine)

    def layout(source: str) -> list[str]:
        """Everything but the pixels."""
        return re.sub(r"base64,[A-Za-z0-9+/=]+", "", source).splitlines()

    assert layout(coarse) == layout(fine)


@pytest.mark.parametrize(("skipped", "words", "silent"), [
    ([("echoes", "no echoes were given"), ("t2", "no echoes were given")],
     "Not done: T2 map, because no echoes were given.", "echoes and"),
    ([("shape", "it is not installed"), ("score", "it is not installed")],
     "Not done: shape of the femur, because it is not installed.", "BScore, because"),
    ([("image", "INPUT is a label map")], "Not done: image, because INPUT is a label map.", "and image"),
])
def test_what_was_not_done_is_said_once_and_in_words(skipped, words, silent, right_knee):
    page = Page(report_html(record_of(right_knee, skipped=skipped)))
    assert words in page.text
    assert silent not in page.text


def test_quality_comes_first_and_says_what_to_do(right_knee):
    regions = {r: dict.fromkeys(MEASURE_TABLE, 1.25 + i) for i, r in enumerate(REGIONS)}
    regions["pat_cart"]["mm_mean"] = 7.0
    page = Page(report_html(record_of(right_knee, regions=regions, other_sides={
        "name": "left", "header": "right"})))
    assert "side from the label map, as the DICOM header says" in page.text
    assert page.text.index("Quality") < page.text.index("mm over tAB") < page.text.index("Cartilage by region")
    for words in ("outside 0.8 to 5 mm. Look at this structure", "name of the input says left. Find out which knee"):
        assert words in page.text
