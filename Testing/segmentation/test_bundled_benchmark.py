"""The benchmark's table: what is held to a bound, and what is said when it is missed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Benchmarks"))
import bundled_cases
import bundled_network
from bundled_pictures import montage

from KneePipelineLib.phantom import DigitalKnee, Grid

TIMED = {"seconds": 19.0, "cpu_seconds": 30.0, "gib": 2.0, "run_seconds": 40.0, "run_gib": 2.5, "threads": 2,
         "size": [384, 384, 160]}
STRUCTURES = [bundled_cases.BY_VALUE[v].name for v in range(1, 10)]


def digital(dice: float, seed: int = 0, error_mm: float | None = 0.1) -> dict:
    table = {region: [None if error_mm is None else 2 + error_mm, 2.0] for region in bundled_cases.REGIONS}
    return {"seed": seed, "dice": {"dess": dict.fromkeys(STRUCTURES, dice)}, "thickness": table}


def real(**changes: dict) -> dict:
    case = {"volume_ml": {"femur": 200, "tibia": 150, "patella": 20, "fem_cart": 14, "med_tib_cart": 2,
                          "lat_tib_cart": 2, "pat_cart": 3, "med_meniscus": 2, "lat_meniscus": 2},
            "largest_piece": dict.fromkeys(("femur", "tibia", "patella"), 0.99),
            "near_bone": dict.fromkeys(("fem_cart", "med_tib_cart", "lat_tib_cart", "pat_cart"), 0.95)}
    return {**case, **changes}


def verdicts(results: dict) -> list[bool]:
    return [row.met for row in bundled_network.table(results) if row.met is not None]


def test_a_good_network_meets_every_bound() -> None:
    results = {"digital": [digital(0.98), digital(0.975, 1)], "real": [real()],
               "map": [{"contrast": "t1", "dice": dict.fromkeys(STRUCTURES[:7], 0.95)}],
               "time": [TIMED]}
    found = verdicts(results)
    assert len(found) == 3 + 9 + 2 + 14 + 2
    assert all(found)


@pytest.mark.parametrize("results", [
    {"digital": [digital(0.8), digital(0.9)]}, {"digital": [digital(0.99, error_mm=-0.4)]},
    {"digital": [digital(0.99, error_mm=None)]}, {"real": [real(near_bone={})]},
    {"real": [real(largest_piece={"femur": 0.97})]},
    {"time": [{**TIMED, "seconds": 21.0}]}, {"time": [{**TIMED, "gib": 3.1}]},
    {"map": [{"contrast": "t1", "dice": dict.fromkeys(STRUCTURES, 0.7)}]}])
def test_a_missed_bound_is_told(results: dict) -> None:
    assert False in verdicts(results)


def test_errors_of_opposite_sign_do_not_cancel() -> None:
    rows = bundled_network.table({"digital": [digital(0.99, 0, 0.5), digital(0.99, 1, -0.5)]})
    assert [row.met for row in rows if row.part == "thickness"] == [False] * 9


def test_card_takes_the_table_between_its_marks(tmp_path: Path) -> None:
    card = tmp_path / "MODEL_CARD.md"
    card.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        bundled_network.write_card(card, bundled_network.table({"digital": [digital(0.9)]}))
    text = card.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures -->\n| test |")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "old" not in text
    assert "**missed**" in text


def test_dice_counts_structures_the_truth_has() -> None:
    true = np.zeros((4, 4, 4), np.uint8)
    true[:2] = 1
    found = np.zeros_like(true)
    found[:1] = 1
    found[3] = 8
    assert bundled_cases.dice_of(found, true) == {"femur": pytest.approx(2 / 3)}


def test_pictures_show_any_orientation_and_an_empty_map(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    grid = Grid.axial((60, 60, 12), (2.4, 2.4, 10.0))
    labels = DigitalKnee(seed=2).labels(grid)
    image = grid.volume(labels.array.astype(np.float32) * 10)
    montage(image, labels, tmp_path / "found.png", "A knee", labels)
    montage(image, labels.with_array(np.zeros_like(labels.array)), tmp_path / "none.png", "None")
    assert (tmp_path / "found.png").stat().st_size > (tmp_path / "none.png").stat().st_size > 1000
