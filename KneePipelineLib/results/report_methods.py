"""The report's methods: paragraphs to paste into a paper, with what was used, how it was set, what to cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..imaging.slices import slice_axis
from ..morphometry import MorphometryOptions
from ..morphometry.footprint import CORE_MM, DEEP_MM
from .markup import paragraph, text
from .references import References
from .report_t2 import t2_method
from .report_tables import has_thickness
from .wording import MEASURE_TABLE, MENISCUS_TABLE, T2_TABLE

_CITED_SOFTWARE = ("Python", "numpy", "SimpleITK", "vtk", "point-cloud-utils", "torch", "nnunetv2")
_SHOWN_BY_THEMSELVES = {"seed", "practice", "side", "default_seg_model", "nnunet", "label_scheme",
                        "ignore_structures"}


def methods(record: Mapping) -> str:
    """What was done, for a paper, and the works to cite."""
    cited = References()
    parts = [_software(record), _images(record), _labels(record, cited)]
    if has_thickness(record) or record["menisci"]:
        parts.append(_morphometry(record, cited))
    if record.get("t2"):
        parts.append(t2_method(record["t2"], cited))
    if record.get("shape"):
        parts.append(_shape(record, cited))
    parts.append(_options(record))
    items = "".join(f"<li>{text(work)}</li>" for work in cited.texts)
    works = f'<h3>References</h3><ol class="references">{items}</ol>' if items else ""
    return "".join(paragraph(part) for part in parts if part) + works


def definitions(record: Mapping) -> str:
    """One sentence for every measure in the tables."""
    measures = MEASURE_TABLE.values() if has_thickness(record) else ()
    entries = [(_term(m.name, m.heading), m.definition) for m in measures]
    if any(m in entry["measures"] for entry in record["regions"].values() for m in T2_TABLE):
        entries.append(("T2", "Mean, standard deviation and median over a region's voxels whose T2 counts; deep and "
                        "superficial: nearer to the bone and nearer to the articular surface."))
    if record["menisci"]:
        entries += [(f"Meniscus {m.heading.lower()}", m.definition) for m in MENISCUS_TABLE.values()]
    if record.get("shape"):
        entries.append(("ASSD", "Average symmetric surface distance between reconstructed and original surface, mm."))
        entries.append(("Hausdorff 95", "The larger of both directions' 95th percentiles of surface distance, mm."))
        entries.append(("BScore", "Position of the femur's shape on the line from healthy to osteoarthritic femora, in "
                        "standard deviations of healthy ones; 0 is their average."))
    items = "".join(f"<dt>{text(term)}</dt><dd>{text(sentence)}</dd>" for term, sentence in entries)
    return f"<h3>Measures</h3><dl>{items}</dl>" if items else ""


def _software(record: Mapping) -> str:
    versions = record["run"]["versions"]
    with_ = ", ".join(f"{name} {versions[name]}" for name in _CITED_SOFTWARE if name in versions)
    return f"Images were analysed with KneePipeline {versions['KneePipeline']}" + (f" ({with_})." if with_ else ".")


def _images(record: Mapping) -> str:
    facts = record["input"]
    scanner = " ".join(facts[k] for k in ("manufacturer", "scanner") if facts.get(k))
    said = []
    if facts.get("magnetic_field_t"):
        said.append(f"{facts['magnetic_field_t']:g} T")
    if scanner:
        said.append(scanner)
    if facts.get("acquisition"):
        said.append(f"{facts['acquisition']} acquisition")
    if facts.get("repetition_time_ms"):
        said.append(f"TR {facts['repetition_time_ms']:g} ms")
    if facts.get("echo_times_ms"):
        times = facts["echo_times_ms"]
        said.append("TE " + (f"{times[0]:g} ms" if len(set(times)) == 1 else f"{times[0]:g} to {times[-1]:g} ms"))
    if facts.get("flip_angle_deg"):
        said.append(f"flip angle {facts['flip_angle_deg']:g}°")
    if facts.get("spacing_mm"):
        said.append("voxels of " + " × ".join(f"{s:.2f}" for s in facts["spacing_mm"]) + " mm")
    what = "The label map has" if facts.get("content") == "labels" else "Image:"
    return f"{what} {', '.join(said)}." if said else ""


def _labels(record: Mapping, cited: References) -> str:
    run = record["run"]
    corrected = " The labels were then corrected by hand." if run.get("corrected") else ""
    if run.get("segmentation") == "network" and run.get("model"):
        return _network(run["model"], cited) + (
            " Stray pieces were removed and holes in the bones filled.") + corrected
    return {"given": "Bones, cartilages and menisci were taken from a label map that was supplied.",
            "truth": "Nothing was segmented: the labels are those of a digital knee, made from shapes of known "
                     "dimensions."}.get(run.get("segmentation", ""), "") + corrected


def _network(model: Mapping, cited: References) -> str:
    title, name = model.get("title") or model["name"], model["name"]
    how = _stages(model.get("stages") or ())
    if name == "bundled":
        return (f"Bones, cartilages and menisci were segmented by KneePipeline's bundled network{how}, which is meant "
                "for trying out and is not validated for research.")
    own = (model["citation"],) if model.get("citation") else ()
    if name == "staple":
        return ("Bones, cartilages and menisci were segmented by planar convolutional networks in sagittal, coronal "
                f"and axial slices {cited(*own)}, joined by STAPLE {cited('staple')}.")
    if model.get("kind") == "planar":
        return (f"Bones, cartilages and menisci were segmented slice by slice by a planar convolutional network "
                f"({title}) {cited(*own)}.")
    works = ("nnunet", *own) if model.get("kind") == "nnunet" else own
    left_out = model.get("ignored_structures") or ()
    rest = f" What it labels besides ({', '.join(left_out)}) was left out." if left_out else ""
    return (f"Bones, cartilages and menisci were segmented by {title}{how}"
            + (f" {cited(*works)}." if works else ".") + rest)


def _stages(stages: Sequence[Mapping]) -> str:
    """Which trained configurations of a network ran: " (configuration A, then B; mean of 5 folds)"."""
    if not stages:
        return ""
    folds = max(len(stage["folds"]) for stage in stages)
    names = ", then ".join(stage["configuration"] for stage in stages)
    return (f" (configuration{'s' if len(stages) > 1 else ''} {names}"
            + (f"; mean of {folds} folds" if folds > 1 else "") + ")")


def _morphometry(record: Mapping, cited: References) -> str:
    defaults = MorphometryOptions()
    variance = record["run"]["options"].get("image_smooth_var_cart", defaults.cartilage_variance_mm2)
    vertices = {b: "2,000" if record["run"]["practice"] and b == "femur" else
                "1,000" if record["run"]["practice"] else f"{defaults.vertices[b]:,}" for b in ("femur", "patella")}
    return " ".join((
        "Bone surfaces are the 0.5 iso-surface of the binary label after Gaussian smoothing (variance "
        f"{defaults.bone_variance_mm2:g} mm²; cartilage {variance:g} mm²), simplified to about {vertices['femur']} "
        f"vertices for femur and tibia and {vertices['patella']} for the patella.",
        f"At each vertex a ray runs along the surface normal from {defaults.ray_inside_mm:g} mm inside the bone to "
        f"{defaults.ray_outside_mm:g} mm outside; thickness is the distance between entering and leaving the cartilage "
        "surface, and the vertex takes the region label found along its ray.",
        "The femoral cartilage is divided at the trochlear notch and at 60 % of the way from there to the most "
        "posterior cartilage, in a frame derived from the bones themselves.",
        "The total area of subchondral bone (tAB) is what cartilage covers or would cover in health: the footprints of "
        f"two healthy knees {cited('footprints')} were carried to each bone by a trimmed affine match of the surfaces "
        "with smooth bends, moved to the person's own intact rim, and joined with the person's cartilage. Bare bone is "
        f"denuded where cartilage encloses it, or where it lies more than {DEEP_MM:g} mm inside the footprint in a "
        f"patch that reaches {CORE_MM:g} mm deep. Femoral regions are found as if lost cartilage were there; mean, SD "
        "and median thickness (mm) keep pyMSKT's rule, with regions from the cartilage there is.",
        "Tibial plates are divided into a central ellipse of 20 % of tAB and the external, internal, anterior and "
        f"posterior parts around it, the weight-bearing femur into thirds of its width {cited('subregions')}; the "
        "weight-bearing femur ends at 60 % of the distance from the trochlear notch to the back of the condyles.",
        f"Measures are named after Eckstein et al. {cited('measures')}.",
        *(("Extrusion is the distance of the meniscus from the bony margin of the tibial plateau without osteophytes, "
           "along the tibia's medial-lateral axis (plane of the plateau, long axis of the outline), as the mean over "
           f"the middle fifth of the compartment {cited('extrusion')}.",) if record["menisci"] else ()),
    ))


def _interpolation(record: Mapping, cited: References) -> tuple[str, ...]:
    spacing = np.array(record["input"].get("spacing_mm") or (1.0, 1.0, 1.0))
    if slice_axis(spacing) is None:
        return ()
    return (f"Labels were interpolated between the slices ({spacing.max():.2g} mm apart) by shape before surfaces were "
            f"made {cited('interpolation')}.",)


def _shape(record: Mapping, cited: References) -> str:
    fits = list(record["shape"].values())
    mirrored = ", mirrored to a right one," if any(fit.get("mirrored") for fit in fits) else ""
    models = " and by one of ".join(f"{fit['title']}{_source(fit, cited)}" for fit in fits)
    lengths = " and ".join(dict.fromkeys(str(fit["latent_size"]) for fit in fits))
    seed = f", seed {fits[0]['seed']}" if "seed" in fits[0] else ""
    distances = "; ".join(f"{fit['title']}: {_distances(fit)}" for fit in fits)
    sentences = [
        f"The femur{mirrored} was described by a neural shape model of {models}. After similarity registration to the "
        f"model's mean femur, a latent of {lengths} numbers was fitted to the signed distances at the surfaces' "
        f"vertices (L1 loss{seed}). The average symmetric surface distance {cited('distances')} between reconstruction "
        f"and original is {distances}."]
    scores = [f"{fit['bscore']:.2f} ({fit['title']})".replace("-", "−") for fit in fits if fit["bscore"] is not None]
    if scores:
        sentences.append("The BScore, the latent's projection onto the direction from healthy to osteoarthritic "
                         f"femora in standard deviations of healthy ones {cited('bscore')}, is "
                         f"{' and '.join(scores)}.")
    return " ".join(sentences)


def _distances(fit: Mapping) -> str:
    return ", ".join(f"{surface['assd_mm']:.2f} mm ({'bone' if structure == 'femur' else 'cartilage'})"
                     for structure, surface in fit["surfaces"].items() if surface["assd_mm"] is not None)


def _source(fit: Mapping, cited: References) -> str:
    works = _citations(fit["model"])
    return f" ({fit['model']}{f' {cited(*works)}' if works else ''})" if fit["model"] != "own" else ""


def _citations(model: str) -> tuple[str, ...]:
    """The works that the catalogue names for one of its models."""
    from ..weights import catalogue

    found = catalogue().get(model)
    return (found.citation,) if found is not None and found.citation else ()


def _options(record: Mapping) -> str:
    from ..job import JobOptions

    defaults = JobOptions().without_paths()
    options = {k: v for k, v in record["run"]["options"].items() if k not in _SHOWN_BY_THEMSELVES}
    changed = [f"{key} {_spelt(value)}" for key, value in options.items() if defaults.get(key, value) != value]
    seed = f" Random numbers started from seed {record['run']['seed']}." if "seed" in record["run"] else ""
    if not options:
        return seed.strip()
    return (f"Options that differ from the defaults: {', '.join(changed)}." if changed else
            "All options of the analysis had their defaults.") + seed


def _spelt(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _term(name: str, heading: str) -> str:
    return {"dAB_mm2": "dAB", "dAB_percent": "dAB %"}.get(name, heading)
