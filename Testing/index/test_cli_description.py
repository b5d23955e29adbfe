"""The command-line module: its XML, its Python file and the package say the same."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from argparse import Namespace
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

from KneePipelineLib import __version__, job, job_names
from KneePipelineLib.cli import build_parser
from KneePipelineLib.job import JobOptions
from Testing.index import facts

CLI = facts.REPOSITORY / "KneePipeline" / "CLI"


@pytest.fixture(scope="module")
def adapter() -> ModuleType:
    spec = util.spec_from_file_location("KneePipelineCLI", CLI / "KneePipelineCLI.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parameters() -> dict[str, ElementTree.Element]:
    root = ElementTree.parse(CLI / "KneePipelineCLI.xml").getroot()
    found = [element for group in root.iter("parameters") for element in group
             if element.tag not in ("label", "description")]
    return {element.findtext("name"): element for element in found}


def elements(parameter: ElementTree.Element) -> list[str]:
    return [element.text for element in parameter.findall("element")]


def test_the_first_line_is_the_declaration_that_slicer_wants() -> None:
    text = (CLI / "KneePipelineCLI.xml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == '<?xml version="1.0" encoding="utf-8"?>'


@pytest.mark.parametrize("description", [name for name in facts.tracked() if name.endswith(".xml")
                                         and Path(name).with_suffix(".py").as_posix() in facts.tracked()])
def test_slicer_takes_the_script_for_a_command_line_module(description: str) -> None:
    """Only by its first line; without it Slicer looks for a scripted module in it and prints an error at each start."""
    script = (facts.REPOSITORY / description).with_suffix(".py").read_text(encoding="utf-8")
    assert script.splitlines()[0] == "#!/usr/bin/env python-real"


def test_flags_are_ones_that_slicer_accepts(parameters: dict) -> None:
    flags = [parameter.findtext("longflag") for parameter in parameters.values()]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", flag) for flag in flags if flag is not None)
    with_flag = [flag for flag in flags if flag is not None]
    assert len(with_flag) == len(set(with_flag))


def test_every_flag_is_an_argument_and_every_argument_a_flag(adapter: ModuleType, parameters: dict) -> None:
    flags = {parameter.findtext("longflag") for parameter in parameters.values()} - {None}
    understood = set(vars(adapter.parse(["--inputvolume", "x"])))
    assert flags == understood - {"returnparameterfile"}


def test_what_is_returned_has_no_flag(adapter: ModuleType, parameters: dict) -> None:
    """With a flag Slicer would pass it as an argument and never read it back."""
    returned = {name for name, parameter in parameters.items() if parameter.findtext("longflag") is None}
    assert returned == {"measuredSide", "quality", *adapter.THICKNESSES}
    for name in returned:
        assert parameters[name].findtext("channel") == "output"
        assert parameters[name].find("default") is not None


def test_choices_and_defaults_are_those_of_the_package(adapter: ModuleType, parameters: dict) -> None:
    published = {title: name for title, (name, _) in job_names.MODEL_NAMES.items()}
    models = set(elements(parameters["model"]))
    assert {published.get(name, name) for name in models} == set(job.KNOWN_MODELS)
    assert models.isdisjoint(published.values()), "a person meets the names of the design's section 9"
    assert elements(parameters["side"]) == list(job.SIDES)
    assert elements(parameters["labelScheme"]) == list(job.LABEL_SCHEMES)
    defaults = vars(adapter.parse(["--inputvolume", "x"]))
    for name, parameter in parameters.items():
        if parameter.tag == "string-enumeration":
            assert parameter.findtext("default") == defaults[parameter.findtext("longflag")], name
            assert parameter.findtext("default") in elements(parameter), name
    assert JobOptions().model == defaults["model"]


@pytest.mark.parametrize("given", [
    ["--inputvolume", "in.nrrd", "--side", "left", "--device", "cpu", "--timeoutminutes", "5"],
    ["--inputfolder", "dicom", "--echoes", "echoes", "--model", "nnunet_cascade"],
    ["--inputvolume", "in.nrrd", "--labels", "labels.nrrd", "--labelscheme", "native"],
])
def test_the_command_line_is_one_that_the_package_understands(adapter: ModuleType, given: list[str]) -> None:
    options = adapter.parse(given)
    args = build_parser().parse_args(adapter.run_arguments(options, Path("out")))
    checked = JobOptions.from_sources({
        key: value for key, value in vars(args).items()
        if value is not None and key not in ("command", "handler", "config", "events")}, env={})
    assert args.events == "-"
    assert checked.input == (options.inputvolume or options.inputfolder)
    assert checked.output == "out"
    assert checked.side == options.side
    assert checked.device == options.device
    assert checked.echoes == options.echoes
    assert checked.segmentation == options.labels
    assert checked.label_scheme == options.labelscheme
    assert checked.model == (options.model if not options.labels else "bundled")
    assert checked.timeout == (300 if options.timeoutminutes else None)


def test_neither_or_both_inputs_are_refused(adapter: ModuleType, capsys: pytest.CaptureFixture) -> None:
    for given in ([], ["--inputvolume", "a", "--inputfolder", "b"]):
        with pytest.raises(SystemExit) as leaving:
            adapter.parse(given)
        assert leaving.value.code == 2
        assert "either a volume or a DICOM folder" in capsys.readouterr().err


def test_events_become_tags(adapter: ModuleType, capsys: pytest.CaptureFixture) -> None:
    teller = adapter.Teller()
    state = {"event": "state", "fraction": 0.25, "stage_fraction": 0.5, "message": "T2 < 10 ms"}
    teller.on_event(state)
    teller.on_event({**state, "fraction": 0.3})
    teller.on_event({"event": "warning", "message": "Thick slices."})
    teller.on_event({"event": "text", "message": "a library speaks"})
    teller.on_event({"event": "error", "code": "X", "message": "No knee.", "hint": "Load one.", "details": {}})
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "<filter-progress>0.2500</filter-progress>", "<filter-stage-progress>0.5000</filter-stage-progress>",
        "<filter-comment>T2 ( 10 ms</filter-comment>", "<filter-progress>0.3000</filter-progress>",
        "<filter-stage-progress>0.5000</filter-stage-progress>", "Warning: Thick slices.",
    ]  # fmt: skip
    assert teller.error == "No knee. Load one."


def test_what_was_not_made_is_said_and_not_written(adapter: ModuleType, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture) -> None:
    record = {"outputs": [{"role": "bone_surface", "structure": "tibia", "path": "tibia_mesh.vtk"}],
              "side": {"value": "left"}, "quality": {"overall": "ok"},
              "regions": {"fem_cart": {"measures": {"mm_mean": 2.5}}}}
    (tmp_path / "tibia_mesh.vtk").write_text("tibia")
    wanted = {flag: str(tmp_path / flag) for flag in ("outputtibia", "outputfemur", "outputt2map")}
    returned = tmp_path / "returned"
    options = Namespace(**{**dict.fromkeys(adapter.OUTPUTS), **wanted}, returnparameterfile=str(returned))
    adapter._deliver(options, record, tmp_path)
    assert (tmp_path / "outputtibia").read_text() == "tibia"
    assert not (tmp_path / "outputfemur").exists()
    assert "no femur" in capsys.readouterr().out
    assert returned.read_text() == "measuredSide = left\nquality = ok\nfemoralThicknessMm = 2.500000\n"


def test_the_version_is_the_package_s() -> None:
    root = ElementTree.parse(CLI / "KneePipelineCLI.xml").getroot()
    assert root.findtext("version") == __version__
    assert root.findtext("category") == facts.cmake_variable("CATEGORY")
