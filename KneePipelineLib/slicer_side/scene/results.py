"""What an import into the scene may be asked for, what it answers, and what its nodes bear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROLE, RUN, IMPORT = "KneePipeline.role", "KneePipeline.run", "KneePipeline.import"
"""Attributes of every node that an import made, and of the tree item of its folder: the output's role, when its run was
made (``created`` in results.json), and which import brought it."""
FOLDER_ROLE = "results_folder"


@dataclass(frozen=True)
class ImportOptions:
    """What of a run is wanted in the scene.

    Attributes
    ----------
    segmentation, subregions, models, table, chart, t2, shape : bool
        Kinds of results; subregions includes the cartilage layers. Without a table there is no chart.
    closed_surface : bool
        Whether segments get their closed surface at once.
    segment_ids : mapping of canonical value to segment ID, optional
        For a segmentation node to fill: which segment holds which structure, where that is known better than from
        tags, codes and names.
    under_transform : bool
        The results lie in the reference volume's own coordinates (its files were analysed), so they go under its
        parent transform. Otherwise they lie in the world.
    replaces : tuple of str
        `ImportedResults.import_id` of earlier imports, which are removed once this one is complete: their nodes
        wherever they lie by then, and their own folders. Nothing else ever is.
    """

    segmentation: bool = True
    subregions: bool = True
    models: bool = True
    table: bool = True
    chart: bool = True
    t2: bool = True
    shape: bool = True
    closed_surface: bool = True
    segment_ids: Mapping[int, str] | None = None
    under_transform: bool = False
    replaces: tuple[str, ...] = ()

    def wants(self, option: str) -> bool:
        """Whether results are wanted that one of these fields asks for; those that none asks for always are."""
        return getattr(self, option, True) and (option != "chart" or self.table)


@dataclass
class ImportedResults:
    """The nodes of one run, by role; None or empty where the run has none.

    Attributes
    ----------
    record : dict
        results.json.
    import_id : str
        Which import it was; the nodes and the folder bear it as attribute.
    folder_item : int
        Subject hierarchy item of the folder that holds them.
    segmentation : node or None
        The main label map, or the segmentation that was measured.
    models : dict of path to node
        Every surface, by its path in results.json.
    by_role : dict of role to list of nodes
        All of them, auxiliary ones (colour tables, plot series) included.
    """

    results_json: Path
    record: dict = field(repr=False)
    import_id: str = ""
    folder_item: int = 0
    segmentation: Any = None
    models: dict[str, Any] = field(default_factory=dict)
    by_role: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def table(self) -> Any:
        """The region table."""
        return self._first("region_table")

    @property
    def chart(self) -> Any:
        """The thickness chart, or that of T2 where there is no other."""
        return self._first("thickness_chart", "t2_chart")

    @property
    def t2(self) -> Any:
        """The T2 map."""
        return self._first("t2_map")

    @property
    def text(self) -> Any:
        """The run details."""
        return self._first("run_details")

    def _first(self, *roles: str) -> Any:
        return next((node for role in roles for node in self.by_role.get(role, ())), None)
