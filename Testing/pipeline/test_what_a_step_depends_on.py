"""What repeats a step: the options, inputs and steps that its body reads, and the code that it runs; nothing else.

The bodies are read, not run: every function that a body reaches in the stages, and in those modules that they hand the
options to, is searched for what it reads of the context.
"""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest

from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import code, networks
from KneePipelineLib.pipeline.checkpoints import Manifest
from KneePipelineLib.pipeline.keys import step_key
from KneePipelineLib.pipeline.plan import STEPS, Step, step_named

PACKAGE = code.PACKAGE
OPTIONS = {f.name for f in fields(JobOptions)}
MEANS = {"model": {"default_seg_model", "nnunet"}, "batch_size": {"batch_size"}}
"""Properties of the options and of the context, and the options behind them."""
TOLD = {option for step in STEPS for option in step.options}
NO_MATTER = {"device", "practice", "output"}
"""Where and in which mode a step runs: practice has its own bodies, and results do not depend on the device."""
FOLLOWED = [*sorted((PACKAGE / "pipeline" / "stages").glob("*.py")), PACKAGE / "pipeline" / "networks.py",
            PACKAGE / "shape" / "models.py", PACKAGE / "shape" / "scoring.py", PACKAGE / "side_words.py"]
NOT_FOLLOWED = {"told_options", "without_paths", "to_dict"}
"""What the results tell of the options has a part of the key of its own."""


@cache
def trees() -> dict[str, ast.Module]:
    """Module -> its tree; those of the shape room as ``shape.models``."""
    return {f"shape.{path.stem}" if path.parent.name == "shape" else path.stem:
            ast.parse(path.read_text(encoding="utf-8")) for path in FOLLOWED}


@cache
def functions() -> dict[tuple[str, str], ast.FunctionDef]:
    """(module, function or class) -> its tree."""
    return {(module, node.name): node for module, tree in trees().items() for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def imported(node: ast.AST, here: str) -> dict[str, tuple[str, str] | None]:
    """Name -> (module, name there) of what a tree imports; None for what is not followed."""
    found: dict[str, tuple[str, str] | None] = {}
    for line in ast.walk(node):
        if isinstance(line, ast.ImportFrom):
            last = (line.module or "").rpartition(".")[2]
            modules = ["shape.models", "shape.scoring"] if last == "shape" and line.level == 3 else [
                f"shape.{last}" if here.startswith("shape.") else last]
            for alias in line.names:
                known = [(module, alias.name) for module in modules if (module, alias.name) in functions()]
                own = (alias.name, "") if alias.name in trees() and line.level == 1 else None
                found[alias.asname or alias.name] = own or next(iter(known), None)
    return found


@cache
def reached(module: str, name: str) -> frozenset[tuple[str, str]]:
    """Every function of the followed modules that one reaches, itself too."""
    found: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(module, name)]
    while waiting:
        here = waiting.pop()
        if here in found or here not in functions() or here[1] in NOT_FOLLOWED:
            continue
        found.add(here)
        tree = functions()[here]
        names = {**{key[1]: key for key in functions() if key[0] == here[0]}, **imported(trees()[here[0]], here[0]),
                 **imported(tree, here[0])}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and names.get(node.id):
                waiting.append(names[node.id])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and names.get(node.value.id):
                waiting.append((names[node.value.id][0], node.attr))
    return frozenset(found)


@cache
def reads(step: Step) -> tuple[frozenset[str], frozenset[str]]:
    """The options and the steps that a step's body reads."""
    options: set[str] = set()
    steps: set[str] = set()
    for key in reached(*step.body.split(":")):
        for node in ast.walk(functions()[key]):
            if isinstance(node, ast.Attribute):
                holder = ast.unparse(node.value)
                if holder.endswith("options") and node.attr in OPTIONS | set(MEANS):
                    options |= MEANS.get(node.attr, {node.attr})
                if holder == "context" and node.attr in MEANS:
                    options |= MEANS[node.attr]
                if holder == "kind" and node.attr in ("option", "switch", "score_option"):
                    options |= KIND_OPTIONS[node.attr]
            asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
            if asks and node.func.attr in ("path", "has", "result") and "context" in ast.unparse(node.func.value):
                steps |= {n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)}
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "context.folders":
                steps |= {n.value for n in ast.walk(node.slice) if isinstance(n, ast.Constant)}
    return frozenset(options), frozenset(steps)


KIND_OPTIONS = {"option": {"nsm", "nsm_bone_only"}, "score_option": {"bscore", "bscore_bone_only"},
                "switch": {"perform_bone_only_nsm", "perform_bone_and_cart_nsm"}}
