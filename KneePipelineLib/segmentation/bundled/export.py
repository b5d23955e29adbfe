"""Turn a finished training into the shipped artefact: an nnU-Net v2 results folder with weights in half precision.

    python -m KneePipelineLib.segmentation.bundled.export TRAINED_DIR OUT [--catalogue]

TRAINED_DIR holds what `train` left (``lowres.pt.000`` ..., ``fullres.pt.000`` ...). The averaged weights are taken.
With both stages OUT becomes a cascade (3d_lowres, then 3d_cascade_fullres), with the first alone a 3d_lowres model.
nnU-Net's own predictor reads the folder as well as the code of this package.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import MissingFileError
from ..nnunet.folder import DEFAULT_ORIENTATION
from . import NOTICE, parts
from .train import STAGES, StagePlan

DATASET = "Dataset901_KneePipelineBundled"
TRAINER = "nnUNetTrainer__nnUNetPlans__"
CONFIGURATIONS = {"lowres": "3d_lowres", "fullres": "3d_cascade_fullres"}
"""Stage of the trainer -> nnU-Net's name for it."""

MIRROR_AXES = (0,)
"""The trainer shows every knee as right and as left: the first array axis runs from side to side."""

MODEL_FOLDER = Path(__file__).with_name("model")
MOST_BYTES = 16_000_000
NATIVE_NAMES = ("background", "patellar_cartilage", "femoral_cartilage", "medial_tibial_cartilage",
                "lateral_tibial_cartilage", "medial_meniscus", "lateral_meniscus", "femur", "tibia", "patella")
"""In the published networks' order (design, section 7)."""


def export(trained: Path, out: Path, stages: Sequence[str] = tuple(STAGES)) -> list[Path]:
    """Write the results folder below ``out`` and return its files.

    Parameters
    ----------
    trained : Path
        The trainer's folder.
    out : Path
        An earlier export in it is replaced; other files stay.
    stages : sequence of str
        Which stages to take, of those that are there.

    Raises
    ------
    MissingFileError
        If the first stage is not there.
    """
    found = {stage: saved for stage in stages if (saved := parts.load(trained / f"{stage}.pt")) is not None}
    if "lowres" not in found:
        raise MissingFileError("The first stage of the bundled network was not trained: lowres.pt is missing.",
                               "Train it with: python -m KneePipelineLib.segmentation.bundled.train ... "
                               "--stage lowres")
    plans, dataset = plans_of(tuple(found)), dataset_of({name: saved["state"] for name, saved in found.items()})
    for old in out.glob(f"{TRAINER}*"):
        shutil.rmtree(old)
    written = []
    for stage, saved in found.items():
        folder = out / f"{TRAINER}{CONFIGURATIONS[stage]}"  # no dataset folder above: Windows counts letters
        (folder / "fold_0").mkdir(parents=True)
        for name, content in (("plans.json", plans), ("dataset.json", dataset)):
            (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        torch.save(checkpoint_of(saved["average"], CONFIGURATIONS[stage], plans, dataset),
                   folder / "fold_0" / "checkpoint_final.pth")
        written += [folder / "dataset.json", folder / "plans.json", folder / "fold_0" / "checkpoint_final.pth"]
    return written


def checkpoint_of(average: dict[str, torch.Tensor], configuration: str, plans: dict, dataset: dict) -> dict:
    """An nnU-Net checkpoint: half precision, under every name nnU-Net's network has for a tensor.

    nnU-Net registers layers twice (``conv`` and ``all_modules.0``) and the encoder once more within the decoder. Names
    of one tensor share its storage, which torch writes once.
    """
    halves = {name: tensor.detach().half() for name, tensor in average.items()}
    weights = {name: halves[_trainers_name(name)] for name in _network_names(configuration, plans, dataset)}
    return {"network_weights": weights, "trainer_name": "nnUNetTrainer", "init_args": {"configuration": configuration},
            "inference_allowed_mirroring_axes": MIRROR_AXES}


def _network_names(configuration: str, plans: dict, dataset: dict) -> list[str]:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from ..nnunet.network import build_network

    manager = PlansManager(plans)
    return list(build_network(manager, manager.get_configuration(configuration), dataset).state_dict())


def _trainers_name(name: str) -> str:
    plain = name.removeprefix("decoder.") if name.startswith("decoder.encoder.") else name
    return plain.replace("all_modules.0.", "conv.").replace("all_modules.1.", "norm.")


def plans_of(stages: Sequence[str]) -> dict:
    """plans.json for the stages: what the trainer's `STAGES` say, in nnU-Net's words."""
    configurations = {CONFIGURATIONS[stage]: _configuration(CONFIGURATIONS[stage], STAGES[stage]) for stage in stages}
    if "fullres" in stages:
        configurations["3d_lowres"]["next_stage"] = "3d_cascade_fullres"
        configurations["3d_cascade_fullres"]["previous_stage"] = "3d_lowres"
    finest = STAGES[stages[-1]]
    return {
        "dataset_name": DATASET, "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [finest.pairs.spacing_mm] * 3,
        "original_median_shape_after_transp": list(finest.pairs.patch),
        "image_reader_writer": "SimpleITKIO", "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
        "configurations": configurations, "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": dict.fromkeys(
            ("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std"), 0.0)},
    }


