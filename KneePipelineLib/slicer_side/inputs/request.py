"""What a person asks for with Apply, and the command line that asks the pipeline for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from . import ExportedInputs


@dataclass
class JobRequest:
    """One analysis.

    Attributes
    ----------
    input_node : vtkMRMLScalarVolumeNode or None
        The volume to analyse; with DICOM behind it the run reads the original files.
    input_path : path or None
        A DICOM folder, zip or image file instead of a node.
    echo_node : vtkMRMLScalarVolumeNode or None
        The second echo (or any volume of the echo series), with DICOM behind it.
    echo_path : path or None
        A DICOM folder with the echoes for T2 instead.
    segmentation_node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode or None
        Used instead of a network.
    segment_values : mapping of segment ID -> canonical label
        What a person chose in the mapping table; 0 leaves a segment out.
    label_scheme : str
        What a label map volume's numbers mean; segments are canonical by then.
    side, model, device, prefix : str
        As the command line takes them; an empty model or prefix means the default.
    output_folder : path or None
        Where the results stay; None: a new folder below the results folder of the settings.
    steps : tuple of str
        Only these stages; empty means all.
    echo : str
        Which echo of a multi-echo input is segmented: ``1``, ``2``, ..., ``rss``; empty means the default.
    timeout_s : float or None
        Deadline of the whole run.
    make_zip, restart : bool
        See the command line.
    reanalyse : bool
        `output_folder` holds an earlier run and `segmentation_node` its corrected labels: only what depends on the
        labels is done again.
    options : mapping
        Further keys of config.json, such as ``perform_nsm``; written to a configuration file for the run.
    """

    input_node: Any = None
    input_path: Path | str | None = None
    echo_node: Any = None
    echo_path: Path | str | None = None
    segmentation_node: Any = None
    segment_values: Mapping[str, int] = field(default_factory=dict)
    label_scheme: str = "auto"
    side: str = "auto"
    model: str = ""
    device: str = "auto"
    prefix: str = ""
    output_folder: Path | str | None = None
    steps: tuple[str, ...] = ()
    echo: str = ""
    timeout_s: float | None = None
    make_zip: bool = False
    restart: bool = False
    reanalyse: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot begin.

        Raises
        ------
        ConfigError
            One sentence, and the field of the panel to look at.
        """
        from ...job import JobOptions

        if self.input_node is None and not self.input_path and self.segmentation_node is None:
            raise ConfigError("No input was chosen.", "Choose a volume or a DICOM folder under Inputs.")
        if self.input_node is not None and self.input_path:
            raise ConfigError("A volume and a folder were both chosen as input.", "Clear one of them under Inputs.")
        if self.echo_node is not None and self.echo_path:
            raise ConfigError("A volume and a folder were both chosen for the echoes.", "Clear one under Inputs.")
        for path, what in ((self.input_path, "input"), (self.echo_path, "echo folder")):
            if path and not Path(path).exists():
                raise ConfigError(f"The {what} does not exist.", "Choose it again under Inputs.")
        if self.reanalyse and self.segmentation_node is None:
            raise ConfigError("There is no segmentation to analyse again.", "Choose the corrected one under Inputs.")
        given = {"side": self.side, "device": self.device, "label_scheme": self.label_scheme, **self.options}
        given |= {key: value for key, value in (("model", self.model), ("prefix", self.prefix),
                                                ("timeout", self.timeout_s)) if value}
        JobOptions.from_dict(given)

    def arguments(self, exported: ExportedInputs, output: Path) -> list[str]:
        """What follows ``python -m KneePipelineLib``, the event stream switched on."""
        arguments = ["run", str(exported.input), str(output), "--events", "-"]
        given = {
            "--segmentation": exported.segmentation, "--echoes": exported.echoes, "--config": exported.config,
            "--label-scheme": exported.label_scheme if exported.segmentation or exported.is_labels else None,
            "--model": self.model, "--prefix": self.prefix, "--echo": self.echo, "--steps": ",".join(self.steps),
            "--side": self.side if self.side != "auto" else None,
            "--device": self.device if self.device != "auto" else None,
            "--timeout": f"{self.timeout_s:g}" if self.timeout_s else None,
        }
        for flag, value in given.items():
            if value:
                arguments += [flag, str(value)]
        return arguments + ["--restart"] * self.restart + ["--zip"] * self.make_zip

    def copy(self, **changes: Any) -> JobRequest:
        """A copy with some fields changed."""
        return JobRequest(**{f.name: getattr(self, f.name) for f in fields(self)} | changes)
