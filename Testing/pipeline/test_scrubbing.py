"""Privacy of what a run says: foreign text loses every name, our own sentences lose paths and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.plan import STEPS
from KneePipelineLib.pipeline.scrubbing import Scrubber, paths_in

from .conftest import ToyRun


def test_scrubbing_reaches_every_option_and_every_depth() -> None:
    options = JobOptions.from_dict({"input": "/data/Doe/Doe.nrrd", "truth": "/data/Truthful_Jane.json",
                                    "label_scheme": "/data/Scheme_of_Jane.json", "models": {"x": "/weights/Mary/w.pth"},
                                    "output": "/results/Ann/out"})
    scrub = Scrubber(paths_in(options))
    told = scrub.error({"code": "X", "message": "Doe.nrrd failed out of memory", "hint": "see /weights/Mary/w.pth",
                        "details": {"a": [{"b": "Truthful_Jane.json"}], "c": "/data/Scheme_of_Jane.json", "n": 3}})
    text = json.dumps(told)
    for name in ("Doe", "Jane", "Mary"):
        assert name not in text
    assert scrub.foreign("Doe in the middle") == "<path> in the middle"
    assert "failed out of memory" in text
    assert told["details"]["n"] == 3
    assert scrub.foreign("Doell is another word") == "Doell is another word"


@pytest.mark.parametrize("options", [
    {"input": "/data/cartilage/segmentation.nrrd", "output": "/data/results"},
    {"input": "/measuring", "output": "/writing/the"},
    {"input": "/x/average", "output": "/x/thickness", "segmentation": "/labels.nrrd"},
    {"input": "/out", "output": "/in"},
])
def test_the_name_of_a_folder_never_blots_out_our_own_words(options: dict) -> None:
    """Equal knees in folders of different names have equal results, and these sentences are in them."""
    scrub = Scrubber(paths_in(JobOptions.from_dict(options).resolved()))
    for sentence in (*(step.title for step in STEPS), "lies 2.1 mm from the original on average",
                     "The label map lies on another grid than the segmentation; in/out, and/or."):
        assert scrub(sentence) == sentence


def test_a_patients_number_is_a_name() -> None:
    options = JobOptions.from_dict({"input": "/data/19283746", "output": "/data/knee_2"})
    scrub = Scrubber(paths_in(options.resolved()))
    assert scrub.foreign("19283746 has 2 echoes in knee_2") == "<path> has 2 echoes in knee_2"
    assert scrub("a knee of 19283746 voxels") == "a knee of 19283746 voxels"


def test_windows_paths_of_weights_are_known() -> None:
    options = JobOptions.from_dict({"models": {"x": "C:/weights/Mary/w.pth"}})
    assert "C:/weights/Mary/w.pth" in paths_in(options)


def test_results_do_not_depend_on_the_name_of_the_folder(toy_run: ToyRun, tmp_path: Path) -> None:
    told = []
    for name in ("Left", "results", "knees_of_june"):
        toy_run.folder = tmp_path / name
        toy_run.folder.mkdir()
        assert toy_run({"left": {"warn": "Left and right differ; results are of June."}}) == 0
        told.append(sorted(event["message"] for event in toy_run.events if "message" in event))
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(("line", "expected"), [
    ("reading /mnt/pacs/Jane/IM_1 now", "reading <path> now"),
    ("skipped Jane^Doe.dcm and Doe.nii.gz", "skipped <path> and <path>"),
    (r"open C:\\pacs\\Jane.x failed", "open <path> failed"),
    ('File "/usr/lib/site-packages/torch/serial.py", line 3', 'File "<path>/serial.py", line 3'),
    ("T1/T2 at 3 mm/s, 45%", "T1/T2 at 3 mm/s, 45%"),
])
def test_foreign_lines_lose_every_path(line: str, expected: str) -> None:
    assert Scrubber([]).foreign(line) == expected
