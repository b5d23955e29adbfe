"""Whether a knee's numbers are plausible: the rules of `rules.RULES`, applied.

Each function below looks at one kind of facts and yields an entry for every rule that fires; what is not known is not
judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..imaging.labels import BY_NAME, BY_VALUE, CARTILAGES, LATERAL_MENISCUS, MEDIAL_MENISCUS, REGIONS
from ..imaging.slices import slice_axis
from ..imaging.volume import Volume
from .counts import histogram
from .pieces import astray_percent
from .rules import EVERYTHING, RULES, SAID_BY_A_RULE, T2
from .tables import number
from .wording import REGION_BONES, SIDE_SOURCES, title_of

MENISCI = (MEDIAL_MENISCUS, LATERAL_MENISCUS)
SLICE_SHARE = 0.6
"""Slices thicker than this share of the mean thickness are thick."""

_ORDER = ("ok", "check", "poor")
T2_PARTS = ("echoes", "t2")
_EXCLUSIONS = {"no_signal": "without signal", "no_decay": "without decay", "above_range": "above the range",
               "poor_fit": "fitted poorly", "outside_field_of_view": "outside the echoes' field of view"}


@dataclass(frozen=True)
class KneeFacts:
    """What the rules look at; everything may be missing.

    Attributes
    ----------
    regions, counts, menisci, t2 : mapping
        As `record.build_results` has them.
    labels : Volume or None
    side : str
    other_sides : mapping of source to side
    confidence : mapping
        As `segmentation.Confidence.to_dict`.
    fits : mapping
        As `shape_record.shape_facts`'s.
    warnings : sequence of (code, sentence)
        From other rooms; a rule of the same code passes them on to the numbers that they are about.
    """

    regions: Mapping[str, Mapping] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    menisci: Mapping[str, Mapping] = field(default_factory=dict)
    t2: Mapping = field(default_factory=dict)
    labels: Volume | None = None
    side: str = "unknown"
    other_sides: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping = field(default_factory=dict)
    fits: Mapping[str, Mapping] = field(default_factory=dict)
    warnings: Sequence[tuple[str, str]] = ()


def check_knee(facts: KneeFacts) -> list[dict]:
    """Every rule that fires on a knee, in the order of the table."""
    finders = (_thickness, _footprint, _labels, _confidence, _side, _menisci, _t2, _shape)
    found = [finding for look in finders for finding in look(facts)]
    order = list(RULES)
    return sorted(found, key=lambda finding: order.index(finding["code"]))


def worst(flags: list[str]) -> str:
    """The worst of several flags; ``ok`` when there are none.

    ``missing`` counts as ``check``: what is not there makes no other number wrong, as where a scan leaves the patella
    out. A cartilage that should be there has a serious warning of its own.
    """
    ranks = [_ORDER.index("check" if flag == "missing" else flag) for flag in flags]
    return _ORDER[max(ranks, default=0)]


def overall(checks: list[dict], warnings: list[dict], errors: Sequence[Mapping] = ()) -> str:
    """The knee's flag: the worst of rules and warnings; ``poor`` after an error.

    What is about the T2 map alone counts as ``check`` at most: it makes no thickness, volume or shape wrong, and stands
    beside the T2 itself.
    """
    flags = [(check["flag"], RULES[check["code"]].about == T2) for check in checks]
    flags += [({"info": "ok", "warning": "check", "serious": "poor"}[w["severity"]], w["code"].startswith("T2_"))
              for w in warnings]
    flags += [("poor", error.get("part") in T2_PARTS) for error in errors]
    return worst(["check" if of_t2 and flag == "poor" else flag for flag, of_t2 in flags])


def flag_of(subject: str, checks: list[dict], *about: str, fit: str | None = None) -> str:
    """A structure's or region's flag: the worst of the rules about these kinds of numbers of it.

    What throws doubt on the whole femoral cartilage throws doubt on each of its subregions, and what has no subject,
    like a segmentation of low confidence, on everything. With ``fit``, what was found about another fit of the shape
    does not count.
    """
    flags = []
    for check in checks:
        rule, of = RULES[check["code"]], check.get("subject")
        part = of == "fem_cart" and subject.endswith("_fem_cart") and rule.about == EVERYTHING
        other_fit = fit is not None and check.get("fit", fit) != fit
        if (of in (None, subject) or part) and rule.about in (EVERYTHING, *about) and not other_fit:
            flags.append(check["flag"])
    return "missing" if "missing" in flags else worst(flags)


def already_said(warning: Mapping, checks: list[dict], notices: Sequence[Mapping] = ()) -> bool:
    """Whether a rule or a notice says what a warning says."""
    told = warning.get("message", "").rstrip(".").lower()
    return (any(notice["message"].rstrip(".").lower() == told for notice in notices)
            or any(check["code"] in SAID_BY_A_RULE.get(warning["code"], ()) for check in checks))


def _footprint(facts: KneeFacts) -> Iterator[dict]:
    """Passes on that a bone has no footprint, to each of its regions."""
    for code, sentence in facts.warnings:
        if code == "FOOTPRINT_NOT_FITTED":
            for region in (r for r in REGIONS if r in facts.regions and f" {REGION_BONES[r]} " in sentence):
                yield RULES[code].finding(sentence, region)


def _thickness(facts: KneeFacts) -> Iterator[dict]:
    for region in REGIONS if facts.regions else ():
        measures, title = facts.regions.get(region), title_of(region)
        mean = number((measures or {}).get("mm_mean"))
        if mean is None and number((measures or {}).get("dAB_percent")) == 100:
            yield from _outside("DENUDED_BONE", region, 100.0, f"{title}: all of the bone is bare; worn, or missed by "
                                "the segmentation.")
            continue
        if mean is None:
            yield RULES["REGION_MISSING"].finding(f"{title}: no cartilage was measured.", region)
            continue
        yield from _outside("THICKNESS_RANGE", region, mean, f"{title}: a mean thickness of {mean:.2f} mm is outside "
                            "LOW to HIGH mm.")
        if "ThC_cAB_mm" in measures and number(measures["ThC_cAB_mm"]) is None:
            yield RULES["NO_COVERED_BONE"].finding(f"{title}: a mean thickness of {mean:.2f} mm was read, but no "
                                                   "cartilage lies on the bone of this region.", region)
        yield from _across_slices(facts, region, mean)
        denuded = number(measures.get("dAB_percent"))
        yield from _outside("DENUDED_BONE", region, denuded, f"{title}: {denuded or 0:.0f} % of the bone is bare; a "
                            "defect, or missed by the segmentation.")
        vertices = facts.counts.get(region, {}).get("vertices_field")
        yield from _outside("FEW_POINTS", region, vertices, f"{title}: only {vertices} surface points were measured.")


def _across_slices(facts: KneeFacts, region: str, mean_mm: float) -> Iterator[dict]:
    """Where slices are thick against the cartilage, and the bone of a region faces along them."""
    axis = None if facts.labels is None else slice_axis(facts.labels.spacing)
    counts = facts.counts.get(region, {})
    if axis is None or not counts.get("vertices_total"):
        return
    slice_mm = float(facts.labels.spacing[axis])
    percent = 100 * counts.get("vertices_along_slices", 0) / counts["vertices_total"]
    if slice_mm > SLICE_SHARE * mean_mm:
        yield from _outside("SLICE_DIRECTION", region, round(percent, 1), f"{title_of(region)}: {percent:.0f} % of its "
                            f"bone faces along slices of {slice_mm:.1f} mm, more than HIGH %: cartilage of "
                            f"{mean_mm:.1f} mm is read across fewer than two of them there.")


def _labels(facts: KneeFacts) -> Iterator[dict]:
    """Volume, pieces and border of each structure that the network's own verdict does not doubt already."""
    from ..segmentation import PLAUSIBLE_ML

    if facts.labels is None:
        return
    doubted = {name for name, mark in facts.confidence.get("structures", {}).items() if mark["level"] == "low"}
    array = np.asarray(facts.labels.array)
    voxels = histogram(array)
    faces = np.concatenate([np.unique(array.take(index, axis)) for axis in range(3) for index in (0, -1)])
    for value, percent in astray_percent(facts.labels).items():
        structure = BY_VALUE[value]
        if structure.name in doubted:
            continue
        low, high = PLAUSIBLE_ML[value]
        volume_ml = float(voxels[value]) * facts.labels.voxel_volume_mm3 / 1000
        if not low <= volume_ml <= high:
            yield RULES["VOLUME_RANGE"].finding(
                f"{structure.title}: a volume of {volume_ml:.2g} ml is outside {low:g} to {high:g} ml.",
                structure.name, round(volume_ml, 3)) | {"unit": "ml", "limits": [low, high]}
        yield from _outside("SEVERAL_PIECES", structure.name, round(percent, 2), f"{structure.title}: {percent:.0f} % "
                            "of it lies apart from its largest piece.")
        if value in (*CARTILAGES, *MENISCI) and value in faces:
            yield RULES["CARTILAGE_AT_BORDER"].finding(
                f"{structure.title} reaches the edge of the image; part of it may be cut off.", structure.name)


