"""From a label map to every measure of a knee, in two stages whose hand-over can be written to disk.

`prepare_knee` corrects sides, finds the axes, divides the femoral cartilage and makes all surfaces; `measure_prepared`
casts the rays and computes the measures, depth layers and menisci. `measure_knee` does one after the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..errors import ConfigError
from ..imaging.labels import (
    BONE_CARTILAGES,
    BONES,
    BY_NAME,
    BY_VALUE,
    FEMORAL_CARTILAGE,
    FEMUR,
    LATERAL_MENISCUS,
    MEDIAL_MENISCUS,
    PATELLA,
)
from ..imaging.volume import Volume
from .bones import BoneMeshes, bone_meshes, cartilage_mesh
from .depth import depth_layers
from .measures import regional_measures
from .menisci import meniscus_measures
from .proportions import odd_proportions
from .records import AnatomicalFrame, BoneSurface, KneeMorphometry, MorphometryOptions, PreparedKnee
from .sides import correct_tibial_sides, disagreement, labelled_witnesses, side_of, side_of_bones, witnesses
from .subregions import femoral_labels
from .surfaces import Mesh, vertex_normals_and_areas
from .thickness import BONE_REGIONS, with_thickness
from .total_area import total_region
from .values import value_counts
from .working import WorkingKnee, working_knee

THREADS = 2
SIDES = ("auto", "right", "left")


def femoral_subregions(labels: Volume, side: str = "auto") -> Volume:
    """Canonical labels with the femoral cartilage divided: 11 to 15 in place of 4.

    Parameters
    ----------
    labels : Volume
        Canonical, any orientation.
    side : str
        ``right``, ``left`` or ``auto``.

    Returns
    -------
    Volume
        uint8, same grid.

    Raises
    ------
    SegmentationError
        If there is no femur or tibia, or with ``auto`` nothing tells the side.
    """
    knee = working_knee(labels)
    side = _decided_side(knee, side)[0]
    knee, _ = correct_tibial_sides(knee, side)
    return knee.paste(femoral_labels(knee, side))


def measure_knee(
    labels: Volume, *, side: str = "auto", options: MorphometryOptions | None = None
) -> KneeMorphometry:
    """Measure one knee.

    Parameters
    ----------
    labels : Volume
        Canonical labels (see `canonical_labels`), any orientation, spacing and field of view that shows the joint.
    side : str
        ``right``, ``left``, or ``auto``: as the tibial cartilages show.
    options : MorphometryOptions, optional

    Returns
    -------
    KneeMorphometry

    Raises
    ------
    SegmentationError
        If there is no femur or no tibia, or they do not form a joint.
    ConfigError
        If ``side`` is something else.
    """
    options = options or MorphometryOptions()
    return measure_prepared(prepare_knee(labels, side=side, options=options), options=options)


def prepare_knee(labels: Volume, *, side: str = "auto", options: MorphometryOptions | None = None) -> PreparedKnee:
    """The first stage: sides, axes, subregions and surfaces; see `measure_knee`."""
    options = options or MorphometryOptions()
    knee = working_knee(labels)
    side, warnings = _decided_side(knee, side)
    knee, exchanged = _exchanged_menisci(knee, side)
    warnings += exchanged
    knee, changed = correct_tibial_sides(knee, side)
    if changed:
        warnings.append(("TIBIAL_SIDES_SWAPPED", f"{changed} voxels of tibial cartilage lay on the wrong side of the "
                         "tibia and were given the label of their side."))
    axes = knee.bone_axes
    with ThreadPoolExecutor(THREADS) as pool:
        pending_bones = {
            bone: pool.submit(bone_meshes, knee, bone, options.bone_variance_mm2, options.vertices[_name(bone)],
                              options.crop_fraction[_name(bone)])
            for bone in BONES if bone in knee.boxes
        }
        pending_cartilages = {
            (_name(bone), i): pool.submit(cartilage_mesh, knee, cartilage, options.cartilage_variance_mm2)
            for bone in BONES if bone in knee.boxes
            for i, cartilage in enumerate(BONE_CARTILAGES[bone]) if cartilage in knee.boxes
        }
        subregions = femoral_labels(knee, side)
        meshes = {_name(bone): pending.result() for bone, pending in pending_bones.items()}
        cartilages = {key: pending.result() for key, pending in pending_cartilages.items()}
    cartilages = {key: mesh for key, mesh in cartilages.items() if len(mesh[1])}
    warnings += _warnings(knee, meshes)
    return PreparedKnee(
        side=side,
        labels=knee.source,
        subregions=knee.paste(subregions),
        surfaces={bone: bare_surface(bone, m.even) for bone, m in meshes.items() if len(m.even[1])},
        dense_bones={bone: m.dense for bone, m in meshes.items() if len(m.dense[1])},
        cartilage_surfaces=cartilages,
        warnings=warnings,
        frame=AnatomicalFrame(axes.center, axes.axes, side),
    )


def measure_prepared(prepared: PreparedKnee, *, options: MorphometryOptions | None = None) -> KneeMorphometry:
    """The second stage: thickness, regional measures, depth layers and menisci."""
    options = options or MorphometryOptions()
    knee = working_knee(prepared.labels)
    subregions = _same_box(knee, prepared.subregions)
    with ThreadPoolExecutor(THREADS) as pool:
        even = {bone: (surface.points, surface.triangles) for bone, surface in prepared.surfaces.items()}
        layers = pool.submit(
            depth_layers, knee, subregions.array, prepared.dense_bones, even, prepared.cartilage_surfaces
        )
        surfaces = dict(pool.map(
            lambda bone: (bone, _measured(prepared, bone, knee, subregions, options)), prepared.surfaces
        ))
        menisci = meniscus_measures(knee, surfaces["tibia"], prepared.frame, options.cartilage_variance_mm2)
        depth = knee.paste(layers.result())
    regions = regional_measures(surfaces, value_counts(subregions.array), knee.volume.voxel_volume_mm3)
    return KneeMorphometry(
        side=prepared.side, labels=prepared.labels, subregions=prepared.subregions, depth=depth, surfaces=surfaces,
        raw_femur=prepared.dense_bones.get("femur"), cartilage_surfaces=prepared.cartilage_surfaces, regions=regions,
        menisci=menisci, warnings=list(prepared.warnings), frame=prepared.frame,
    )


def bare_surface(bone: str, mesh: Mesh) -> BoneSurface:
    """A bone surface without any cartilage on it yet."""
    normals, areas = vertex_normals_and_areas(mesh)
    count = len(mesh[0])
    none = np.zeros(count, np.uint8)
    return BoneSurface(bone, mesh[0], mesh[1], normals, areas, np.full(count, np.nan, np.float32),
                       np.zeros(count, np.float32), none, none, none)


def _name(bone: int) -> str:
    return BY_VALUE[bone].name


def _measured(
    prepared: PreparedKnee, bone: str, knee: WorkingKnee, subregions: Volume, options: MorphometryOptions
) -> BoneSurface:
    labels = BONE_CARTILAGES[BY_NAME[bone].value]
    cartilages = {labels[i]: mesh for (of, i), mesh in prepared.cartilage_surfaces.items() if of == bone}
    surface = with_thickness(prepared.surfaces[bone], cartilages, knee, subregions, options)
    regions = BONE_REGIONS[bone]
    plates = [regions] if bone == "femur" else [(label,) for label in regions]
    mesh = (surface.points, surface.triangles)
    total = total_region(mesh, surface.vertex_area_mm2, surface.region, plates, options.closing_mm)
    return replace(surface, total_region=total)


def _same_box(knee: WorkingKnee, whole: Volume) -> Volume:
    """Another map of the same grid on the working box."""
    box = knee.box
    return whole.cropped(tuple(s.start for s in reversed(box)), tuple(s.stop for s in reversed(box))).reoriented("LPS")


def _decided_side(knee: WorkingKnee, side: str) -> tuple[str, list[tuple[str, str]]]:
    if side not in SIDES:
        raise ConfigError(f"The side must be auto, right or left, not '{side}'.", "Give one of these with --side.")
    found = witnesses(knee)
    shown = side_of(found) if labelled_witnesses(knee) else None
    if side == "auto" and shown is None:
        guessed, _ = side_of_bones(knee)
        return guessed, [("SIDE_GUESSED", f"Nothing but the shape of the bones tells the side; taken for a {guessed} "
                          "knee. Give --side to be sure.")]
    clause = disagreement(found)
    if side == "auto":
        return shown, [("SIDE_DOUBTFUL", f"The label map contradicts itself about the side: {clause}. It was measured "
                        f"as a {shown} knee; medial and lateral are exchanged if that is wrong.")] if clause else []
    against = [w for w in found if w.side != side]
    if against and (shown != side or against[0] is found[0]):
        looks = against[0].side
        return side, [("SIDE_CONTRADICTED", f"The label map looks like a {looks} knee but was declared {side}; medial "
                       f"and lateral were exchanged to fit.{f' Of what it shows, {clause}.' if clause else ''}")]
    return side, [("SIDE_DOUBTFUL", f"The label map contradicts itself about the side: {clause}. It was declared "
                   f"{side} and measured as that; what did not fit was exchanged.")] if clause else []


def _exchanged_menisci(knee: WorkingKnee, side: str) -> tuple[WorkingKnee, list[tuple[str, str]]]:
    """The menisci exchanged where they contradict the side, and a warning that says so."""
    if MEDIAL_MENISCUS not in knee.boxes or LATERAL_MENISCUS not in knee.boxes:
        return knee, []
    offset = knee.points(MEDIAL_MENISCUS).mean(axis=0)[0] - knee.points(LATERAL_MENISCUS).mean(axis=0)[0]
    if (offset > 0) == (side == "right"):
        return knee, []
    table = np.arange(256, dtype=np.uint8)
    table[[MEDIAL_MENISCUS, LATERAL_MENISCUS]] = LATERAL_MENISCUS, MEDIAL_MENISCUS
    return knee.with_array(np.take(table, knee.array)), [
        ("MENISCI_EXCHANGED", f"The medial and the lateral meniscus lay as in the other knee; they were exchanged to "
         f"fit a {side} one.")]


def _warnings(knee: WorkingKnee, meshes: dict[str, BoneMeshes]) -> list[tuple[str, str]]:
    found = odd_proportions(knee)
    if PATELLA not in knee.boxes:
        found.append(("PATELLA_MISSING", "There is no patella in the label map; its measures are left out."))
    for bone in BONES:
        for cartilage in BONE_CARTILAGES[bone]:
            if bone in knee.boxes and cartilage not in knee.boxes:
                title = BY_VALUE[cartilage].title.lower()
                found.append(("CARTILAGE_MISSING", f"There is no {title} in the label map."))
    if FEMUR in knee.boxes and FEMORAL_CARTILAGE not in knee.boxes:
        found.append(("SUBREGIONS_UNAVAILABLE", "Without femoral cartilage there are no femoral subregions."))
    for meniscus in (MEDIAL_MENISCUS, LATERAL_MENISCUS):
        if meniscus not in knee.boxes:
            found.append(("MENISCUS_MISSING", f"There is no {BY_VALUE[meniscus].title.lower()} in the label map."))
    for bone, mesh in meshes.items():
        if mesh.pieces > 1:
            found.append(("SEVERAL_COMPONENTS", f"The {bone} comes in {mesh.pieces} pieces; the largest is measured."))
        if mesh.height_mm < mesh.wanted_height_mm * 0.98:
            found.append(("SHORT_SHAFT", f"Of the {bone} {mesh.height_mm:.0f} mm are in view; usually "
                          f"{mesh.wanted_height_mm:.0f} mm are kept."))
    return found
