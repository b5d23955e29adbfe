"""The DICOM segmentation as part of a run: when it is written, what is said when it is not, and what the zip holds."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import pytest

from KneePipelineLib.errors import ConfigError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.job import JobOptions
from KneePipelineLib.phantom.dicom import PATIENT_ID, PATIENT_NAME, write_dicom
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.plan import step_named
from KneePipelineLib.pipeline.stages import dicom_seg, formatting
from KneePipelineLib.results import (
    build_results,
    report_output,
    results_outputs,
    run_facts,
    validate_results,
    write_report,
    write_results,
)

NAME = "knee_segmentation.dcm"


@dataclass
class Stage:
    """A FORMATTING step on a DICOM input with labels of two structures."""

    folder: Path
    warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def labels(self) -> Volume:
        array = np.zeros((6, 12, 10), np.uint8)
        array[2:4, 3:9, 2:8] = 1
        array[2:4, 3:9, 8] = 4
        return Volume(array, (0.5, 0.5, 2.0))

    def write(self, *, dicom: bool = True, labels: Volume | None = None, **options: object) -> list[str]:
        """Paths of the listed outputs."""
        if not (self.folder / "in").exists():
            write_dicom(self.labels.with_array(self.labels.array * np.uint16(9)), self.folder / "in")
        out = self.folder / "out"
        out.mkdir(exist_ok=True)

        def send(event: dict) -> None:
            if event["event"] == "warning":
                self.warnings.append((event["code"], event["message"]))

        given = JobOptions.from_dict({"input": str(self.folder / "in"), "output": str(out), **options})
        self.context = StageContext("files", given, out, send=send,
                                    results={"input": {"dicom": dicom}, "segmentation": {"source": "given"}})
        outputs, told = dicom_seg.write(self.context, self.labels if labels is None else labels, "left")
        assert told == self.warnings
        self.outputs = outputs
        return [output.path for output in outputs]

    def write_record(self) -> None:
        """results.json, results.csv and the report, which list what was written."""
        listed = [*self.outputs, report_output(), *results_outputs(),
                  *formatting.archive_outputs(self.context.options)]
        record = build_results(prefix="knee", run=run_facts({}, []), side="left", outputs=listed)
        write_report(self.folder / "out", record)
        write_results(self.folder / "out", record)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_dicom_in_dicom_out(stage: Stage, choice: str) -> None:
    assert stage.write(dicom_seg=choice) == [NAME]
    seg = pydicom.dcmread(stage.folder / "out" / NAME)
    assert (seg.PatientName, seg.Laterality, len(seg.SegmentSequence)) == (PATIENT_NAME, "L", 2)
    assert stage.warnings == []


def test_off_writes_nothing_and_says_nothing(stage: Stage) -> None:
    assert stage.write(dicom_seg="off") == []
    assert not list((stage.folder / "out").iterdir())
    assert stage.warnings == []


@pytest.mark.parametrize(("choice", "codes"), [("auto", []), ("on", ["DICOM_SEG_NOT_WRITTEN"])])
def test_input_that_is_not_dicom(stage: Stage, choice: str, codes: list[str]) -> None:
    assert stage.write(dicom=False, dicom_seg=choice) == []
    assert [code for code, _ in stage.warnings] == codes


@pytest.mark.parametrize("damage", ["gone", "no labels", "library"])
def test_failure_costs_a_warning_without_names(stage: Stage, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header's values may stand in what a library says of them; they are not passed on."""
    if damage == "gone":
        (stage.folder / "in").mkdir()
    labels = stage.labels.with_array(np.zeros_like(stage.labels.array)) if damage == "no labels" else None
    if damage == "library":
        def refuse(*given: object, **named: object) -> None:
            raise RuntimeError(f"bad value {PATIENT_NAME} {PATIENT_ID}")

        monkeypatch.setattr("KneePipelineLib.results.dicom_seg.segment_descriptions", refuse)
    assert stage.write(labels=labels) == []
    [(code, message)] = stage.warnings
    assert code == dicom_seg.CODE
    assert not {PATIENT_NAME, PATIENT_ID, "Phantom", str(stage.folder)} & set(message.split())
    assert PATIENT_ID not in message
    assert not list((stage.folder / "out").iterdir())


@pytest.mark.parametrize(("choice", "packed"), [("auto", False), ("on", True)])
def test_zip_names_the_patient_only_when_asked(stage: Stage, choice: str, packed: bool) -> None:
    stage.write(dicom_seg=choice, zip=True)
    stage.write_record()
    formatting.pack(stage.context)
    with zipfile.ZipFile(stage.folder / "out" / "knee_results.zip") as archive:
        assert archive.namelist() == [*([NAME] if packed else []), "report.html", "results.csv", "results.json"]


@pytest.mark.parametrize(("choice", "packed"), [("auto", False), ("on", True)])
def test_what_the_zip_says_it_holds_is_in_it(stage: Stage, choice: str, packed: bool) -> None:
    stage.write(dicom_seg=choice, zip=True)
    stage.write_record()
    before = {name: (stage.folder / "out" / name).read_text() for name in ("results.json", "report.html")}
    formatting.pack(stage.context)
    with zipfile.ZipFile(stage.folder / "out" / "knee_results.zip") as archive:
        names, texts = archive.namelist(), {name: archive.read(name).decode() for name in before}
    record = json.loads(texts["results.json"])
    validate_results(record)
    assert sorted(output["path"] for output in record["outputs"]) == names
    assert (NAME in names, NAME in texts["report.html"]) == (packed, packed)
    assert "knee_results.zip" not in texts["report.html"]
    assert "results.csv" in texts["report.html"]
    for name, text in before.items():
        assert (stage.folder / "out" / name).read_text() == text, "the folder itself holds all of them"
        assert NAME in text
        assert "knee_results.zip" in text


def test_choice_is_an_option_that_repeats_the_writing_only() -> None:
    assert JobOptions().dicom_seg == "auto"
    with pytest.raises(ConfigError, match="dicom_seg"):
        JobOptions.from_dict({"dicom_seg": "maybe"})
    assert "dicom_seg" in step_named("files").options
    assert "input" in step_named("files").inputs, "the header may change where no pixel does"
