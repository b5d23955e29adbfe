"""The extension is configured, built, tested, installed and packaged with CMake, against a stand-in for Slicer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from Testing.cmake import listings

STAND_IN = Path(__file__).with_name("stand_in")
MODULES = Path("lib/Slicer-5.10/qt-scripted-modules")
CLI_MODULES = Path("lib/Slicer-5.10/cli-modules")


def tool(name: str) -> str:
    """A program of the test extras, which lie beside the interpreter, or of the machine."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing; it belongs to the test extras: python3 -m KneePipelineLib setup --repair")
    return found


def call(*line: str | Path, status: int = 0) -> str:
    """Output of a command that must end with `status`."""
    done = subprocess.run([str(part) for part in line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=600, check=False)
    assert done.returncode == status, done.stdout[-6000:]
    return done.stdout


def configure(source: Path, build: Path, *options: str, status: int = 0) -> str:
    """Nothing is compiled, so no compiler is asked for: CMake itself stands in for one."""
    cmake = tool("cmake")
    compiler = [f"-DCMAKE_{language}_{key}" for language in ("C", "CXX")
                for key in (f"COMPILER={cmake}", "COMPILER_ID_RUN=ON", "COMPILER_FORCED=ON", "COMPILER_ID=None")]
    return call(cmake, "-S", source, "-B", build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", *compiler,
                f"-DSlicer_DIR={STAND_IN}", f"-DPython3_EXECUTABLE={sys.executable}", *options, status=status)


@pytest.fixture(scope="module")
def build(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, built with its tests."""
    folder = tmp_path_factory.mktemp("build")
    output = configure(repository, folder, "-DBUILD_TESTING=ON")
    assert "CMake Warning" not in output
    call(tool("cmake"), "--build", folder)
    return folder


@pytest.fixture(scope="module")
def installed(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as the Extensions Manager unpacks it."""
    folder = tmp_path_factory.mktemp("installed")
    call(tool("cmake"), "--install", build, "--prefix", folder)
    return folder


@pytest.mark.parametrize("listing", listings.LISTINGS, ids=lambda listing: f"{listing.folder}-{listing.variable}")
def test_every_file_is_listed(listing: listings.Listing) -> None:
    assert listings.listed(listing) == listings.wanted(listing), "python -m Testing.cmake.listings --write"


def test_a_forgotten_and_a_vanished_file_are_told(monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture) -> None:
    real = listings.wanted
    monkeypatch.setattr(listings, "wanted", lambda listing: [*real(listing)[1:], "forgotten.py"])
    assert listings.main([]) == 1
    told = capsys.readouterr().out
    assert "+ KneePipelineLib/forgotten.py" in told
    assert "- KneePipelineLib/__init__.py" in told


def names(folder: Path) -> set[str]:
    """All files below a folder, without Python's caches."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}


def test_the_installed_tree_is_complete(installed: Path) -> None:
    modules = {f"KneePipelineLib/{name}" for variable in listings.LISTINGS[:2] for name in listings.wanted(variable)}
    modules |= {name for variable in listings.LISTINGS[2:4] for name in listings.wanted(variable)}
    expected = {(MODULES / name).as_posix() for name in modules}
    expected |= {(CLI_MODULES / f"KneePipelineCLI{suffix}").as_posix() for suffix in (".py", ".xml")}
    expected |= {"share/Slicer-5.10/KneePipeline.s4ext"}
    assert names(installed) == expected


def test_the_installed_package_is_the_one_in_the_checkout(installed: Path, repository: Path) -> None:
    for name in listings.wanted(listings.LISTINGS[0]) + listings.wanted(listings.LISTINGS[1]):
        copy = installed / MODULES / "KneePipelineLib" / name
        assert copy.read_bytes() == (repository / "KneePipelineLib" / name).read_bytes(), name


CLEAN_IMPORT = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import KneePipelineLib
assert KneePipelineLib.__file__.startswith(sys.argv[1]), KneePipelineLib.__file__
for part in ("cli", "errors", "job", "environment", "weights", "pipeline", "slicer_side", "slicer_side.process"):
    importlib.import_module("KneePipelineLib." + part)
heavy = {"torch", "vtkmodules", "SimpleITK", "scipy", "pydicom", "matplotlib", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_clean_interpreter_imports_the_installed_tree(installed: Path) -> None:
    """Without site-packages: what must work before the private environment exists needs the standard library only."""
    call(sys.executable, "-I", "-S", "-c", CLEAN_IMPORT, installed / MODULES)


def test_the_installed_command_line_says_hello(installed: Path) -> None:
    line = [sys.executable, "-S", "-m", "KneePipelineLib", "--help"]
    variables = {**os.environ, "PYTHONPATH": str(installed / MODULES)}
    done = subprocess.run(line, cwd=installed, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_the_installed_cli_module_finds_the_installed_package(installed: Path, tmp_path: Path) -> None:
    """From cli-modules, under Slicer's variables: it gets as far as asking for the private environment."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KNEEPIPELINE"))}
    variables["KNEEPIPELINE_HOME"] = str(tmp_path)
    line = [sys.executable, "-S", str(installed / CLI_MODULES / "KneePipelineCLI.py"), "--inputvolume", "knee.nrrd"]
    done = subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "press Set up" in done.stderr


def test_the_package_holds_what_is_installed(build: Path, installed: Path) -> None:
    call(tool("cmake"), "--build", build, "--target", "package")
    [archive] = build.glob("*-KneePipeline.tar.gz")
    with tarfile.open(archive) as content:
        packed = {"/".join(Path(member.name).parts[1:]) for member in content if member.isfile()}
    assert {name for name in packed if "__pycache__" not in name} == names(installed)


def test_what_the_index_builds_without_tests(repository: Path, tmp_path: Path) -> None:
    """The index packages with BUILD_TESTING=OFF."""
    configure(repository, tmp_path / "b", "-DBUILD_TESTING=OFF")
    call(tool("cmake"), "--build", tmp_path / "b")
    assert "No tests were found" in call(tool("ctest"), "--test-dir", tmp_path / "b")


def test_the_tests_that_slicer_would_run_are_registered(build: Path) -> None:
    told = call(tool("ctest"), "--test-dir", build, "-N")
    registered = set(re.findall(r"Test +#\d+: (\S+)", told))
    scripts = {f"py_{Path(name).stem}" for name in listings.wanted(listings.LISTINGS[4])}
    assert registered == scripts | {"py_KneePipeline", "py_nomainwindow_qSlicerKneePipelineModuleGenericTest"}


needs_host = pytest.mark.skipif(sys.platform != "linux", reason="slicer-core's bridge to CLI modules is for Linux")


@needs_host
@pytest.mark.parametrize("test", [
    "py_nomainwindow_qSlicerKneePipelineModuleGenericTest",
    "py_KneePipeline",
    pytest.param("py_test_cli_module", marks=pytest.mark.slow),
])
def test_they_pass_on_the_built_tree(build: Path, test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Module and command-line module as CMake puts them, in the test host; the others run from the checkout anyway."""
    monkeypatch.setenv("KNEEPIPELINE_PYTHON", os.environ.get("KNEEPIPELINE_PYTHON", sys.executable))
    call(tool("ctest"), "--test-dir", build, "-R", f"^{test}$", "--output-on-failure", "--no-tests=error")


def test_the_stand_in_refuses_what_would_not_be_installed(tmp_path: Path) -> None:
    """A file of a neighbouring folder in SCRIPTS: Slicer's macro takes it and installs nothing."""
    (tmp_path / "outside.py").write_text("")
    (tmp_path / "inside").mkdir()
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16.3...3.19.7 FATAL_ERROR)\nproject(Wrong)\nfind_package(Slicer REQUIRED)\n"
        "include(${Slicer_USE_FILE})\nadd_subdirectory(inside)\n")
    for script, words in (("../outside.py", "would not be installed"), ("missing.py", "does not exist")):
        (tmp_path / "inside" / "CMakeLists.txt").write_text(
            f"slicerMacroBuildScriptedModule(NAME Wrong SCRIPTS {script})\n")
        said = configure(tmp_path, tmp_path / script.replace("/", "_"), status=1)
        assert words in " ".join(said.split())