"""The options that a kind of fit names (shape.KINDS)."""


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_options_declared_are_the_options_read(step: Step) -> None:
    """One too many repeats work for nothing (--side repeated the network); one too few keeps what is no longer true."""
    read = reads(step)[0] - NO_MATTER
    declared = {*step.options, *step.inputs}
    assert declared <= read
    # The key of the results holds all that they tell of the options, whichever step these matter to.
    assert read <= (declared | TOLD if step.publishes else declared)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_steps_declared_are_the_steps_read(step: Step) -> None:
    assert reads(step)[1] <= set(step.uses())


def key(name: str, options: JobOptions, kind: str = "image") -> dict:
    before = {"input": Manifest("input", {}, {}, {"kind": kind})}
    return step_key(step_named(name), options, {"input": "a"}, before, {}, None)


class TestWhatDoesNotRepeatTheSegmentation:
    network = JobOptions.from_dict({"input": "knee.nrrd"})

    @pytest.mark.parametrize("change", [{"side": "left"}, {"label_scheme": "native"}, {"seed": 7}, {"prefix": "x"}])
    def test_of_a_network(self, change: dict) -> None:
        """A quality rule asks for --side: on a CPU that must not cost an hour."""
        assert key("segmentation", self.network.with_changes(**change)) == key("segmentation", self.network)
        assert key("review", self.network.with_changes(**change)) == key("review", self.network)

    @pytest.mark.parametrize("change", [{"default_seg_model": "goyal_axial"}, {"batch_size": 1}])
    @pytest.mark.parametrize("given", ["beside the image", "in its place"])
    def test_of_given_labels(self, change: dict, given: str) -> None:
        options, kind = self.network, "labels"
        if given == "beside the image":
            options, kind = options.with_changes(segmentation="labels.nrrd"), "image"
        before = key("segmentation", options, kind)
        assert key("segmentation", options.with_changes(**change), kind) == before
        assert key("segmentation", options.with_changes(label_scheme="native"), kind) != before

    def test_what_does(self) -> None:
        for change in ({"batch_size": 1}, {"default_seg_model": "nnunet_knee"}):
            assert key("segmentation", self.network.with_changes(**change)) != key("segmentation", self.network)


class TestCode:
    def test_a_word_in_the_report_repeats_no_science(self) -> None:
        for name in ("image", "segmentation", "surfaces", "thickness", "t2"):
            assert not [part for part in code.code_hashes(step_named(name).body) if part.startswith("results")], name
        assert [part for part in code.code_hashes("shape:fit") if part.startswith("results")] == ["results/rules.py"]

    def test_whatever_the_report_says_comes_from_code_that_counts(self) -> None:
        """Citations, licences, limits of the confidence: rooms that the writer itself hardly names."""
        assert {"results", "weights", "segmentation", "morphometry", "shape", "imaging"} <= set(
            code.code_hashes("formatting:write_files"))

    def test_the_network_depends_on_what_chooses_its_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert {"segmentation", "weights", "imaging"} <= set(code.code_hashes("detection:segment"))
        assert "pipeline/networks.py" in code._COUNTED_OF_THE_PIPELINE
        assert networks.__name__.rpartition(".")[2] == "networks"

    def test_a_changed_file_changes_the_hash_of_those_who_import_it_only(self, tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
        for path, text in {
            "pipeline/stages/a.py": "from ...near import one\nfrom . import b\n", "pipeline/stages/b.py": "",
            "pipeline/stages/c.py": "from ...far.low import (\n    x,\n    y as z,\n)\n", "near/__init__.py": "",
            "near/deep/__init__.py": "", "near/deep/x.py": "def f():\n    from ...far import low\n",
            "far/__init__.py": "", "far/low.py": "x = y = 1\n", "far/high.py": "",
        }.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        monkeypatch.setattr(code, "PACKAGE", tmp_path)

        def hashes() -> tuple[dict, dict]:
            for function in (code.code_hashes, code.imports_of, code._hash):
                function.cache_clear()
            return code.code_hashes("a:f"), code.code_hashes("c:f")

        before = hashes()
        assert [set(found) for found in before] == [{"stages", "near", "far/low.py"}, {"stages", "far/low.py"}]
        for path, changed in (("far/high.py", (False, False)), ("far/low.py", (True, True)),
                              ("near/deep/x.py", (True, False)), ("pipeline/stages/b.py", (True, False))):
            with open(tmp_path / path, "a", encoding="utf-8") as file:
                file.write("\n# changed\n")
            after = hashes()
            assert tuple(old != new for old, new in zip(before, after, strict=True)) == changed, path
            before = after
        monkeypatch.undo()
        hashes_of_the_package = (code.code_hashes, code.imports_of, code._hash)
        for function in hashes_of_the_package:
            function.cache_clear()

    def test_toy_bodies_have_no_code(self) -> None:
        assert replace(STEPS[0], body="toy.bodies:work").body_in(False) == "toy.bodies:work"
        assert code.code_hashes("toy.bodies:work") == {}
