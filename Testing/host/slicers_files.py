"""Slicer's own Python files in place of the host's doubles, where a source tree of Slicer is named.

The variable KNEEPIPELINE_SLICER_SOURCE names a folder with ``Base/Python/slicer`` (and, as far as they are there,
Slicer's module SampleData and its lists of terminology) of the version to be tried. The files are not part of this
repository.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

VARIABLE = "KNEEPIPELINE_SLICER_SOURCE"


def tree() -> Path | None:
    """The folder that is named; None where none is.

    Raises:
        FileNotFoundError: it holds no such files; tests must not go on with the doubles instead.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    if not (Path(named) / "Base" / "Python" / "slicer" / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"{VARIABLE} names a folder that holds no Base/Python/slicer: {named}")
    return Path(named)


def install(folder: Path) -> None:
    """Put ScriptedLoadableModule, parameterNodeWrapper, i18n, cli (and SampleData) where the doubles are."""
    import slicer

    from Testing.host.shim import more_widgets, mrml_widgets

    mrml_widgets.CLASSES.update(more_widgets.MRML)  # its connectors ask for them on import
    for name, cls in mrml_widgets.CLASSES.items():
        setattr(slicer, name, cls)
    sys.modules.setdefault("MRMLCorePython", slicer)
    python = folder / "Base" / "Python" / "slicer"
    names = ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper", "cli")
    for name in [n for n in sys.modules if n.startswith(tuple(f"slicer.{name}" for name in names))]:
        del sys.modules[name]
    for name in names:
        _load(f"slicer.{name}", python / name / "__init__.py" if (python / name).is_dir() else python / f"{name}.py")
    connectors = folder / "Modules" / "Loadable" / "SubjectHierarchy"
    if connectors.is_dir():
        sys.path.append(str(connectors))
        importlib.import_module("SubjectHierarchyLib.parameterNodeWrapper")
    samples = folder / "Modules" / "Scripted" / "SampleData" / "SampleData.py"
    if samples.is_file():
        sys.modules.pop("SampleData", None)
        _load("SampleData", samples)


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[str(path.parent)] if path.name == "__init__.py" else None)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module
