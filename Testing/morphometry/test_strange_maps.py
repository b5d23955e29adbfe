"""Label maps of other people's making: public numberings, one label for both sides, shells, ligaments, no bones."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from KneePipelineLib.errors import SegmentationError
from KneePipelineLib.imaging import Volume
from KneePipelineLib.job import LABEL_SCHEMES
from KneePipelineLib.morphometry import canonical_labels, femoral_subregions
from KneePipelineLib.morphometry.numberings import PUBLIC, SCHEMES, TIBIAL_CARTILAGE
from KneePipelineLib.morphometry.plausibility import Seen, fault_of
from KneePipelineLib.morphometry.values import value_counts
from KneePipelineLib.phantom import DigitalKnee, Grid

OAI_ZIB = {1: 1, 4: 2, 2: 3, 5: 4, 6: 4}
OAI_ZIB_CM = {1: 1, 4: 2, 2: 3, 5: 4, 6: 5}
SKM_TEA = {7: 1, 4: 2, 5: 3, 6: 4, 8: 5, 9: 6}


@pytest.fixture(scope="module")
def knee() -> Volume:
    return DigitalKnee(0).labels(Grid.isotropic(1.5))


def numbered(knee: Volume, table: dict[int, int]) -> Volume:
    """The knee with these structures under these numbers, and nothing else."""
    values = np.zeros(256, np.uint8)
    for canonical, value in table.items():
        values[canonical] = value
    return knee.with_array(values[knee.array])


def only(knee: Volume, *structures: int) -> np.ndarray:
    return np.where(np.isin(knee.array, structures), knee.array, 0)


def test_the_command_line_knows_every_numbering() -> None:
    assert list(LABEL_SCHEMES) == ["auto", *SCHEMES, *PUBLIC]


@pytest.mark.parametrize(("table", "names"), [(OAI_ZIB, ("oai-zib", "ski10")), (OAI_ZIB_CM, ("oai-zib-cm",))])
def test_a_public_numbering_is_named_and_read_by_name(knee: Volume, table: dict, names: tuple) -> None:
    labels = numbered(knee, table)
    with pytest.raises(SegmentationError, match="femoral cartilage, 3 tibia") as caught:
        canonical_labels(labels)
    for name in names:
        assert f"--label-scheme {name}" in caught.value.hint
        assert np.array_equal(canonical_labels(labels, name).array, only(knee, 1, 2, 4, 5, 6))


@pytest.mark.parametrize("side", ["auto", "right", "left"])
def test_one_label_for_both_tibial_cartilages_is_parted_at_the_middle(knee: Volume, side: str) -> None:
    found = canonical_labels(numbered(knee, OAI_ZIB), "oai-zib", side=side)
    wanted = only(knee, 1, 2, 4, 5, 6)
    if side == "left":
        wanted = np.where(wanted == 5, 6, np.where(wanted == 6, 5, wanted))
    assert np.array_equal(found.array, wanted)
    codes = [code for code, _ in found.meta["warnings"]]
    assert codes == (["SIDE_GUESSED"] if side == "auto" else []) + ["PARTED_AT_THE_MIDDLE"]


def test_both_menisci_under_one_label_are_parted_too(knee: Volume, tmp_path) -> None:
    path = tmp_path / "scheme.json"
    table = {str(v): v for v in range(1, 8)} | {"8": "meniscus"}
    path.write_text(json.dumps(table))
    labels = numbered(knee, {v: min(v, 8) for v in range(1, 10)})
    assert np.array_equal(canonical_labels(labels, path).array, only(knee, *range(1, 10)))


@pytest.mark.parametrize(("table", "sentence"), [
    (SKM_TEA, "There are no bones in this map"), ({4: 1, 5: 2, 6: 3, 7: 4}, "There are no bones in this map"),
    ({4: 1, 5: 2, 6: 2}, "There are no bones in this map"), ({1: 1, 4: 2}, "There is only one bone in this map"),
    ({2: 2, 5: 5, 6: 6}, "There is only one bone in this map"),
])
def test_maps_without_both_bones(knee: Volume, table: dict, sentence: str) -> None:
    with pytest.raises(SegmentationError, match=sentence) as caught:
        canonical_labels(numbered(knee, table))
    assert "Femur and tibia are both needed" in caught.value.hint
    assert ("SKM-TEA" in caught.value.hint) == sentence.startswith("There are no bones")


COMMON_SETS = [(1, 4), (4, 5, 6), (1, 2, 4), (1, 2, 4, TIBIAL_CARTILAGE), (1, 2, 3, 4), (4, 5, 6, 7)]


@pytest.mark.parametrize("structures", COMMON_SETS)
def test_no_numbering_of_a_common_set_is_read_wrongly(knee: Volume, structures: tuple) -> None:
    """Every order of its values either is read as it was meant or is refused."""
    meant = np.where(np.isin(knee.array, (5, 6)), TIBIAL_CARTILAGE, knee.array)
    meant = meant if TIBIAL_CARTILAGE in structures else knee.array
    for order in itertools.permutations(range(1, len(structures) + 1)):
        values = np.zeros(256, np.uint8)
        values[list(structures)] = order
        array = values[meant]
        seen = Seen(knee.with_array(array), value_counts(array))
        for mapping in SCHEMES.values():
            if fault_of(seen, mapping) is None:
                read = {mapping[value]: structure for value, structure in zip(order, structures, strict=True)}
                assert all(r == m or (m == TIBIAL_CARTILAGE and r in (5, 6)) for r, m in read.items()), (order, read)


@pytest.mark.parametrize("table", [
    {1: 1, 2: 2, 5: 3, 6: 3, 4: 4}, {1: 1, 2: 2, 5: 3, 4: 4, 6: 5}, {1: 1, 2: 2, 4: 3},
])
def test_cartilage_is_no_patella(knee: Volume, table: dict) -> None:
    with pytest.raises(SegmentationError, match=r"too small|thin"):
        canonical_labels(numbered(knee, table), "canonical")


def test_a_patella_behind_the_femur(knee: Volume) -> None:
    array = only(knee, 1, 2, 4, 5, 6)
    shape = np.argwhere(knee.array == 3)
    behind = shape + [0, 60, 0]
    array[tuple(behind[(behind < array.shape).all(axis=1)].T)] = 3
    with pytest.raises(SegmentationError, match="the patella does not lie in front of the femur"):
        canonical_labels(knee.with_array(array))


def ligament(array: np.ndarray, labels: Volume, value: int, start: tuple, end: tuple, radius_mm: float) -> None:
    """Draw a rod between two LPS points where there is no label yet."""
    a, b = np.array(start), np.array(end)
    ends = labels.to_indices(np.stack([a, b]))[:, ::-1]
    low = np.maximum((ends.min(axis=0) - 6).astype(int), 0)
    box = tuple(slice(lo, int(hi) + 6) for lo, hi in zip(low, ends.max(axis=0), strict=True))
    free = np.argwhere(array[box] == 0) + low
    grid = labels.to_physical(free[:, ::-1])
    along = np.clip((grid - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    rod = np.linalg.norm(grid - a - along[:, None] * (b - a), axis=1) < radius_mm
    array[tuple(free[rod].T)] = value


def test_ligaments_under_11_and_12_are_no_femoral_cartilage(knee: Volume) -> None:
    femoral = knee.to_physical(np.argwhere(knee.array == 4)[:, ::-1])
    tibial = knee.to_physical(np.argwhere(knee.array == 2)[:, ::-1])
    middle, low, top = np.median(femoral[:, 0]), femoral[:, 2].min(), tibial[:, 2].max()
    back, front = np.quantile(femoral[:, 1], (0.75, 0.4))
    for fc in (4, 0):
        array = knee.array.copy()
        ligament(array, knee, 11, (middle - 6, back, low + 18), (middle, front, top - 1), 3.5)
        ligament(array, knee, 12, (middle + 6, front + 8, low + 15), (middle, back + 10, top - 8), 4)
        array[array == 4] = fc
        for scheme in ("auto", "canonical"):
            with pytest.raises(SegmentationError):
                canonical_labels(knee.with_array(array), scheme)


@pytest.mark.parametrize("open_shaft", [False, True])
def test_a_shell_of_bone_is_filled(knee: Volume, open_shaft: bool) -> None:
    from scipy.ndimage import binary_erosion

    array = knee.array.copy()
    for bone in (1, 2, 3):
        array[binary_erosion(knee.array == bone, iterations=2, border_value=int(open_shaft))] = 0
    found = canonical_labels(knee.with_array(array))
    lost = np.count_nonzero((found.array != knee.array) & (knee.array > 0))
    assert lost < 0.002 * np.count_nonzero(knee.array)
    assert {code for code, _ in found.meta["warnings"]} == {"HOLLOW_BONE_FILLED"}


def test_a_lesion_in_a_bone_stays(knee: Volume) -> None:
    array = knee.array.copy()
    femur = np.argwhere(array == 1)
    k, j, i = femur[len(femur) // 2]
    array[k - 2:k + 3, j - 2:j + 3, i - 2:i + 3] = 0
    assert np.array_equal(canonical_labels(knee.with_array(array)).array, array)


def test_scheme_files_as_people_write_them(knee: Volume, tmp_path) -> None:
    """With a byte order mark, with the report's titles, in other languages."""
    titles = {"1": "Femur", "2": "Femoral cartilage", "3": "Tibia", "4": "Medial tibial cartilage",
              "5": "Lateraler Tibiaknorpel"}
    path = tmp_path / "titles.json"
    path.write_text(json.dumps(titles), encoding="utf-8-sig")
    assert np.array_equal(canonical_labels(numbered(knee, OAI_ZIB_CM), path).array, only(knee, 1, 2, 4, 5, 6))


@pytest.mark.parametrize("half", ["medial", "lateral"])
def test_one_half_without_cartilage_leaves_the_regions_of_the_other(knee: Volume, half: str) -> None:
    """The landmarks come from the bone where one side of the cartilage is gone."""
    whole = femoral_subregions(knee).array
    voxels = np.argwhere(knee.array == 4)
    left = knee.to_physical(voxels[:, ::-1])[:, 0]
    middle = knee.to_physical(np.argwhere(knee.array == 1)[:, ::-1])[:, 0]
    middle = (middle.min() + middle.max()) / 2
    array = knee.array.copy()
    array[tuple(voxels[(left > middle) if half == "medial" else (left <= middle)].T)] = 0
    found = femoral_subregions(knee.with_array(array)).array
    for value in (11, *((13, 15) if half == "medial" else (12, 14))):
        wanted = (whole == value) & (array == 4)
        dice = 2 * np.count_nonzero((found == value) & wanted) / (np.count_nonzero(found == value) + wanted.sum())
        assert dice > 0.85, (value, dice)