def _confidence(facts: KneeFacts) -> Iterator[dict]:
    if facts.confidence.get("level") == "low":
        yield RULES["LOW_CONFIDENCE"].finding("The confidence in the segmentation as a whole is low; no shape model "
                                              "is fitted to it.")
    for name, mark in facts.confidence.get("structures", {}).items():
        if mark["level"] == "low":
            reasons = "; ".join(mark["reasons"])
            yield RULES["STRUCTURE_DOUBTFUL"].finding(f"{mark['title']}: the segmentation is doubtful: {reasons}.",
                                                        name)


def _side(facts: KneeFacts) -> Iterator[dict]:
    for source, other in facts.other_sides.items():
        if other in ("right", "left") and facts.side in ("right", "left") and other != facts.side:
            yield RULES["SIDE_DISAGREES"].finding(f"This was measured as a {facts.side} knee, but "
                                                  f"{SIDE_SOURCES.get(source, source)} says {other}.")


def _menisci(facts: KneeFacts) -> Iterator[dict]:
    for name, measures in facts.menisci.items():
        title, coverage = BY_NAME[name].title, number(measures.get("coverage_percent"))
        extrusion = number(measures.get("extrusion_mm"))
        if not number(measures.get("volume_mm3")):
            continue  # it is not there, and a warning says so
        yield from _outside("MENISCUS_COVERAGE", name, coverage, f"{title}: it covers {coverage or 0:.0f} % of the "
                            "tibial cartilage's area, outside LOW to HIGH %.")
        yield from _outside("MENISCUS_EXTRUSION", name, extrusion, f"{title}: an extrusion of {extrusion or 0:.1f} mm "
                            "is outside LOW to HIGH mm.")


