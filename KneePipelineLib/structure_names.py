"""Which structure of the knee a name speaks of: one recogniser for command line, label tables of networks and Slicer.

A name is taken apart into words, compounds included ("Femurknorpel", "MedTibCart", "股骨软骨"), and every word must be
known: one that is not ("Femoral cartilage defect", "Patellar tendon") makes the name say nothing, never something
shorter. A wrong guess would paint one structure as another.

Standard library only: Slicer's side asks too.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

FEMUR, TIBIA, PATELLA, FIBULA = "femur", "tibia", "patella", "fibula"
CARTILAGE, MENISCUS, MEDIAL, LATERAL = "cartilage", "meniscus", "medial", "lateral"
_ADJECTIVE, _BONE, _ARTICULAR, _PLATEAU, _PART, _END, _SIDE, _FILLER = (
    "adjective", "bone", "articular", "plateau", "part", "end", "side", "filler")
LEFT, RIGHT = "left", "right"

UNSIDED = {"tib_cart": ("med_tib_cart", "lat_tib_cart"), "meniscus": ("med_meniscus", "lat_meniscus")}
"""Structures that a name may leave whole, and the two that the middle of the knee parts them into."""

_SPELLINGS = {
    # English, Latin, German, Dutch, French, Italian, Spanish, Portuguese, Swedish; accents are taken off before.
    (FEMUR,): "femur fem femora femoris femore thighbone oberschenkel oberschenkelknochen oberschenkelbein dijbeen "
              "dijbot larben larbensben",
    (FEMUR, _ADJECTIVE): "femoral femorale femorales femoraler femoralen femoraal femoralis femorala femorali femorais "
                         "femor",
    (FEMUR, _PART): "trochlea trochlear trochleaire trochleare troclea troclear trocleare trochleaer",
    (TIBIA,): "tibia tib tibiae shinbone schienbein scheenbeen skenben",
    (TIBIA, _ADJECTIVE): "tibial tibiale tibialer tibiales tibialen tibiaal tibialis tibiala tibiali tibiais",
    (PATELLA,): "patella pat patellae kneecap kniescheibe knieschijf knaskal knaskalen rotule rotula patela",
    (PATELLA, _ADJECTIVE): "patellar patellare patellaren patellarer patellares patellaire patellair patellaar "
                           "patellaris patelar rotulien rotulienne rotuliano rotuliana rotuleo rotulea retropatellar "
                           "retropatellarer retropatellaire retropatellare retropatellair",
    (FIBULA,): "fibula fib fibulae wadenbein kuitbeen vadben perone",
    (FIBULA, _ADJECTIVE): "fibular fibulaire fibulare peroneal",
    (CARTILAGE,): "cart cartilage cartilages cartilagine cartilagini cartilagem cartilago cartilagos kartilage "
                  "kartilago knorpel knorpels kraakbeen brosk brosket ac",
    (MENISCUS,): "meniscus menisci meniscal men meniskus menisken menisque menisques menisco meniscos menisk meniski",
    (MEDIAL,): "med medial mediale medialer mediales medialen mediaal medialis mediala mediali inner inneres innere "
               "innerer innen interno interna interne intern binnen binnenste inre",
    (LATERAL,): "lat lateral laterale lateraler laterales lateralen lateraal lateralis laterala laterali outer aussen "
                "aussere ausserer ausseres aeussere aeusserer aeusseres externo externa externe extern esterno esterna "
                "buiten buitenste yttre",
    (_BONE,): "bone bones os osso hueso knochen bot ben been osseux osseuse oseo osea",
    (_ARTICULAR,): "articular artic articolare articulaire articulair gelenk gewrichts led hyaline hyalin",
    (_PLATEAU,): "plateau plateaus plato piatto",
    (_PART,): "anterior anteriore anterieur ant posterior posteriore posterieur post wb weight bearing central condyle "
              "condyles condylar kondylus kondyle condilo condylus condyl",
    (_END,): "distal distale distaal distaler distales proximal proximale proximaal prossimale",
    (_SIDE, LEFT): "left lt links linker linke linkes gauche izquierdo izquierda sinistro sinistra esquerdo esquerda "
                   "vanster",
    (_SIDE, RIGHT): "right rt rechts rechter rechte rechtes droit droite derecho derecha destro destra direito direita "
                    "hoger",
    (_FILLER,): "of the knee joint label mask segment segmentation structure knie genou rodilla ginocchio joelho kna "
                "du de la le des del della dello do da der die das van het von av",
}
_CHINESE_JAPANESE = {
    (FEMUR,): "股骨 大腿骨", (TIBIA,): "胫骨 脛骨", (PATELLA,): "髌骨 髕骨 膝蓋骨 膝盖骨 髌 髕 膝蓋", (FIBULA,): "腓骨",
    (CARTILAGE,): "软骨 軟骨", (MENISCUS,): "半月板", (MEDIAL,): "内侧 內側 内側 内 內", (LATERAL,): "外侧 外側 外",
    (_ARTICULAR,): "关节 關節 関節", (_PLATEAU,): "平台", (_PART,): "髁 顆 滑车 滑車",
    (_END,): "远端 遠端 遠位 近端 近位",
    (_SIDE, LEFT): "左侧 左側 左", (_SIDE, RIGHT): "右侧 右側 右", (_FILLER,): "膝 膝部 的 の",
}
_ABBREVIATIONS = {
    "fc": "fem_cart", "pc": "pat_cart", "mtc": "med_tib_cart", "ltc": "lat_tib_cart", "tmc": "med_tib_cart",
    "tlc": "lat_tib_cart", "tc": "tib_cart", "mm": "med_meniscus", "lm": "lat_meniscus",
}
_ROLES = {word: roles for table in (_SPELLINGS, _CHINESE_JAPANESE) for roles, words in table.items()
          for word in words.split()}
_LATIN = tuple(sorted((w for w in _ROLES if w.isascii()), key=len, reverse=True))
_IDEOGRAMS = tuple(sorted((w for w in _ROLES if not w.isascii()), key=len, reverse=True))
_JOINTS = ("", "s", "n", "en", "es")
"""What German, Dutch and Swedish put between the parts of a compound."""

_SHORT = 3
"""Words up to this long ("ac", "ben", "os") are no parts of compounds, but for our own abbreviations."""

_IN_COMPOUNDS = {"fem", "tib", "pat", "fib", "men", "med", "lat", "ant"}
_BONES = (FEMUR, TIBIA, PATELLA, FIBULA)
_ANATOMY = {*_BONES, CARTILAGE, MENISCUS}
_TOKENS = re.compile(r"[a-z]+|[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|\d+|[^\s_\-.,:;()\[\]/\\|]")


@dataclass(frozen=True)
class Named:
    """What a name speaks of.

    Attributes
    ----------
    structure : str
        A short name of the label table (``femur``, ``fem_cart``, ...) or a key of `UNSIDED`.
    part : bool
        Only a part of it ("anterior femoral cartilage"): several segments may share the structure.
    """

    structure: str
    part: bool = False


def named_structure(name: str) -> Named | None:
    """The one structure that a name speaks of, or None when it says none, several, or holds an unknown word.

    >>> named_structure("Medialer Tibiaknorpel").structure, named_structure("Femoral cartilage defect")
    ('med_tib_cart', None)
    """
    words = _words(name)
    if "".join(words) in _ABBREVIATIONS:  # "mTC" is two words to whoever splits at capitals
        return Named(_ABBREVIATIONS["".join(words)])
    letters = [w for w in words if w in ("l", "r")]
    roles = [_roles(w) for w in words if w not in letters and not w.isdigit()]
    if any(r is None for r in roles) or len(letters) > 1:
        return None
    said = [role for found in roles for role in found]
    found = _structure(said)
    # a lonely L is left or lateral: beside what has a lateral part it says neither
    return None if found is None or (letters and found.structure in UNSIDED) else found


def side_in_name(name: str) -> str | None:
    """``left`` or ``right`` where a name speaks of that side's knee, else None.

    A lonely L or R counts on a bone alone: beside a cartilage or a meniscus L may be lateral.

    >>> side_in_name("Right femur"), side_in_name("Tibia_L"), side_in_name("tib cart L")
    ('right', 'left', None)
    """
    words = _words(name)
    said = {role for word in words for role in _roles(word) or () if role in (LEFT, RIGHT)}
    found = named_structure(name)
    if found is not None and found.structure in _BONES:
        said |= {{"l": LEFT, "r": RIGHT}[word] for word in words if word in ("l", "r")}
    return said.pop() if len(said) == 1 else None


def speaks_of_the_knee(name: str) -> bool:
    """Whether any word of a name is one of our anatomy: such a name outweighs what else may describe the segment."""
    return any(_ANATOMY & set(_roles(word) or ()) for word in _words(name))


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    plain = unicodedata.normalize("NFD", re.sub(r"\b[dlDL]['’]", " ", spaced).casefold())
    latin = "".join(c for c in plain if not "\u0300" <= c <= "\u036f")
    return _TOKENS.findall(unicodedata.normalize("NFC", latin))


@cache
def _roles(word: str) -> tuple[str, ...] | None:
    """What a word says, its parts' roles together for a compound; None when it is unknown."""
    if word in _ROLES:
        return _ROLES[word]
    if not word.isascii():
        return _divided(word, _IDEOGRAMS, ("",))
    parts = tuple(w for w in _LATIN if len(w) > _SHORT or w in _IN_COMPOUNDS or w == "cart")
    return _divided(word, parts, _JOINTS)


