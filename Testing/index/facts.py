"""What the Slicer Extensions Index demands of a repository, as data: the tests beside this file check them offline.

From the index's own check scripts, lint rules and catalogue schema (v1.0.2) as of 2026; the numbers in the tests' names
are gone on purpose, the words are not.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MOST_BYTES_WHOLE = 100 * 10**6
MOST_BYTES_FILE = 1024 * 1024
UNAVOIDABLY_LARGE = ("KneePipelineLib/segmentation/bundled/model/",)
"""Where files above 1 MB may lie: the network that ships with the extension."""

SCHEMA_URL = "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/" \
             "slicer-extension-catalog-entry-schema-v1.0.2.json#"
ENTRY_SCHEMA = {
    "type": "object",
    "required": ["$schema", "category", "scm_url"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": SCHEMA_URL},
        "category": {"enum": ["Segmentation", "Quantification", "Shape Analysis", "Pipelines", "Analysis"]},
        "scm_url": {"type": "string", "pattern": r"^(https|git)://[^/]+/.+"},
        "scm_revision": {"type": "string"},
        "scm_type": {"enum": ["git", "local"]},
        "build_dependencies": {"type": "array", "items": {"type": "string"}},
        "dicom_support_rule": {"type": "string"},
        "build_subdirectory": {"type": "string"},
        "enabled": {"type": "boolean"},
        "tier": {"type": "integer", "minimum": 1, "maximum": 5},
    },
}
"""The catalogue entry; of the accepted categories only those that could be meant."""

LICENSE_NAMES = ("LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt")
BINARY = (".png", ".jpg", ".gif", ".npz", ".gz", ".safetensors", ".pt", ".pth", ".bin", ".onnx")


def tracked() -> list[str]:
    """Files of the repository, relative to its root: those git has, and those it would take."""
    answer = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY,
                            capture_output=True, text=True, check=True)
    return sorted({name for name in answer.stdout.split("\0") if name and (REPOSITORY / name).is_file()})


def is_binary(name: str) -> bool:
    """By its ending, or because it belongs to the network's files."""
    return name.lower().endswith(BINARY) or name.startswith(UNAVOIDABLY_LARGE)


def cmake_text() -> str:
    """The top-level CMakeLists.txt."""
    return (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")


def cmake_variable(name: str) -> str:
    """The value of ``set(EXTENSION_<NAME> "...")`` on one line, as the index's pattern reads it."""
    found = re.findall(rf'^set\(EXTENSION_{name} "([^"\n]+)"\)$', cmake_text(), re.MULTILINE)
    assert len(found) == 1, f'set(EXTENSION_{name} "...") must stand once, on one line, without a blank before )'
    return found[0]


def readme() -> str:
    """README.md."""
    return (REPOSITORY / "README.md").read_text(encoding="utf-8")