def _configuration(name: str, plan: StagePlan) -> dict:
    depth = len(plan.features)
    # Straight lines in every direction, as the trainer's thick slices are interpolated: nnU-Net's default would repeat
    # thick slices unchanged.
    linear = {"order": 1, "order_z": 1, "force_separate_z": False}
    resampling = "resample_data_or_seg_to_shape"
    return {
        "data_identifier": f"nnUNetPlans_{name}", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": list(plan.pairs.patch), "median_image_size_in_voxels": [float(n) for n in plan.pairs.patch],
        "spacing": [plan.pairs.spacing_mm] * 3, "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resampling, "resampling_fn_data_kwargs": {"is_seg": False, **linear},
        "resampling_fn_seg": resampling, "resampling_fn_seg_kwargs": {"is_seg": True, **linear, "order_z": 0},
        "resampling_fn_probabilities": resampling, "resampling_fn_probabilities_kwargs": {"is_seg": False, **linear},
        "batch_dice": False,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": depth, "features_per_stage": list(plan.features),
                "conv_op": "torch.nn.modules.conv.Conv3d", "kernel_sizes": [[3, 3, 3]] * depth,
                "strides": [[1, 1, 1]] + [[2, 2, 2]] * (depth - 1), "n_conv_per_stage": list(plan.encoder_blocks),
                "n_conv_per_stage_decoder": [plan.decoder_blocks] * (depth - 1), "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }


def dataset_of(training: dict[str, dict]) -> dict:
    """dataset.json: labels, orientation, notice, and how long each stage was trained."""
    return {
        "channel_names": {"0": "MRI"}, "labels": {name: value for value, name in enumerate(NATIVE_NAMES)},
        "numTraining": 0, "file_ending": ".nii.gz", "kneepipeline_orientation": DEFAULT_ORIENTATION,
        "kneepipeline_notice": NOTICE,
        "kneepipeline_training": {stage: {"steps": int(state["step"]), "minutes": round(float(state["minutes"]), 1)}
                                  for stage, state in training.items()},
    }


def enter_in_catalogue(model_folder: Path, catalogue: Path) -> int:
    """Write sizes and SHA-256 of the model's files into the catalogue's entry ``bundled``; returns the bytes in all."""
    names = sorted(p.relative_to(model_folder).as_posix() for p in model_folder.glob(f"{TRAINER}*/**/*") if p.is_file())
    files = [{"path": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
             for name in names for content in [(model_folder / name).read_bytes()]]
    document = json.loads(catalogue.read_text(encoding="utf-8"))
    entry = next(model for model in document["models"] if model["name"] == "bundled")
    total = sum(file["size_bytes"] for file in files)
    entry.update(files=files, size_bytes=total or None, size_is_approximate=not files)
    catalogue.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """The command in this file's first lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trained", type=Path, help="the trainer's folder")
    parser.add_argument("out", type=Path, nargs="?", default=MODEL_FOLDER,
                        help="where to write (default: the shipped model's folder)")
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGES), default=tuple(STAGES))
    parser.add_argument("--catalogue", action="store_true", help="enter sizes and SHA-256 in the model catalogue")
    args = parser.parse_args(argv)
    written = export(args.trained, args.out, args.stages)
    total = sum(path.stat().st_size for path in written)
    for path in written:
        print(f"{path.stat().st_size:10d}  {path.relative_to(args.out)}")
    print(f"{total:10d}  bytes in all, at most {MOST_BYTES} allowed in the repository")
    if args.catalogue:
        from ...weights.entries import CATALOGUE_FILE

        enter_in_catalogue(args.out, CATALOGUE_FILE)
    return 0 if total <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
