"""A small stand-in for the lock and its packages, installed for real by uv or by venv and pip, without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BACKEND = "tinybackend"
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str], *, tag: str = "py3-none-any") -> Path:
    """A valid wheel with the given files."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    rows = []
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return wheel


def write_sdist(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """A source distribution with the given files."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    files = {**files, "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    with tarfile.open(path, "w:gz") as archive:
        for inner, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{inner}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


# A build backend of a few lines: like mskt's setup.py it tries a compiler and goes on without.
TINY_BACKEND = '''
import base64, hashlib, os, subprocess, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    open("probe.c", "w").write("int x;")
    compiled = subprocess.call([os.environ.get("CC", "cc"), "-c", "probe.c"]) == 0
    if os.path.exists("needs_compiler") and not compiled:
        raise SystemExit("error: a compiler is needed")
    for line in open("PKG-INFO"):
        if line.startswith("Name: "): name = line[6:].strip()
        if line.startswith("Version: "): version = line[9:].strip()
    info = f"{name}-{version}.dist-info"
    files = {f"{name}.py": f"compiled = {compiled}\\n", f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
             f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"}
    rows = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows += f"{path},sha256={digest},{len(text)}\\n"
    files[f"{info}/RECORD"] = rows + f"{info}/RECORD,,\\n"
    filename = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as archive:
        for path, text in files.items(): archive.writestr(path, text)
    return filename
def get_requires_for_build_wheel(config_settings=None): return []
'''  # noqa: E501
PYPROJECT = f'[build-system]\nrequires = ["{BACKEND}"]\nbuild-backend = "{BACKEND}"\n'


@dataclass
class FakeWorld:
    """A lock of five small packages, a folder with their files, and an empty home."""

    root: Path
    wheels: Path
    lock_file: Path
    home: Path

    def lock(self) -> dict:
        return json.loads(self.lock_file.read_text(encoding="utf-8"))

    def change_lock(self, change: Callable[[dict], None]) -> None:
        content = self.lock()
        change(content)
        self.lock_file.write_text(json.dumps(content), encoding="utf-8")

    def environ(self, installer: str = "uv", **more: str) -> dict[str, str]:
        """Variables of a process that has only the fake packages, and uv or not."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "KNEEPIPELINE_"))}
        places = [p for p in kept.get("PATH", "").split(os.pathsep) if not shutil.which("uv", path=p)]
        if installer == "uv":
            places.insert(0, str(Path(find_uv()).parent))
        kept.update(
            PATH=os.pathsep.join(places), KNEEPIPELINE_HOME=str(self.home), PIP_CONFIG_FILE=os.devnull,
            PIP_NO_INDEX="1", PIP_FIND_LINKS=self.wheels.as_uri(), PIP_CACHE_DIR=str(self.root / "pip cache"),
            UV_CACHE_DIR=str(self.root / "uv cache"), UV_NO_CONFIG="1",
        )  # fmt: skip
        kept.update(more)
        return kept

    def script(self, call: str) -> list[str]:
        """A command that makes one call of the room's API with ``options(...)`` at hand."""
        lines = [
            "import sys",
            f"sys.path.insert(0, {str(REPOSITORY)!r})",
            "from pathlib import Path",
            "from KneePipelineLib import environment as E",
            "from KneePipelineLib.errors import KneePipelineError",
            f"always = dict(lock_file=Path({str(self.lock_file)!r}), base_python={sys.executable!r}, torch='cpu')",
            "def options(**chosen): return E.SetupOptions(**{**always, **chosen})",
            "try:",
            f"    {call}",
            "except KneePipelineError as problem:",
            "    print('REFUSED', problem.message, '|', problem.hint)",
            "    sys.exit(problem.exit_code)",
        ]
        return [sys.executable, "-c", "\n".join(lines)]

    def call(self, call: str, installer: str = "uv", **more: str) -> subprocess.CompletedProcess:
        """Run :meth:`script` to its end."""
        return subprocess.run(self.script(call), env=self.environ(installer, **more), capture_output=True, text=True,
                              encoding="utf-8", timeout=120, check=False)  # fmt: skip

    def setup(self, installer: str = "uv", options: str = "", **more: str) -> subprocess.CompletedProcess:
        """Set up with the fake lock."""
        return self.call(f"print(E.setup(options(installer={installer!r}, {options})))", installer, **more)

    @property
    def environment(self) -> Path:
        return self.home / "env"

    def generations(self) -> list[str]:
        return sorted(p.name for p in self.environment.iterdir() if p.is_dir())

    def python(self) -> Path:
        number = json.loads((self.environment / "current.json").read_text(encoding="utf-8"))["generation"]
        inner = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        return self.environment / number / inner

    def imports(self, name: str) -> bool:
        answer = subprocess.run([self.python(), "-I", "-c", f"import {name}"], capture_output=True, check=False)
        return answer.returncode == 0


def make_world(root: Path, home: Path) -> FakeWorld:
    """Packages: torch (with a local version, as on Linux), alpha, a source one; optional beta; extra gamma."""
    wheels = root / "wheels"
    write_wheel(wheels, "torch", "1.0+cpu", {"torch.py": FAKE_TORCH})
    write_wheel(wheels, "torch", "1.0", {"torch.py": FAKE_TORCH})
    write_wheel(wheels, "alpha", "1.0", {"alpha/__init__.py": "value = 1\n", "alpha/data.txt": "some data\n"})
    write_wheel(wheels, BACKEND, "1.0", {f"{BACKEND}.py": TINY_BACKEND})
    write_wheel(wheels, "beta", "1.0", {"beta.py": "value = 2\n"})
    write_wheel(wheels, "gamma", "1.0", {"gamma.py": "value = 3\n"})
    write_sdist(wheels, "source", "1.0", {"pyproject.toml": PYPROJECT})
    content = {
        "python": ["3.11", "3.12", "3.13"],
        "bootstrap": {"uv": "0.13.9", "python_download_mb": 30, "python_installed_mb": 100},
        "torch": {"version": "1.0", "index": "http://127.0.0.1:9/{build}", "builds": {
            "cpu": {"group": None, "systems": ["Linux", "Windows", "Darwin"], "plain": ["Windows", "Darwin"]}}},
        "groups": {
            "core": {"purpose": "what is needed", "imports": ["torch", "alpha", "source"], "installed_mb": 2},
            "some": {"purpose": "nice to have", "imports": ["beta"], "optional": True},
            "test": {"purpose": "tests", "imports": ["gamma"], "extra": True},
        },
        "packages": [
            {"name": "alpha", "version": "1.0", "groups": ["core"]},
            {"name": "beta", "version": "1.0", "groups": ["some"]},
            {"name": "gamma", "version": "1.0", "groups": ["test"]},
            {"name": "source", "version": "1.0", "groups": ["core"], "sdist": True},
            {"name": BACKEND, "version": "1.0", "groups": ["core"]},
            {"name": "torch", "version": "1.0", "groups": ["core"]},
        ],
    }  # fmt: skip
    lock_file = root / "lock.json"
    lock_file.write_text(json.dumps(content), encoding="utf-8")
    return FakeWorld(root, wheels, lock_file, home)


FAKE_TORCH = '''
__version__ = "1.0+cpu"
class version: cuda = None
class backends: mps = None
class cuda:
    @staticmethod
    def is_available(): return False
def get_num_threads(): return 1
class ones:
    def __init__(self, count, device): self.total = float(count)
    def __mul__(self, other): self.total *= other; return self
    def sum(self): return self.total
'''


def find_uv() -> str | None:
    """uv on PATH, or the one that the test extras put beside the interpreter that runs the tests."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def other_pythons() -> dict[str, Path]:
    """Interpreters of other versions that pyenv or PATH offer, by version."""
    found: dict[str, Path] = {}
    for version in ("3.10", "3.11", "3.12", "3.13"):
        places = sorted((Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions").glob(
            f"{version}.*/bin/python{version}"))  # fmt: skip
        on_path = shutil.which(f"python{version}")
        if places or on_path:
            found[version] = places[-1] if places else Path(on_path)
    return found
