"""Measure many knees with Slicer, without a window; an example to copy and change.

    Slicer --no-main-window --no-splash --python-script batch.py cases.csv out/ [--scenes] [--device cuda]

cases.csv has a line of column names and one line a knee:

    case,input,segmentation,label_scheme,side,echoes
    K001,/data/k001_dicom,,,left,
    K002,/data/k002.nii.gz,/data/k002_labels.nii.gz,native,,

`case` names the folder of the results (choose codes, not names of people); `input` is a DICOM folder, zip or image
file; the rest may be empty or absent. A knee that fails is told and the next one begins; what is finished already is
not done again, so that the same command continues after an interruption. out/summary.csv has one line a knee with its
state and regional mean thickness. Leaves with 0 when every knee was measured, else with 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import slicer

REGIONS = ("fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart")


def main() -> int:
    """All knees of the list, one after another."""
    parser = argparse.ArgumentParser(prog="batch.py", description="Measure many knees.")
    parser.add_argument("cases", type=Path, help="CSV file with the columns case, input, ...")
    parser.add_argument("out", type=Path, help="folder for the results, one folder a knee")
    parser.add_argument("--model", default="", help="network, where a knee has no segmentation (default: bundled)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--scenes", action="store_true", help="also save a scene with image and results (knee.mrb)")
    options = parser.parse_args()

    from KneePipeline import KneePipelineLogic
    from KneePipelineLib.errors import KneePipelineError

    cases = read_cases(options.cases, parser)
    logic, rows = KneePipelineLogic(), []
    for number, case in enumerate(cases, 1):
        print(f"{number} of {len(cases)}: {case['case']}", flush=True)
        try:
            results = measure(logic, case, options)
        except KneePipelineError as error:
            print(f"    {error.message} {error.hint}", flush=True)
            rows.append({"case": case["case"], "state": error.message})
        else:
            rows.append({"case": case["case"], **summary(results)})
        slicer.mrmlScene.Clear(0)
        write_summary(options.out / "summary.csv", rows)  # after every knee: an interruption loses none
    return int(any(row["state"] not in ("complete", "partial") for row in rows))


def read_cases(path: Path, parser: argparse.ArgumentParser) -> list[dict[str, str]]:
    """The lines of the list; one that cannot be worked off ends the script before anything has begun."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            cases = list(csv.DictReader(file))
    except OSError as error:
        parser.error(f"the list cannot be read: {error.strerror}")
    for number, case in enumerate(cases, 2):
        if not (case.get("case") and case.get("input")):
            parser.error(f"line {number} of the list has no case or no input")
    if len({case["case"] for case in cases}) < len(cases):
        parser.error("a case is listed twice: both would write into the same folder")
    return cases


def measure(logic: object, case: dict[str, str], options: argparse.Namespace) -> Path:
    """One knee; the path of its results.json."""
    folder = options.out / case["case"]
    source = {"inputFolder": case["input"]}
    if options.scenes and Path(case["input"]).is_file() and not case["input"].endswith(".zip"):
        source = {"inputVolume": load(slicer.util.loadVolume, case["input"], "input")}
    job = logic.process(
        **source, segmentation=load_labels(case.get("segmentation")), labelScheme=case.get("label_scheme") or "auto",
        side=case.get("side") or "auto", echoFolder=case.get("echoes") or None, model=options.model,
        device=options.device, outputFolder=folder, importResults=options.scenes)
    if options.scenes and not slicer.util.saveScene(str(folder / "knee.mrb")):
        print("    The scene could not be saved; the results themselves are there.", flush=True)
    return job.results


def load_labels(path: str | None) -> object | None:
    """The segmentation or label map in a file, as a node."""
    if not path:
        return None
    return load(slicer.util.loadSegmentation if ".seg." in path else slicer.util.loadLabelVolume, path, "segmentation")


def load(loader: Callable[[str], object], path: str, what: str) -> object:
    """A file as a node; what cannot be read is one knee's failure, not the end of the list."""
    from KneePipelineLib.errors import InvalidFormatError

    try:
        return loader(path)
    except RuntimeError:
        raise InvalidFormatError(f"The {what} cannot be read.", "Check its path and format in the list.") from None


def summary(results: Path) -> dict[str, object]:
    """The figures of one knee that go into the common table."""
    record = json.loads(results.read_text(encoding="utf-8"))
    thickness_mm = {f"{region}_mm_mean": record["regions"].get(region, {}).get("measures", {}).get("mm_mean")
                    for region in REGIONS}
    return {"state": record["status"], "side": record["side"]["value"], "quality": record["quality"]["overall"],
            **thickness_mm}


def write_summary(path: Path, rows: list[dict[str, object]]) -> None:
    """One line a knee."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("case", "state", "side", "quality", *(f"{region}_mm_mean" for region in REGIONS))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as leaving:  # a wrong command line
        status = leaving.code if isinstance(leaving.code, int) else 2
    except Exception as error:  # Slicer would print it and stay open
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = 1
    slicer.util.exit(status)
