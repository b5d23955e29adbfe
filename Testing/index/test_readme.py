"""README says what the index's reviewers, human or not, look for; and what it says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from KneePipelineLib import __version__
from KneePipelineLib.environment.lockfile import read_lock
from Testing.index import facts

CATALOGUE_HOSTS = {"huggingface.co"}
NO_CONTACT = {
    "json-schema.org": "names a schema's dialect",
    "itk.org": "a format's description", "nifti.nimh.nih.gov": "a format's description",
    "teem.sourceforge.net": "a format's description",
    "git-lfs.github.com": "the first line of a pointer file", "raw.githubusercontent.com": "names a schema",
    "pip.pypa.io": "documentation", "www.tensorflow.org": "documentation",
}
"""Hosts that stand in the sources and are never contacted, with why they stand there."""


def section(title: str) -> str:
    """The text of one section, its subsections included."""
    text = _without_code()
    head = re.search(rf"^(##+) {title}.*$", text, re.MULTILINE)
    assert head, f"README needs a section '{title}'"
    after = text[head.end():]
    end = re.search(rf"^#{{1,{len(head[1])}}} ", after, re.MULTILINE)
    return after[:end.start()] if end else after


def _without_code() -> str:
    """Lines that begin with # inside code blocks are no titles."""
    return re.sub(r"^```.*?^```", lambda block: re.sub(r"^#", " #", block[0], flags=re.MULTILINE), facts.readme(),
                  flags=re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """Cells of the tables in a text, without head lines."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {n for n, row in enumerate(cells) if n + 1 < len(cells) and set(cells[n + 1][0]) <= {"-", ":"}}
    return [row for n, row in enumerate(cells) if n not in heads and not set(row[0]) <= {"-", ":"}]


def test_it_begins_with_what_it_is_in_one_or_two_sentences() -> None:
    title, first, *_ = facts.readme().split("\n\n")
    assert title == "# KneePipeline"
    assert 1 <= len(re.findall(r"\.(?:\s|$)", first)) <= 2
    for word in ("3D Slicer", "knee", "MRI", "cartilage"):
        assert word in first


def test_there_is_a_picture_near_the_top_and_every_picture_exists() -> None:
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", facts.readme())
    assert len(pictures) >= 2
    assert facts.readme().index(pictures[0][1]) < 1500
    for text, path in pictures:
        assert len(text) > 15, "a picture's text says what it shows"
        assert (facts.REPOSITORY / path).is_file(), path


def test_links_to_files_work() -> None:
    for path in re.findall(r"\]\((?!http|#)([^)]+)\)", facts.readme()):
        assert (facts.REPOSITORY / path).exists(), path


def test_one_sentence_for_each_module() -> None:
    listed = re.findall(r"^- \*\*(.+?)\*\*", section("Modules"), re.MULTILINE)
    cli = re.search(r"<title>(.+?)</title>", (facts.REPOSITORY / "KneePipeline/CLI/KneePipelineCLI.xml").read_text())
    module = re.search(r'parent\.title = _\("(.+?)"\)', (facts.REPOSITORY / "KneePipeline/KneePipeline.py").read_text())
    assert listed == [module[1], cli[1]]


def test_the_tutorial_is_numbered_and_says_where_its_data_come_from() -> None:
    text = section("Tutorial")
    steps = [int(n) for n in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 6
    for word in ("sample", "generated", "Apply", "Re-analyse", "report"):
        assert word in text


def test_the_tutorial_names_buttons_that_exist() -> None:
    """Bold words of install and tutorial are texts of the panel."""
    ui = (facts.REPOSITORY / "KneePipeline/Resources/UI/KneePipeline.ui").read_text(encoding="utf-8")
    shown = {re.sub(r"&lt;.*?&gt;", "", text).strip() for text in re.findall(r"<string>(.*?)</string>", ui, re.DOTALL)}
    everything = " ".join(shown)
    buttons = set(re.findall(r"\*\*(.+?)\*\*", section("Tutorial") + section("Install in 3D Slicer")))
    assert len(buttons) >= 5
    assert {button for button in buttons if button not in everything and button != "bundled"} == set()


def test_how_to_cite() -> None:
    text = section("How to cite")
    assert f"Version {__version__}" in text
    assert facts.cmake_variable("HOMEPAGE").removesuffix("#readme") in text
    assert len(re.findall(r"\b(?:19|20)\d\d\b", text)) >= 5
    assert "patent" in text


def test_licences_of_the_parts() -> None:
    text = section("Licences")
    for word in ("Apache-2.0", "torch", "nnunetv2", "VTK", "dosma", "GPL-3"):
        assert word in text


def test_every_model_is_listed_with_its_licence() -> None:
    from KneePipelineLib.weights.entries import catalogue

    text = section("Models")
    for name in catalogue():
        assert f"`{name}`" in text, name
    assert "non-commercial" in text
    assert "gated" in text


def test_troubleshooting_is_a_table_of_symptom_explanation_solution() -> None:
    found = rows(section("Troubleshooting"))
    assert len(found) >= 10
    assert all(len(row) == 3 and all(row) for row in found)


def test_sentences_that_are_quoted_are_said_by_the_program() -> None:
    sources = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", (facts.REPOSITORY / name).read_text(encoding="utf-8"))
        for name in facts.tracked() if name.startswith("KneePipelineLib/") and name.endswith((".py", ".json")))
    quoted = [text for row in rows(section("Troubleshooting")) for text in re.findall(r'"([^"]+)"', row[0])]
    assert len(quoted) >= 4
    assert [text for text in quoted if text not in sources] == []


def test_hosts_are_listed_and_no_other_is_contacted() -> None:
    listed = set(re.findall(r"[a-z]+(?:\.[a-z]+)+", " ".join(row[0] for row in rows(section("Hosts contacted")))))
    named = set()
    for name in facts.tracked():
        if name.startswith(("KneePipelineLib/", "KneePipeline/")) and name.endswith((".py", ".json")):
            text = (facts.REPOSITORY / name).read_text(encoding="utf-8")
            named |= {host.lower() for host in re.findall(r"https?://([A-Za-z0-9.-]+\.[a-z]{2,})", text)}
    assert named - listed - set(NO_CONTACT) == set()
    assert {"pypi.org", "files.pythonhosted.org"} <= listed
    assert listed >= CATALOGUE_HOSTS
    assert "Nothing is uploaded" in section("Hosts contacted")
    assert "telemetry" in section("Hosts contacted")


def test_what_is_stored_and_how_to_remove_it() -> None:
    found = rows(section("What is stored where"))
    assert len(found) >= 5
    assert all(len(row) == 3 and all(row) for row in found)
    for word in ("KNEEPIPELINE_HOME", "LOCALAPPDATA", "Application Support", ".local/share"):
        assert word in section("What is stored where")


def test_neighbours_limits_and_the_checklist_are_there() -> None:
    for name in ("T2mapping", "MusculoskeletalAnalysis", "MuscleMap", "TotalSegmentator", "NNUNet", "MONAIAuto3DSeg"):
        assert name in section("Neighbours")
    assert len(re.findall(r"^- ", section("Limits"), re.MULTILINE)) >= 4
    assert len(re.findall(r"^- \[ \] ", section("Before a release"), re.MULTILINE)) >= 8
    assert "not a medical device" in facts.readme()


def test_commands_and_scripts_that_are_named_exist() -> None:
    named = set(re.findall(r"\b(?:KneePipeline|Testing|\.ci)/[\w./]+\w", facts.readme()))
    assert len(named) >= 5
    missing = {name for name in named if not (facts.REPOSITORY / name).exists()}
    assert missing == set()


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", facts.readme(), re.DOTALL))
def test_python_examples_are_python_and_use_arguments_that_exist(block: str) -> None:
    import ast
    import inspect

    from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase

    known = set(inspect.signature(KneePipelineLogicBase.process).parameters)
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("logic.process"):
            assert {keyword.arg for keyword in node.keywords} <= known


def test_the_size_of_the_environment_is_the_lock_s() -> None:
    """README's "about 2.4 GB" is what Set up says, to a tenth."""
    lock = read_lock()
    groups = [lock.groups[name] for name in lock.default_groups()]
    gigabytes = (sum(group.installed_mb for group in groups) + lock.torch["builds"]["cpu"]["installed_mb"]) / 1000
    said = float(re.search(r"private environment \(about ([\d.]+) GB", facts.readme())[1])
    assert abs(said - gigabytes) <= 0.15


def test_the_example_script_is_the_one_that_is_tested() -> None:
    assert "KneePipeline/Examples/batch.py" in section("Scripted use")
    assert Path(facts.REPOSITORY / "Testing/slicer/test_batch_example.py").is_file()
