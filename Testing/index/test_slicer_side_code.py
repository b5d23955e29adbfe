"""The Python that Slicer itself runs: nothing happens on import, nothing foreign is needed, nothing is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from Testing.index import facts

OFFERED_BY_SLICER = {"slicer", "vtk", "qt", "ctk", "numpy", "SimpleITK", "SampleData", "DICOMLib"}
ALLOWED = OFFERED_BY_SLICER | {"KneePipelineLib", "KneePipeline"} | set(sys.stdlib_module_names)
IN_FUNCTIONS_ONLY = {"pydicom"}
"""Comes with Slicer too; the import test below has none, so that it cannot stand at file scope."""
QUIET_CALLS = {"sys.path.append", "sys.path.insert"}
"""What a module may do on import beside defining things: let Python find the package in a clone."""
LOUD_NAMES = {"open", "exec", "eval", "print", "urlopen", "system", "run", "Popen", "check_call", "check_output",
              "mkdir", "connect", "start", "getNode", "AddNewNodeByClass"}


def slicer_files() -> list[str]:
    """Files that Slicer's own Python runs."""
    return [name for name in facts.tracked() if name.endswith(".py")
            and name.startswith(("KneePipeline/", "KneePipelineLib/slicer_side/"))]


def tree_of(name: str) -> ast.Module:
    return ast.parse((facts.REPOSITORY / name).read_text(encoding="utf-8"), name)


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Top-level names of the packages that are imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def at_file_scope(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import, those in `if` and `try` included; what only type checkers read is left out."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test) and "__name__" not in ast.unparse(node.test):
                waiting += [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            waiting += [*node.body, *(s for handler in node.handlers for s in handler.body), *node.orelse]
        elif isinstance(node, ast.ClassDef):
            yield node
            waiting += node.body
        else:
            yield node


def test_there_are_such_files() -> None:
    assert "KneePipeline/KneePipeline.py" in slicer_files()
    assert len(slicer_files()) > 20


@pytest.mark.parametrize("name", slicer_files())
def test_nothing_runs_at_file_scope(name: str) -> None:
    tree = tree_of(name)
    for node in at_file_scope(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)):
            continue
        if isinstance(node, ast.Expr):
            call = node.value
            quiet = isinstance(call, ast.Constant) or (
                isinstance(call, ast.Call) and ast.unparse(call.func) in QUIET_CALLS)
            assert quiet, f"{name}:{node.lineno}: {ast.unparse(node)}"
            continue
        assert isinstance(node, (ast.Assign, ast.AnnAssign)), f"{name}:{node.lineno}: {ast.unparse(node)[:80]}"
        called = {ast.unparse(part.func).split(".")[-1] for part in ast.walk(node) if isinstance(part, ast.Call)}
        assert not called & LOUD_NAMES, f"{name}:{node.lineno}: {ast.unparse(node)[:80]}"


@pytest.mark.parametrize("name", slicer_files())
def test_no_third_party_package_is_imported_anywhere(name: str) -> None:
    """Not even inside functions: the heavy side lives behind the child process."""
    assert set(imports(ast.walk(tree_of(name)))) - ALLOWED - IN_FUNCTIONS_ONLY == set()


@pytest.mark.parametrize("name", slicer_files())
def test_nothing_is_installed_into_slicers_python(name: str) -> None:
    text = (facts.REPOSITORY / name).read_text(encoding="utf-8")
    for word in ("pip_install", "pip_uninstall", "pip_ensure", "ensurepip", '"pip"', "'pip'"):
        assert word not in text


def test_only_the_slicer_side_imports_slicer() -> None:
    """The design's wall: everything else runs without Slicer."""
    elsewhere = [name for name in facts.tracked() if name.startswith("KneePipelineLib/") and name.endswith(".py")
                 and not name.startswith("KneePipelineLib/slicer_side/")]
    assert [name for name in elsewhere if {"slicer", "qt", "ctk"} & set(imports(ast.walk(tree_of(name))))] == []


IMPORT_ALL = """
import importlib, importlib.util, sys, types
from pathlib import Path
from unittest.mock import MagicMock

class Slicer(MagicMock):
    def __mro_entries__(self, bases):
        return (object,)

def stand_in(name):
    module = types.ModuleType(name)
    module.__path__ = []
    module.__getattr__ = lambda attribute: types.ModuleType(attribute) if attribute == "spec" else Slicer()
    sys.modules[name] = module
    return module

for name in ("slicer", "slicer.i18n", "slicer.util", "slicer.parameterNodeWrapper", "slicer.ScriptedLoadableModule",
             "slicer.cli", "vtk", "vtk.util", "vtk.util.numpy_support", "qt", "ctk", "numpy", "SimpleITK"):
    stand_in(name)
for name in ("", "Widget", "Logic", "Test"):
    setattr(sys.modules["slicer.ScriptedLoadableModule"], "ScriptedLoadableModule" + name, type("S" + name, (), {}))
sys.modules["slicer.util"].VTKObservationMixin = type("Mixin", (), {})
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
for number, file in enumerate(sys.argv[2:]):
    if file.startswith("KneePipelineLib/"):
        importlib.import_module(file[:-3].replace("/", ".").removesuffix(".__init__"))
    else:
        spec = importlib.util.spec_from_file_location(f"module_{number}", root / file)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
print("imported", len(sys.argv[2:]))
"""


def test_import_needs_nothing_but_slicer() -> None:
    """Every file is imported by an interpreter that has no site-packages at all, with empty modules for Slicer's."""
    line = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(facts.REPOSITORY), *slicer_files()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"imported {len(slicer_files())}\n", "an import printed something"


def test_that_check_can_fail(tmp_path: Path) -> None:
    (tmp_path / "Bad.py").write_text("import scipy\n")
    line = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(tmp_path), "Bad.py"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "scipy" in done.stderr
