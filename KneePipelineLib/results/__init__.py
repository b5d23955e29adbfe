"""Files, tables, figures and the report of one knee.

Every writer is a plain function that a stage may call by itself: ``write_label_files`` and ``write_mesh_files`` as soon
as there are surfaces, ``write_mesh_files`` again and ``write_thickness_files`` once thickness is measured, then
``build_results``, ``write_report`` and ``write_results``. Each returns the `Output` entries for results.json. Names are
imported on first use, so importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "Output": "outputs",
    "Drawing": "dicom_segments",
    "texts_without": "archive",
    "dicom_seg_output": "dicom_seg",
    "drawing_of": "dicom_segments",
    "read_source": "dicom_source",
    "write_dicom_seg": "dicom_seg",
    "write_label_files": "label_files",
    "write_mesh_files": "mesh_files",
    "write_vtk": "mesh_files",
    "THICKNESS_COLUMNS": "tables",
    "write_thickness_files": "tables",
    "write_t2_files": "t2_files",
    "run_facts": "provenance",
    "input_facts": "provenance",
    "software_versions": "provenance",
    "build_results": "record",
    "write_results": "record",
    "results_outputs": "record",
    "results_schema": "record",
    "validate_results": "record",
    "TIDY_COLUMNS": "tidy",
    "report_output": "report",
    "write_report": "report",
    "RULES": "rules",
    "ShapePicture": "figures.shape",
    "summary": "terminal",
}

__all__ = [
    "RULES",
    "THICKNESS_COLUMNS",
    "TIDY_COLUMNS",
    "Drawing",
    "Output",
    "ShapePicture",
    "build_results",
    "dicom_seg_output",
    "drawing_of",
    "input_facts",
    "read_source",
    "report_output",
    "results_outputs",
    "results_schema",
    "run_facts",
    "software_versions",
    "summary",
    "texts_without",
    "validate_results",
    "write_dicom_seg",
    "write_label_files",
    "write_mesh_files",
    "write_report",
    "write_results",
    "write_t2_files",
    "write_thickness_files",
    "write_vtk",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
