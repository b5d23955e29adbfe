"""One recogniser of names for command line, networks and Slicer: all words known, or no match."""

from __future__ import annotations

import subprocess
import sys

import pytest

from KneePipelineLib.imaging.labels import BY_NAME, STRUCTURES, SUBREGIONS
from KneePipelineLib.structure_names import UNSIDED, named_structure, side_in_name, speaks_of_the_knee

STRANGERS = """Patellar tendon|Patellar ligament|Quadriceps femoris|Biceps femoris|Femoral artery|Tibial nerve
Tibialis anterior|Infrapatellar fat pad|ACL femoral insertion|Femoral component|Femur BML|Femoral osteophyte
Femoral cartilage defect|Patellar cartilage loss|Tibial plateau|Medial femoral condyle|Femoral|Femur shaft|Femur (old)
Femur copy|not femur|Femur cortex|Subchondral tibia|Cartilage|Fibrosis|Fibularis|Latissimus|Medial meniscus tear
Medial meniscus root|Pathology|Patch|Patellofemoral cartilage|Tibia-fibula|Femur+cartilage|Femur and cartilage
Femur without cartilage|Femur w/o cart|Mental|Chondrocalcinosis|meniscus_L|tib_cart_L|бедро|Femur porc|F|MT|Segment_4
Femur articular|膝蓋靱帯|膝盖软骨|Osteochondral defect femur|Muscle|Bone|medial lateral meniscus
Anterior medial tibial cartilage"""

KNOWN = {
    "femur": "Femur|Fémur|Fêmur|Femore|Oberschenkel|Lårben|Dijbeen|股骨|大腿骨|Femur_L|left femur|Bone femur"
             "|l'os du fémur|Distal femur|Femur.R|Osso femore",
    "tibia": "Tibia|Tíbia|Schienbein|Scheenbeen|胫骨|脛骨|Proximal tibia|tibial bone",
    "patella": "Patella|Rotule|Rótula|Patela|Kniescheibe|Knieschijf|Knäskål|髌骨|膝蓋骨|kneecap",
    "fibula": "Fibula|Péroné|Wadenbein|Kuitbeen|腓骨",
    "fem_cart": "Femurknorpel|Femorknorpel|Gelenkknorpel Femur|Femur kraakbeen|Dijbeenkraakbeen|Cartilage fémoral|FC"
                "|Cartílago femoral|Cartilagine femorale|Cartilagem femoral|Lårbensbrosk|Femur 软骨|股骨软骨|大腿骨軟骨"
                "|FemurCartilage|femurcartilage|Femoral AC|ant_fem_cart|股骨外侧髁软骨|Medial femoral cartilage",
    "med_tib_cart": "Medialer Tibiaknorpel|Tibiaknorpel medial|Mediaal tibia kraakbeen|Cartilage tibial médial|mTC|MTC"
                    "|Cartilage tibial interne|Cartílago tibial medial|Cartilagine tibiale mediale|Medial tibiabrosk"
                    "|内侧胫骨软骨|脛骨内側関節軟骨|medtibcart|Medial tibial plateau cartilage",
    "lat_tib_cart": "Lateraler Tibiaknorpel|Lateraal tibia kraakbeen|Cartilage tibial latéral|Cartílago tibial externo"
                    "|外側脛骨軟骨|Tibia_cart_lat",
    "pat_cart": "Patellaknorpel|Retropatellarer Knorpel|Kniescheibenknorpel|Patella kraakbeen|Cartilage rotulien"
                "|Cartilage de la rotule|Cartílago de la rótula|Cartilagine rotulea|Cartilagem da patela|Knäskålsbrosk"
                "|髌骨软骨|膝蓋骨軟骨|膝蓋軟骨|髌软骨|cartilage_patellae",
    "med_meniscus": "Innenmeniskus|Binnenmeniscus|Ménisque interne|Menisco mediale|Meniscus medialis|Medial menisk"
                    "|内侧半月板|内側半月板|MM",
    "lat_meniscus": "Außenmeniskus|Buitenmeniscus|Ménisque externe|Menisco laterale|Lateral menisk|外侧半月板"
                    "|外側半月板",
    "tib_cart": "Tibial cartilage|Tibiaknorpel|Cartilage tibial|脛骨軟骨",
    "meniscus": "Meniscus|Menisci|Menisken|半月板",
}


@pytest.mark.parametrize("name", [n.strip() for n in STRANGERS.replace("\n", "|").split("|") if n.strip()])
def test_a_word_that_is_not_known_means_no_match(name: str) -> None:
    assert named_structure(name) is None


@pytest.mark.parametrize(("name", "structure"), [(n, s) for s, names in KNOWN.items() for n in names.split("|")])
def test_structures_in_ten_languages(name: str, structure: str) -> None:
    found = named_structure(name)
    assert found is not None
    assert found.structure == structure


def test_our_own_names_and_titles() -> None:
    for s in (*STRUCTURES, *SUBREGIONS):
        for name in (s.name, s.title):
            found = named_structure(name)
            assert found.structure == ("fem_cart" if s in SUBREGIONS else s.name)
            assert found.part == (s in SUBREGIONS)
    assert {side for pair in UNSIDED.values() for side in pair} <= set(BY_NAME)


@pytest.mark.parametrize(("names", "side"), [
    ("Right femur|rechter Oberschenkel|Fémur droit|Fêmur direito|Hoger femur|右大腿骨|Tibia_R"
     "|Cartílago rotuliano derecho", "right"),
    ("Left femur|linkes Femur|Fémur gauche|Femore sinistro|左股骨|L tibia|Femur.L|Left tib cart", "left"),
    ("Femur|Lateral meniscus|Femur cart L|meniscus_L|Left or right femur|Tibia (R/L)", None),
])
def test_which_knee_a_name_speaks_of(names: str, side: str | None) -> None:
    assert {name: side_in_name(name) for name in names.split("|")} == dict.fromkeys(names.split("|"), side)


def test_which_unknown_names_outweigh_a_code() -> None:
    assert speaks_of_the_knee("Femoral cartilage defect")
    assert not speaks_of_the_knee("Segment_4")


def test_nothing_but_the_standard_library() -> None:
    """Slicer's side asks before anything heavy is there."""
    code = ("import sys; from KneePipelineLib.structure_names import named_structure; named_structure('Femur');"
            "sys.exit('numpy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
