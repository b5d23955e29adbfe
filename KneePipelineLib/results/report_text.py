"""The report's words: title, banners, quality, methods, provenance."""

from __future__ import annotations

from collections.abc import Mapping

from ..morphometry import MorphometryOptions
from .markup import MISSING, banner, facts, flag, number, paragraph, text
from .report_t2 import t2_method
from .wording import BUNDLED_NOTICE, MEASURE_TABLE, MENISCUS_TABLE, T2_TABLE

_SOURCES = {"network": "segmented by the network", "given": "labels given by the user",
            "truth": "the digital knee's own labels", "none": "no labels"}
_SIDE_FROM = {"option": "as asked for", "labels": "from the tibial cartilages", "header": "from the image's header",
              "truth": "known", "none": "not determined"}
_GLANCE = ("fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart")
_OVERALL = {
    "ok": ("No rule asks for attention.",
           "The rules catch failed segmentations; they do not replace looking at the pictures."),
    "check": ("Look at the points below before using the numbers.", ""),
    "poor": ("Do not use the numbers before the points below have been looked at.", ""),
}


def title(record: Mapping) -> str:
    """The document's title."""
    return f"{_side(record)}: cartilage report ({record['prefix']})"


def heading(record: Mapping) -> str:
    """Title and the line that says what this is."""
    run = record["run"]
    source = _SOURCES.get(run.get("segmentation", "none"), "")
    if run.get("segmentation") == "network" and run.get("model"):
        source = f"segmented by {run['model'].get('title') or run['model']['name']}"
    parts = [*_input_words(record["input"]), source, _side_reason(record)]
    line = " · ".join(p for p in parts if p)
    summary = paragraph(line[:1].upper() + line[1:], kind="summary")
    return (f'<header>\n<p class="kind">Cartilage report · {text(record["prefix"])}</p>\n'
            f"<h1>{text(_side(record))}</h1>\n{summary}\n</header>")


def banners(record: Mapping) -> str:
    """What a reader must know before any number."""
    run, found = record["run"], []
    if run["practice"]:
        found.append(banner("Practice run.", "The analysis was replaced by a stand-in; no number here was measured."))
    model = run.get("model") or {}
    notice = model.get("notice") or (BUNDLED_NOTICE if model.get("name") == "bundled" else "")
    if notice:
        found.append(banner("About the model.", notice[:1].upper() + notice[1:].rstrip(".") + "."))
    if run.get("segmentation") == "truth":
        found.append(banner("Demonstration.", "Nothing was segmented: these are the digital knee's own labels, "
                            "measured as any segmentation would be.", "note"))
    for error in record["errors"]:
        part = f"{error['part']}: " if error.get("part") else ""
        found.append(banner(f"{part}{error['message']}", error.get("hint", ""), "alarm"))
    return "\n".join(found)


def at_a_glance(record: Mapping) -> str:
    """The four means that everybody looks for first."""
    items = []
    for region in _GLANCE:
        entry = record["regions"].get(region)
        mean = entry["measures"].get("mm_mean") if entry else None
        if mean is not None:
            items.append(f'<li><span class="what">{text(entry["title"])}</span><span class="value">{number(mean, 2)}'
                         '</span> <span class="unit">mm mean</span></li>')
    return f'<ul class="glance" aria-label="Mean thickness">{"".join(items)}</ul>' if items else ""


def quality(record: Mapping) -> str:
    """The overall flag, then every check, warning and skipped part, the worst first."""
    order = {"poor": 0, "serious": 0, "missing": 1, "check": 2, "warning": 2, "info": 3, "ok": 4}
    points = [(c["flag"], c["message"]) for c in record["quality"]["checks"]]
    points += [(w["severity"], w["message"]) for w in record["warnings"]]
    points += [("info", f"Not done: {s['part']} ({s['reason']}).") for s in record["skipped"]]
    points.sort(key=lambda p: order.get(p[0], 2))
    items = "".join(f"<li><span>{flag(word)}</span><span>{text(message)}</span></li>" for word, message in points)
    overall = record["quality"]["overall"]
    verdict, explanation = _OVERALL[overall]
    first = f"<li><span>{flag(overall)}</span><span><strong>{text(verdict)}</strong> {text(explanation)}</span></li>"
    return f'<ul class="flags">{first}{items}</ul>'