def _divided(word: str, parts: tuple[str, ...], joints: tuple[str, ...]) -> tuple[str, ...] | None:
    for part in parts:
        if not word.startswith(part):
            continue
        rest = word[len(part):]
        if not rest:
            return _ROLES[part]
        for joint in joints:
            if rest.startswith(joint) and rest != joint:
                more = _divided(rest[len(joint):], parts, joints)
                if more is not None:
                    return _ROLES[part] + more
    return None


def _structure(said: list[str]) -> Named | None:
    """The structure that these roles together mean."""
    bones = {role for role in said if role in _BONES}
    sides = {role for role in said if role in (MEDIAL, LATERAL)}
    side = {MEDIAL: "med_", LATERAL: "lat_"}.get(next(iter(sides), ""), "")
    part = _PART in said
    if len(sides) > 1:
        return None
    if MENISCUS in said:
        alone = not bones and CARTILAGE not in said and not part and _END not in said and _PLATEAU not in said
        return Named(f"{side}meniscus") if alone else None
    if len(bones) != 1:
        return None
    bone = bones.pop()
    if CARTILAGE not in said:
        return _bone(bone, said, bool(sides) or part)
    if bone == TIBIA:
        return None if part or _END in said else Named(f"{side}tib_cart")
    if bone == FIBULA or _END in said or _PLATEAU in said:
        return None
    return Named({FEMUR: "fem_cart", PATELLA: "pat_cart"}[bone], part=part or bool(sides))


def _bone(bone: str, said: list[str], divided: bool) -> Named | None:
    if divided or _ARTICULAR in said or _PLATEAU in said:
        return None
    if _ADJECTIVE in said and _BONE not in said:
        return None  # "femoral": what of the femur is left open
    return Named(bone, part=_END in said)
