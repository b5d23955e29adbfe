"""The report's words: title, banners, quality, provenance."""

from __future__ import annotations

from collections.abc import Mapping

from .markup import MISSING, banner, facts, flag, number, paragraph, text
from .quality import already_said
from .rules import RULES, Rule
from .wording import FOLLOWS_FROM_OTHERS, PARTS, SIDE_SOURCES

_SOURCES = {"network": "segmented by the network", "given": "labels that were supplied",
            "truth": "the digital knee's own labels", "none": "no labels"}
_SIDE_FROM = {"option": "as asked for", "labels": "from the label map", "header": "from the image's header",
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
    for notice in record.get("notices", []):
        message = notice["message"]
        found.append(banner(f"About the model {notice['about']}.", message[:1].upper() + message[1:].rstrip(".") + "."))
    if run.get("segmentation") == "truth":
        found.append(banner("Demonstration.", "Nothing was segmented: these are the digital knee's own labels, "
                            "measured as any segmentation would be.", "note"))
    for error in record["errors"]:
        part, left = PARTS.get(error.get("part", ""), (error.get("part", ""), ""))
        told = f"{part[:1].upper() + part[1:]}: {error['message']}" if part else error["message"]
        found.append(banner(told, " ".join(t for t in (left, error.get("hint", "")) if t), "alarm"))
    return "\n".join(found)


def at_a_glance(record: Mapping) -> str:
    """The few numbers that everybody looks for first."""
    items = []
    for region in _GLANCE:
        entry = record["regions"].get(region)
        mean = entry["measures"].get("ThC_tAB_mm") if entry else None
        if mean is not None:
            items.append((entry["title"], number(mean, 2), "mm over tAB"))
    t2 = record["regions"].get("fem_cart", {}).get("measures", {}).get("t2_ms_mean")
    if t2 is not None:
        items.append(("T2, femur", number(t2, 1), "ms mean"))
    score = next((f["bscore"] for f in record.get("shape", {}).values() if f["bscore"] is not None), None)
    if score is not None:
        items.append(("BScore", number(score, 1), "SD"))
    cells = "".join(f'<li><span class="what">{text(what)}</span><span class="value">{value}</span> '
                    f'<span class="unit">{unit}</span></li>' for what, value, unit in items)
    return f'<ul class="glance" aria-label="At a glance">{cells}</ul>' if cells else ""


def quality(record: Mapping) -> str:
    """The overall flag, then every rule that fired, every warning and every part not done, the worst first."""
    order = {"poor": 0, "serious": 0, "missing": 1, "check": 2, "warning": 2, "info": 3, "ok": 4}
    checks = record["quality"]["checks"]
    points = [(c["flag"], c["message"], c.get("action", "")) for c in checks]
    points += [(w["severity"], w["message"], w.get("action", "")) for w in record["warnings"]
               if not already_said(w, checks, record.get("notices", []))]
    points += [("info", sentence, "") for sentence in not_done(record)]
    points = sorted(dict.fromkeys(points), key=lambda p: order.get(p[0], 2))
    items = "".join(f"<li><span>{flag(word)}</span><span>{text(message)}{_action(action)}</span></li>"
                    for word, message, action in points)
    overall = record["quality"]["overall"]
    verdict, explanation = _OVERALL[overall]
    first = f"<li><span>{flag(overall)}</span><span><strong>{text(verdict)}</strong> {text(explanation)}</span></li>"
    return f'<ul class="flags">{first}{items}</ul>{_rules_asked()}'


def _action(action: str) -> str:
    return f' <span class="action">{text(action)}</span>' if action else ""


def not_done(record: Mapping) -> list[str]:
    """A sentence for each part that was left out; one where several share a reason."""
    reasons: dict[str, list[str]] = {}
    for skipped in record["skipped"]:
        reasons.setdefault(skipped["reason"], []).append(skipped["part"])
    sentences = []
    for reason, parts in reasons.items():
        said = [part for part in parts if part not in FOLLOWS_FROM_OTHERS] or parts[-1:]
        names = " and ".join(PARTS.get(part, (part, ""))[0] for part in said)
        sentences.append(f"Not done: {names}, because {reason}.")
    return sentences


def _rules_asked() -> str:
    """How many rules were looked at, and which, for those who want to know what an ok means."""
    items = "".join(f"<li>{text(rule.meaning)}{_limits(rule)}</li>" for rule in RULES.values())
    return (f"<details><summary>The {len(RULES)} rules that were applied where there was something to apply them to"
            f"</summary><ul>{items}</ul></details>")


def _limits(rule: Rule) -> str:
    limits = (("below", rule.low), ("above", rule.high))
    parts = [f"{word} {number(limit, 1 if limit % 1 else 0)}" for word, limit in limits if limit is not None]
    return text(f" ({' or '.join(parts)}{f' {rule.unit}' if rule.unit else ''})") if parts else ""


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
        made |= {f"Stage {number}": stage_text(stage) for number, stage in enumerate(run["model"].get("stages", ()), 1)}
        if run["model"].get("ignored_structures"):
            made["Structures left out"] = ", ".join(run["model"]["ignored_structures"])
    made["Options digest"] = run["options_digest"]
    options = {key: _shown(value) for key, value in run["options"].items()}
    times = {stage: f"{seconds:.2f} s" for stage, seconds in run.get("timings_s", {}).items()}
    left = facts("Run", made) + facts("Times", times) + facts("Versions", run["versions"])
    right = facts("Options", options) + files_beside(record)
    return f'<div class="columns"><div>{left}</div><div>{right}</div></div>'


def stage_text(stage: Mapping) -> str:
    """One trained configuration in a line: its name, trainer, folds and checkpoint."""
    folds = ", ".join(stage["folds"])
    parts = [stage.get("trainer", ""), f"fold{'s' if len(stage['folds']) > 1 else ''} {folds}" if folds else "",
             stage.get("checkpoint", "")]
    said = "; ".join(part for part in parts if part)
    return stage["configuration"] + (f" ({said})" if said else "")


def files_beside(record: Mapping) -> str:
    """What lies in the report's folder."""
    return facts("Files beside this report", {o["path"]: o["title"] for o in record["outputs"]})


def footer(record: Mapping) -> str:
    """The last line."""
    return ("<footer>" + text("For research. Not a medical device and not for diagnosis. The same numbers, with all "
                              "digits, are in results.json and results.csv.") + "</footer>")


def _side(record: Mapping) -> str:
    side = record["side"]["value"]
    return f"{side.capitalize()} knee" if side in ("right", "left") else "Knee, side unknown"


def _side_reason(record: Mapping) -> str:
    side = record["side"]
    reason = _SIDE_FROM.get(side["determined_by"], "")
    if not reason:
        return ""
    agreeing = [SIDE_SOURCES.get(source, source) for source, agrees in side.get("agrees_with", {}).items() if agrees]
    return f"side {reason}" + (f", as {' and '.join(agreeing)} {'says' if len(agreeing) == 1 else 'say'}"
                               if agreeing else "")


def _input_words(facts_: Mapping) -> list[str]:
    found = [" ".join(w for w in (facts_.get("sequence"), facts_.get("kind")) if w)
             + (" (labels only)" if facts_.get("content") == "labels" else "")]
    if "size" in facts_:
        found.append(" × ".join(str(n) for n in facts_["size"]) + " voxels of "
                     + " × ".join(f"{s:.2f}" for s in facts_["spacing_mm"]) + " mm")
    if "orientation" in facts_:
        found.append(f"axes {facts_['orientation']}")
    return [f for f in found if f]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or MISSING
    if isinstance(value, list):
        return ", ".join(str(v) for v in value) or MISSING
    return MISSING if value in (None, "") else str(value)
