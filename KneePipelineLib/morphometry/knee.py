"""From a label map to every measure of a knee, in two stages whose hand-over can be written to disk.

`prepare_knee` corrects sides, finds the axes, divides the femoral cartilage and makes all surfaces; `measure_prepared`
casts the rays and computes the measures, depth layers and menisci. `measure_knee` does one after the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..imaging.bone_pieces import WholeBone
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
from .fine_regions import FineBorders, fine_borders
from .frame import BoneAxes, turned_onto_templates
from .joint import joint_measures, relative_pose
from .measures import fine_measures, regional_measures, thickness_sums
from .menisci import meniscus_measures
from .plates import lost_cartilage, lost_vertices, with_footprint
from .proportions import odd_proportions
from .records import AnatomicalFrame, BoneSurface, KneeMorphometry, MorphometryOptions, PreparedKnee
from .sides import correct_tibial_sides, decided_side, exchanged_menisci
from .slices import with_fine_slices
from .subregions import LOST_MM, FemoralBorders, femoral_labels
from .surfaces import EMPTY_MESH, Mesh, vertex_normals_and_areas
from .thickness import BONE_REGIONS, with_thickness
from .values import value_counts
from .working import WorkingKnee, with_whole_bones, working_knee

THREADS = 2


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
        If there is no femur or tibia, or they do not form a joint.
    """
    # the regions stand on the femur's own axes and on what bone is denuded: both take its surface
    return prepare_knee(labels, side=side).subregions


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
    given = working_knee(labels)
    whole, bones = with_whole_bones(given)
    side, warnings = decided_side(whole, side)
    knee, exchanged = exchanged_menisci(whole, side)
    warnings += exchanged
    knee, changed = correct_tibial_sides(knee, side)
    if changed:
        warnings.append(("TIBIAL_SIDES_SWAPPED", f"{changed} voxels of tibial cartilage lay on the wrong side of the "
                         "tibia and were given the label of their side."))
    axes, fine = knee.bone_axes, with_fine_slices(knee)
    with ThreadPoolExecutor(THREADS) as pool:
        pending_bones = {
            bone: pool.submit(bone_meshes, fine, bone, options.bone_variance_mm2, options.vertices[_name(bone)],
                              options.crop_fraction[_name(bone)])
            for bone in BONES if bone in knee.boxes
        }
        pending_cartilages = {
            (_name(bone), i): pool.submit(cartilage_mesh, fine, cartilage, options.cartilage_variance_mm2)
            for bone in BONES if bone in knee.boxes
            for i, cartilage in enumerate(BONE_CARTILAGES[bone]) if cartilage in fine.boxes
        }
        meshes = {_name(bone): pending.result() for bone, pending in pending_bones.items()}
        cartilages = {key: pending.result() for key, pending in pending_cartilages.items()}
        bare = [bare_surface(bone, m.even) for bone, m in meshes.items() if len(m.even[1])]
        found = {p.surface.bone: p for p in pool.map(lambda s: with_footprint(s, fine, side, options), bare)}
    surfaces = {bone: plates.surface for bone, plates in found.items()}
    warnings += [told for plates in found.values() for told in plates.warnings]
    lost = found["femur"].bare if "femur" in found else np.zeros(0, bool)
    femur_axes = turned_onto_templates(axes, found["femur"].turns if "femur" in found else (), side)
    subregions, surfaces, borders = _divided(knee, side, surfaces, lost, femur_axes)
    cartilages = {key: mesh for key, mesh in cartilages.items() if len(mesh[1])}
    warnings += _warnings(knee, meshes, bones)
    return PreparedKnee(
        side=side,
        labels=_published(given, whole, knee.array),
        subregions=_published(given, whole, subregions),
        surfaces=surfaces,
        dense_bones={bone: m.dense for bone, m in meshes.items() if len(m.dense[1])},
        cartilage_surfaces=cartilages,
        warnings=warnings,
        frame=AnatomicalFrame(axes.center, axes.axes, side),
        femur_frame=AnatomicalFrame(femur_axes.center, femur_axes.axes, side),
        notch_left_mm=None if borders is None else borders.notch_left,
        pose=relative_pose(*(found[bone].turns if bone in found else () for bone in ("femur", "tibia"))),
    )


def measure_prepared(prepared: PreparedKnee, *, options: MorphometryOptions | None = None) -> KneeMorphometry:
    """The second stage: thickness, regional measures, depth layers and menisci."""
    options = options or MorphometryOptions()
    knee = with_whole_bones(working_knee(prepared.labels))[0]
    subregions = _same_box(knee, prepared.subregions)
    fine = with_fine_slices(knee)
    lost = lost_cartilage(prepared.surfaces.get("femur"))
    femur_axes = BoneAxes(prepared.femur_frame.origin, prepared.femur_frame.axes)
    fine_subregions = subregions
    if fine is not knee:
        fine_subregions = fine.volume.with_array(femoral_labels(fine, prepared.side, lost, femur_axes)[0])
    # pyMSKT's regions stand on the cartilage there is: where some is lost, its reading needs borders of its own
    field = fine_subregions
    if lost is not None:
        field = fine.volume.with_array(femoral_labels(fine, prepared.side, None, femur_axes)[0])
    with ThreadPoolExecutor(THREADS) as pool:
        even = {bone: (surface.points, surface.triangles) for bone, surface in prepared.surfaces.items()}
        layers = pool.submit(
            depth_layers, knee, subregions.array, prepared.dense_bones, even, prepared.cartilage_surfaces
        )
        surfaces = dict(pool.map(
            lambda bone: (bone, _measured(prepared, bone, fine, fine_subregions, field, options)), prepared.surfaces
        ))
        menisci = meniscus_measures(fine, surfaces["tibia"], prepared.frame, options.cartilage_variance_mm2)
        depth = knee.paste(layers.result())
    borders = fine_borders(surfaces, prepared.femur_frame, prepared.notch_left_mm)
    surfaces = {bone: replace(s, subregion=borders.classify(s.points.astype(np.float64), s.total_region))
                for bone, s in surfaces.items()}
    parts = fine_voxels(knee, subregions.array, borders)
    voxel_mm3 = knee.volume.voxel_volume_mm3
    measured = fine_measures(surfaces, value_counts(parts), voxel_mm3)
    return KneeMorphometry(
        side=prepared.side, labels=prepared.labels, subregions=prepared.subregions, depth=depth, surfaces=surfaces,
        raw_femur=prepared.dense_bones.get("femur"), cartilage_surfaces=prepared.cartilage_surfaces,
        regions=regional_measures(surfaces, value_counts(subregions.array), voxel_mm3),
        menisci=menisci, warnings=list(prepared.warnings), frame=prepared.frame, fine=measured,
        sums=thickness_sums(measured), joint=joint_measures(surfaces, prepared.frame, borders, prepared.pose),
        fine_labels=knee.paste(parts),
    )