def _t2(facts: KneeFacts) -> Iterator[dict]:
    for code, sentence in facts.warnings:
        if code == "T2_SEQUENCE_ASSUMED":
            yield RULES[code].finding(sentence)
    for region, counts in facts.t2.get("counts", {}).items():
        tally = counts.get("all")
        if tally is None:
            continue
        title, total = title_of(region), max(tally["n"] + tally["excluded"], 1)
        share, poor = (round(100 * tally.get(key, 0) / total, 3) for key in ("excluded", "poor_fit"))
        reasons = {key: tally.get(key, 0) for key in _EXCLUSIONS}
        main = max(reasons, key=reasons.get)
        why = f", mostly {_EXCLUSIONS[main]}" if reasons[main] else ""
        yield from _outside("T2_EXCLUDED", region, share, f"{title}: {share:.0f} % of the voxels have no usable "
                            f"T2{why}.")
        yield from _outside("T2_POOR_FIT", region, poor, f"{title}: in {poor:.0f} % of the voxels the decay was fitted "
                            "poorly.")
        yield from _outside("T2_FEW_VOXELS", region, tally["n"], f"{title}: only {tally['n']} voxels have a T2 that "
                            "counts.")
        mean = number(facts.t2.get("regions", {}).get(region, {}).get("t2_ms_mean"))
        yield from _outside("T2_RANGE", region, mean, f"{title}: a mean T2 of {mean or 0:.1f} ms is outside "
                            "LOW to HIGH ms.")


def _shape(facts: KneeFacts) -> Iterator[dict]:
    for kind, fit in facts.fits.items():
        yield from ({**finding, "fit": kind} for finding in _fit(fit))


def _fit(fit: Mapping) -> Iterator[dict]:
    for structure, surface in fit["surfaces"].items():
        assd = number(surface["assd_mm"])
        code = "SHAPE_FIT_ERROR" if assd is None or RULES["SHAPE_FIT_FAILED"].allows(assd) else "SHAPE_FIT_FAILED"
        yield from _outside(code, structure, assd, f"Shape fit ({fit['title']}): the reconstructed "
                            f"{BY_NAME[structure].title.lower()} lies {assd or 0:.2f} mm from the original on average.")
    score = number(fit.get("bscore"))
    yield from _outside("BSCORE_RANGE", "femur", score, f"BScore ({fit['title']}): {score or 0:.1f} is outside LOW to "
                        "HIGH.")


def _outside(code: str, subject: str, value: float | None, sentence: str) -> Iterator[dict]:
    """The rule's entry when a known value is outside its limits; ``LOW``, ``HIGH`` in the sentence stand for them."""
    rule = RULES[code]
    if value is None or rule.allows(value):
        return
    for word, limit in (("LOW", rule.low), ("HIGH", rule.high)):
        if limit is not None:
            sentence = sentence.replace(word, f"{limit:g}".replace("-", "−"))
    yield rule.finding(sentence, subject, value)
