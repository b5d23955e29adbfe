"""FORMATTING: every file a person or a script reads, made by the results room from what the steps left."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from ... import results
from ...errors import ConfigError, KneePipelineError
from ...imaging import Volume, read_image, read_labels
from ...job import JobOptions
from ...morphometry import read_prepared
from ...results import Output
from ...side_words import named_sides
from .. import faults
from ..context import StageContext
from ..files import files_below, read_json
from ..keys import told_options
from . import dicom_seg, handover, shape_files, told

NO_REPORT = "REPORT_NOT_WRITTEN"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)
PRACTICE_DETAIL = 0.5
"""Practice mode's knee has 2 mm voxels; finer pictures would only take longer."""


def write_files(context: StageContext) -> dict:
    """Write all files of the design's section 8 for which there is something to write."""
    found = Findings(context)
    outputs = write_measured(context, found)
    if context.has("shape"):
        outputs += shape_files.write_files(context, context.out)
    write_record(context, found, outputs)
    pack(context)
    return {"files": len(outputs), "incomplete": context.spare}


def write_measured(context: StageContext, found: Findings) -> list[Output]:
    """Label maps, surfaces and thickness tables."""
    options, out = context.options, context.out
    context.progress(0.1, "Writing label maps")
    outputs = results.write_label_files(out, options.prefix, labels=found.labels, subregions=found.subregions,
                                        depth=found.depth, parts=found.parts)
    context.progress(0.4, "Writing surfaces")
    outputs += results.write_mesh_files(out, found.surfaces, raw_femur=found.raw_femur,
                                        cartilage_surfaces=found.cartilage_surfaces)
    if found.regions:
        outputs += results.write_thickness_files(out, options.prefix, found.regions, found.fine, found.sums,
                                                 found.joint)
    if found.t2_map is not None:
        outputs += results.write_t2_files(out, options.prefix, found.t2_map, found.t2)
    written, found.warnings = dicom_seg.write(context, found.labels, found.side)
    return outputs + written


def write_record(context: StageContext, found: Findings, outputs: list[Output]) -> None:
    """Report, results.json and results.csv; the record lists every file. The numbers do not wait for the pictures:
    after an attempt in which the report could not be made, there is none, and results.json says so."""
    options, out = context.options, context.out
    report = [] if context.spare else [results.report_output()]
    if context.spare:
        message = "There is no report of this run: making it ended in an error. All numbers and files are complete."
        context.warn(NO_REPORT, message)
        found.warnings.append((NO_REPORT, message))
    context.progress(0.6, "Writing the report")
    record = found.record([*outputs, *report, *results.results_outputs(), *archive_outputs(options)])
    image, labels = found.image, found.labels
    behind = image if image is not None and labels is not None and image.same_grid(labels, 0.01) else None
    if report:
        faults.hit("report")
        shapes = shape_files.read_shapes(context) if context.has("shape") and not options.practice else ()
        results.write_report(out, record, labels=labels if found.subregions is None else found.subregions,
                             image=behind, surfaces=found.surfaces, axes=found.axes, t2_map=found.t2_map, shapes=shapes,
                             detail=PRACTICE_DETAIL if options.practice else 1.0)
    results.write_results(out, record)


def pack(context: StageContext) -> None:
    """The archive, when one was asked for.

    It is made to be passed on, so the one file that names the patient stays out unless it was asked for by name. What
    lists the files in it lists those that are in it.
    """
    options = context.options
    if options.zip:
        context.progress(0.9, "Packing the results")
        without = () if options.dicom_seg == "on" else (results.dicom_seg_output(options.prefix).path,)
        name = f"{options.prefix}_results.zip"
        write_archive(context.out, name, without, results.texts_without(context.out, (name, *without)))