def fine_voxels(knee: WorkingKnee, subregions: np.ndarray, borders: FineBorders) -> np.ndarray:
    """The working box with every cartilage voxel's fine region, 0 elsewhere, uint8."""
    fine = np.zeros(knee.array.shape, np.uint8)
    for cartilage in (c for bone in BONES for c in BONE_CARTILAGES[bone] if c in knee.boxes):
        box, mask = knee.boxes[cartilage], knee.mask(cartilage)
        here = fine[box]
        here[mask] = borders.classify(knee.points(cartilage), subregions[box][mask])
    return fine


def bare_surface(bone: str, mesh: Mesh) -> BoneSurface:
    """A bone surface without any cartilage on it yet."""
    normals, areas = vertex_normals_and_areas(mesh)
    count = len(mesh[0])
    none = np.zeros(count, np.uint8)
    return BoneSurface(bone, mesh[0], mesh[1], normals, areas, np.full(count, np.nan, np.float32),
                       np.zeros(count, np.float32), none, none, none, none, none)


def _name(bone: int) -> str:
    return BY_VALUE[bone].name


def _divided(
    knee: WorkingKnee, side: str, surfaces: dict[str, BoneSurface], bare: np.ndarray, axes: BoneAxes
) -> tuple[np.ndarray, dict[str, BoneSurface], FemoralBorders | None]:
    """The femoral subregions, standing on the footprint, and the surfaces with denuded femur (``bare``) by region."""
    lost = lost_vertices(surfaces["femur"], bare) if bare.any() else None
    subregions, borders = femoral_labels(knee, side, lost, axes)
    if lost is None or borders is None:
        return subregions, surfaces, borders
    label = surfaces["femur"].footprint.copy()
    label[bare] = borders.classify(axes.to_frame(lost.points + LOST_MM / 2 * lost.normals))
    return subregions, {**surfaces, "femur": replace(surfaces["femur"], footprint=label)}, borders


def _measured(
    prepared: PreparedKnee, bone: str, knee: WorkingKnee, subregions: Volume, field: Volume,
    options: MorphometryOptions
) -> BoneSurface:
    labels = BONE_CARTILAGES[BY_NAME[bone].value]
    cartilages = {label: prepared.cartilage_surfaces.get((bone, i), EMPTY_MESH)  # smoothing leaves none of a thin one
                  for i, label in enumerate(labels) if label in knee.boxes}
    surface = with_thickness(prepared.surfaces[bone], cartilages, knee, subregions, options)
    if bone == "femur" and field is not subregions:
        theirs = with_thickness(prepared.surfaces[bone], cartilages, knee, field, options)
        surface = replace(surface, field_thickness_mm=theirs.field_thickness_mm, field_region=theirs.field_region)
    denuded = np.isin(surface.footprint, BONE_REGIONS[bone]) & ~np.isfinite(surface.thickness_mm)
    return replace(surface, total_region=np.where(denuded, surface.footprint, surface.region).astype(np.uint8))


def _same_box(knee: WorkingKnee, whole: Volume) -> Volume:
    """Another map of the same grid on the working box."""
    box = knee.box
    return whole.cropped(tuple(s.start for s in reversed(box)), tuple(s.stop for s in reversed(box))).reoriented("LPS")


def _published(given: WorkingKnee, whole: WorkingKnee, array: np.ndarray) -> Volume:
    """A working box on the source's grid, with bones as they were labelled instead of as they are measured."""
    return given.paste(np.where(whole.array != given.array, given.array, array))


def _warnings(
    knee: WorkingKnee, meshes: dict[str, BoneMeshes], bones: dict[int, WholeBone]
) -> list[tuple[str, str]]:
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
    for label, whole in bones.items():
        bone = _name(label)
        if whole.gap_mm:
            found.append(("GROWTH_PLATES", f"A gap of about {whole.gap_mm:.1f} mm divides the {bone} across its width, "
                          "as an open growth plate does; both parts were measured as one bone."))
        if whole.left_out:
            found.append(("SEVERAL_COMPONENTS", f"The {bone} comes in {whole.pieces} pieces; "
                          f"{whole.left_out} that lie apart from the joint were left out."))
    for bone, mesh in meshes.items():
        if mesh.height_mm < mesh.wanted_height_mm * 0.98:
            found.append(("SHORT_SHAFT", f"Of the {bone} {mesh.height_mm:.0f} mm are in view; usually "
                          f"{mesh.wanted_height_mm:.0f} mm are kept."))
    return found