def methods(record: Mapping) -> str:
    """A paragraph that can be pasted into a paper."""
    run = record["run"]
    version = run["versions"]["KneePipeline"]
    options = run["options"]
    defaults = MorphometryOptions()
    variance = options.get("image_smooth_var_cart", defaults.cartilage_variance_mm2)
    femur_vertices, patella_vertices = defaults.vertices["femur"], defaults.vertices["patella"]
    model = run.get("model")
    labels = {
        "network": f"The knee was segmented by {model.get('title') or model['name']}." if model else "",
        "given": "The segmentation was supplied.",
        "truth": "The labels are the digital knee's own.",
    }.get(run.get("segmentation", ""), "")
    return paragraph(
        f"Measured with KneePipeline {version}.", labels,
        f"Bone surfaces are the 0.5 iso-surface of the binary label after Gaussian smoothing (variance "
        f"{defaults.bone_variance_mm2:g} mm²; cartilage {variance:g} mm²), simplified to about "
        f"{femur_vertices:,} vertices for femur and tibia and {patella_vertices:,} for the patella.",
        f"At each vertex a ray runs along the surface normal from {defaults.ray_inside_mm:g} mm inside the bone to "
        f"{defaults.ray_outside_mm:g} mm outside; thickness is the distance between entering and leaving the cartilage "
        "surface, and the vertex takes the region label found along its ray.",
        "The femoral cartilage is divided at the trochlear notch and at 60 % of the way from there to the most "
        "posterior cartilage, in a frame derived from the bones themselves.",
        f"Bare bone counts as denuded where cartilage encloses it, after a geodesic closing of {defaults.closing_mm:g} "
        "mm; a compartment that is bare to its edge is therefore underestimated.",
        t2_method(record["t2"]) if record.get("t2") else "",
        "Nomenclature after Eckstein et al., Osteoarthritis and Cartilage 2006;14:974-983.",
    )


def definitions(record: Mapping) -> str:
    """One sentence for every measure in the tables."""
    entries = [(_term(m.name, m.heading), m.definition) for m in MEASURE_TABLE.values()] if record["regions"] else []
    if any(m in entry["measures"] for entry in record["regions"].values() for m in T2_TABLE):
        entries.append(("T2", "Mean, standard deviation and median over a region's voxels whose T2 counts; deep and "
                        "superficial: nearer to the bone and nearer to the articular surface."))
    if record["menisci"]:
        entries += [(f"Meniscus {m.heading.lower()}", m.definition) for m in MENISCUS_TABLE.values()]
    items = "".join(f"<dt>{text(term)}</dt><dd>{text(sentence)}</dd>" for term, sentence in entries)
    return f"<h3>Measures</h3><dl>{items}</dl>" if items else ""


def provenance(record: Mapping) -> str:
    """Versions, options, times and files."""
    run = record["run"]
    made = {"Made": record["created"].replace("T", " ").replace("Z", " UTC"), "Status": record["status"],
            "Steps": ", ".join(run["steps"]) or MISSING}
    for key, name in (("device", "Device"), ("seed", "Seed")):
        if key in run:
            made[name] = str(run[key])
    if run.get("model"):
        made["Model"] = " ".join(str(run["model"][k]) for k in ("name", "sha256") if k in run["model"])
    made["Options digest"] = run["options_digest"]
    options = {key: _shown(value) for key, value in run["options"].items()}
    times = {stage: f"{seconds:.2f} s" for stage, seconds in run.get("timings_s", {}).items()}
    files = {o["path"]: o["title"] for o in record["outputs"]}
    left = facts("Run", made) + facts("Times", times) + facts("Versions", run["versions"])
    right = facts("Options", options) + facts("Files beside this report", files)
    return f'<div class="columns"><div>{left}</div><div>{right}</div></div>'


def footer(record: Mapping) -> str:
    """The last line."""
    return ("<footer>" + text("For research. Not a medical device and not for diagnosis. The same numbers, with all "
                              "digits, are in results.json and results.csv.") + "</footer>")


def _side(record: Mapping) -> str:
    side = record["side"]["value"]
    return f"{side.capitalize()} knee" if side in ("right", "left") else "Knee, side unknown"


def _side_reason(record: Mapping) -> str:
    reason = _SIDE_FROM.get(record["side"]["determined_by"], "")
    return f"side {reason}" if reason else ""


def _input_words(facts_: Mapping) -> list[str]:
    found = [" ".join(w for w in (facts_.get("sequence"), facts_.get("kind")) if w)
             + (" (labels only)" if facts_.get("content") == "labels" else "")]
    if "size" in facts_:
        found.append(" × ".join(str(n) for n in facts_["size"]) + " voxels of "
                     + " × ".join(f"{s:.2f}" for s in facts_["spacing_mm"]) + " mm")
    if "orientation" in facts_:
        found.append(f"axes {facts_['orientation']}")
    return [f for f in found if f]


def _term(name: str, heading: str) -> str:
    return {"dAB_mm2": "dAB", "dAB_percent": "dAB %"}.get(name, heading)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or MISSING
    if isinstance(value, list):
        return ", ".join(str(v) for v in value) or MISSING
    return MISSING if value in (None, "") else str(value)
