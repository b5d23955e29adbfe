"""FUSION: the branches' numbers in one table."""

from __future__ import annotations

from ...imaging.labels import REGIONS
from ..context import StageContext
from ..files import read_json, write_json
from .relaxometry import with_layers


def join(context: StageContext) -> dict:
    """One table, region x measure, from thickness and T2, whichever there is."""
    table: dict[str, dict] = {}
    if context.has("thickness"):
        measures = read_json(context.path("thickness", "measures.json"))
        for region, values in measures["regions"].items():
            table.setdefault(region, {}).update(values)
    if context.has("t2"):
        t2 = with_layers(context)
        write_json(context.out / "t2.json", t2)
        for region, values in t2["regions"].items():
            table.setdefault(region, {}).update(values)
    ordered = {region: table[region] for region in REGIONS if region in table}
    write_json(context.out / "table.json", ordered)
    return {"regions": len(ordered)}
