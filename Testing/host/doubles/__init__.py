"""Our own versions of the Python modules that Slicer ships and slicer-core lacks, under Slicer's names."""

from __future__ import annotations

import sys
import types


def install() -> None:
    """Make ``slicer.ScriptedLoadableModule``, ``slicer.parameterNodeWrapper`` and the others importable."""
    import slicer

    from Testing.host import slicers_files
    from Testing.host.doubles import cli, dicom_lib, i18n, parameter_node, sample_data, scripted_module

    modules = {
        "ScriptedLoadableModule": scripted_module,
        "parameterNodeWrapper": parameter_node,
        "i18n": i18n,
        "cli": cli,
    }
    for name, source in modules.items():
        module = types.ModuleType(f"slicer.{name}", source.__doc__)
        exported = source.__all__
        module.__dict__.update({key: getattr(source, key) for key in exported}, __all__=list(exported))
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    sys.modules["SampleData"] = sample_data
    sys.modules["DICOMLib"] = dicom_lib
    if slicers_files.tree() is not None:
        slicers_files.install(slicers_files.tree())
