"""The hand-over between the two stages on disk: two NRRD label maps, one .npz of plain arrays, one JSON file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InvalidFormatError, MissingFileError
from ..imaging import read_labels, write_volume
from .knee import bare_surface
from .records import AnatomicalFrame, PreparedKnee

LABELS, SUBREGIONS, MESHES, FACTS = "labels.nrrd", "subregions.nrrd", "meshes.npz", "prepared.json"
VERSION = 2


def write_prepared(prepared: PreparedKnee, folder: str | Path) -> list[Path]:
    """Write a prepared knee into a folder, which is made if needed; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(prepared.labels, folder / LABELS)
    write_volume(prepared.subregions, folder / SUBREGIONS)
    arrays = {}
    meshes = {f"surface {bone}": (s.points, s.triangles) for bone, s in prepared.surfaces.items()}
    meshes |= {f"dense {bone}": mesh for bone, mesh in prepared.dense_bones.items()}
    meshes |= {f"cartilage {bone} {i}": mesh for (bone, i), mesh in prepared.cartilage_surfaces.items()}
    for name, (points, triangles) in meshes.items():
        arrays[f"{name} points"], arrays[f"{name} triangles"] = points, triangles
    arrays |= {f"footprint {bone}": s.footprint for bone, s in prepared.surfaces.items()}
    np.savez(folder / MESHES, **arrays)
    facts = {"version": VERSION, "side": prepared.side, "warnings": prepared.warnings,
             "frame": prepared.frame.to_dict(), "femur_frame": prepared.femur_frame.to_dict(),
             "notch_left_mm": prepared.notch_left_mm, "pose": prepared.pose}
    (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return [folder / name for name in (LABELS, SUBREGIONS, MESHES, FACTS)]


def read_prepared(folder: str | Path) -> PreparedKnee:
    """Read what `write_prepared` wrote.

    Raises
    ------
    MissingFileError
        If one of the files is not there.
    InvalidFormatError
        If one is damaged, or of another version.
    """
    folder = Path(folder)
    hint = "Run the stage that prepares subregions and surfaces again."
    for name in (LABELS, SUBREGIONS, MESHES, FACTS):
        if not (folder / name).is_file():
            raise MissingFileError(f"The prepared knee lacks the file {name}.", hint)
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        with np.load(folder / MESHES, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if facts["version"] != VERSION:
            raise ValueError("another version")
        frame, femur_frame = (AnatomicalFrame(np.array(of["origin"]), np.array(of["axes"]), of["side"])
                              for of in (facts["frame"], facts["femur_frame"]))
        meshes = {name.removesuffix(" points"): (points, arrays[name.removesuffix("points") + "triangles"])
                  for name, points in arrays.items() if name.endswith(" points")}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InvalidFormatError("The files of the prepared knee are damaged or of another version.", hint) from error
    named = {kind: {n.removeprefix(kind): m for n, m in meshes.items() if n.startswith(kind)}
             for kind in ("surface ", "dense ", "cartilage ")}
    return PreparedKnee(
        side=facts["side"],
        labels=read_labels(folder / LABELS),
        subregions=read_labels(folder / SUBREGIONS),
        surfaces={bone: replace(bare_surface(bone, mesh), footprint=arrays[f"footprint {bone}"])
                  for bone, mesh in named["surface "].items()},
        dense_bones=named["dense "],
        cartilage_surfaces={(key.split()[0], int(key.split()[1])): mesh for key, mesh in named["cartilage "].items()},
        warnings=[tuple(w) for w in facts["warnings"]],
        frame=frame,
        femur_frame=femur_frame,
        notch_left_mm=facts["notch_left_mm"],
        pose=None if facts["pose"] is None else tuple(facts["pose"]),
    )