class Findings:
    """What the steps left, read back; None or empty where a step did not run."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.image: Volume | None = None
        self.t2_map: Volume | None = None
        self.t2: dict = {}
        self.fits: dict = {}
        self.scores: dict = {}
        self.labels = self.subregions = self.depth = self.parts = self.raw_femur = self.axes = None
        self.surfaces, self.cartilage_surfaces, self.regions, self.menisci = {}, {}, {}, {}
        self.fine, self.sums, self.joint = {}, {}, {}
        self.side = "unknown"
        self.warnings: list[tuple[str, str]] = []
        if context.has("image"):
            self.image = read_image(context.path("image", "image.nrrd"))
        if context.has("surfaces"):
            prepared = read_prepared(context.folders["surfaces"])
            self.labels, self.subregions = prepared.labels, prepared.subregions
            self.surfaces, self.cartilage_surfaces = prepared.surfaces, prepared.cartilage_surfaces
            self.raw_femur, self.side = prepared.dense_bones.get("femur"), prepared.side
            self.axes = prepared.frame.axes
        elif context.has("review"):
            self.labels = read_labels(context.path("review", "labels.nrrd"))
        if context.has("thickness"):
            self.depth = read_labels(context.path("thickness", "depth.nrrd"))
            self.surfaces = handover.load_surfaces(context.path("thickness", "measured.npz"))
            measures = read_json(context.path("thickness", "measures.json"))
            self.regions = handover.with_nan(measures["regions"])
            self.menisci = handover.with_nan(measures["menisci"])
            self.parts = read_labels(context.path("thickness", "parts.nrrd"))
            self.fine, self.sums = (handover.with_nan(measures[name]) for name in ("fine", "sums"))
            self.joint = measures["joint"]
        if context.has("shape"):
            self.fits = read_json(context.path("shape", "shape.json"))["fits"]
            self.scores = read_json(context.path("score", "bscore.json")) if context.has("score") else {}
        if context.has("t2"):
            self.t2_map = read_image(context.path("t2", "t2map.nrrd"), allow_nan=True)
            self.t2 = read_json(context.path("table" if context.has("table") else "t2", "t2.json"))

    def record(self, outputs: list[Output]) -> dict:
        """The record that becomes results.json."""
        context, options = self.context, self.context.options
        facts = context.result("input")
        header = context.result("metadata")
        steps = [name for name, outcome in context.outcomes.items() if outcome["status"] == "done"]
        run = results.run_facts(
            told_options(options), steps, segmentation=told.source_of_labels(context), practice=options.practice,
            seed=options.seed, model=told.about_model(context), corrected=bool(context.result("review").get("edited")),
        )
        shown = self.image if self.image is not None else self.labels
        given = {} if shown is None else results.input_facts(
            shown, kind=str(facts.get("format") or "unknown"), content=facts.get("kind", "image"),
            **told.about_scanner(context))
        reviewed = context.result("review")
        named = (reviewed if reviewed.get("named_side") else context.result("segmentation")).get("named_side")
        sides = {"header": header.get("laterality"), **named_sides(options.to_dict()), "segments": named}
        return results.build_results(
            prefix=options.prefix, run=run, input_facts=given, side=self.side,
            side_from="none" if self.side == "unknown" else "option" if options.side != "auto" else "labels",
            other_sides={source: side for source, side in sides.items() if side},
            confidence=None if run.get("corrected") else context.result("segmentation").get("judgement"),
            fits=self.fits, scores=self.scores, notices=told.notices(self.fits), regions=self.regions,
            t2=self.t2, truth=read_truth(options.truth), menisci=self.menisci, labels=self.labels,
            fine=self.fine, sums=self.sums, joint=self.joint,
            subregions=self.subregions, surfaces=self.surfaces, outputs=outputs,
            warnings=[*context.provenance.get("warnings", []), *self.warnings],
            errors=[{**o["error"], "part": name} for name, o in context.outcomes.items() if o["status"] == "failed"],
            skipped=[(name, o["reason"]) for name, o in context.outcomes.items() if o["status"] == "skipped"],
        )


def read_truth(path: str | None) -> dict[str, dict[str, float]] | None:
    """Known values to show beside the measured ones.

    Raises
    ------
    ConfigError
        If the file is no JSON object of regions, each with measures and numbers.
    """
    if path is None:
        return None
    try:
        truth = read_json(Path(path))
        return {region: {name: float(value) for name, value in measures.items()} for region, measures in truth.items()}
    except (ValueError, TypeError, AttributeError):
        raise ConfigError("The file of known values is not JSON of the form region -> measure -> number.",
                          "See truth.json beside the digital knee that `demo` makes.") from None


def archive_outputs(options: JobOptions) -> list[Output]:
    """The listing of the archive, when one was asked for."""
    if not options.zip:
        return []
    path = f"{options.prefix}_results.zip"
    return [Output(role="archive", path=path, type="archive", title="All results in one file")]


def write_archive(folder: Path, name: str, without: tuple[str, ...] = (), texts: Mapping[str, str] | None = None,
                  ) -> None:
    """Pack the files of a folder, in one order and with one date, so that equal results make equal archives.

    `without` are names that stay out, `texts` what some files say in the archive instead.
    """
    files = [path for path in files_below(folder) if path.name not in (name, *without)]
    try:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for path in files:
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), FIXED_DATE)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                if entry.filename in (texts or {}):
                    archive.writestr(entry, texts[entry.filename].encode("utf-8"))
                    continue
                with path.open("rb") as source, archive.open(entry, "w") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
    except zipfile.LargeZipFile:
        raise KneePipelineError("The results are too large for one zip file.", "Run without --zip.") from None
