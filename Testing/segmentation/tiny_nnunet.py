"""Small but genuine nnU-Net v2 results folders: nnU-Net's own plans format, preprocessing, trainer and checkpoints.

A trained network needs something to learn from: `toy_knee` draws nine structures of distinct brightness in a knee's
arrangement, different in every direction, so that a wrong orientation shows.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from KneePipelineLib.imaging.volume import Volume

NATIVE_NAMES = {
    "background": 0, "patellar_cartilage": 1, "femoral_cartilage": 2, "medial_tibial_cartilage": 3,
    "lateral_tibial_cartilage": 4, "medial_meniscus": 5, "lateral_meniscus": 6, "femur": 7, "tibia": 8, "patella": 9,
}
BRIGHTNESS = {1: 700, 2: 620, 3: 540, 4: 460, 5: 120, 6: 60, 7: 260, 8: 330, 9: 200}
BACKGROUND = 400
LEARNING_RATE = 0.01


def toy_knee(seed: int = 0, shape: tuple[int, int, int] = (20, 40, 36), spacing: tuple[float, ...] = (1.0, 1.0, 2.0)
             ) -> tuple[Volume, np.ndarray]:
    """A sagittal volume (i to P, j to I, k to R) and its native labels, (z, y, x) = (left-right, sup-inf, ant-post)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij")
    shift = rng.uniform(-0.02, 0.02, 3)
    z, y, x = z + shift[0], y + shift[1], x + shift[2]
    labels = np.zeros(shape, np.uint8)
    in_plane = np.hypot((y - 0.3) / 0.28, (x - 0.6) / 0.28)
    across = (z > 0.12) & (z < 0.9)
    labels[(in_plane < 1.0) & across] = 2
    labels[(in_plane < 0.78) & across] = 7
    plateau = (x > 0.35) & (x < 0.9) & across
    labels[(y > 0.68) & plateau] = 8
    labels[(y > 0.60) & (y <= 0.68) & plateau & (z < 0.48)] = 3
    labels[(y > 0.60) & (y <= 0.68) & plateau & (z > 0.54)] = 4
    labels[(y > 0.56) & (y <= 0.62) & (x > 0.7) & plateau & (z < 0.44)] = 5
    labels[(y > 0.56) & (y <= 0.62) & (x > 0.7) & plateau & (z > 0.6)] = 6
    kneecap = np.hypot((y - 0.3) / 0.16, (x - 0.12) / 0.1)
    labels[(kneecap < 1) & (z > 0.25) & (z < 0.75)] = 9
    labels[(kneecap < 1.4) & (kneecap >= 1) & (x > 0.14) & (z > 0.25) & (z < 0.75)] = 1
    image = np.full(shape, BACKGROUND, np.float32)
    for value, level in BRIGHTNESS.items():
        image[labels == value] = level
    image += rng.normal(0, 12, shape)
    return Volume(image, spacing, direction=[[0, 0, -1], [1, 0, 0], [0, -1, 0]]).with_array(image), labels


def plans_json(architecture: str, *, spacing: tuple[float, ...] = (2.0, 1.0, 1.0),
               patch: tuple[int, ...] = (16, 32, 32), lowres_spacing: tuple[float, ...] = (2.5, 1.6, 1.6)) -> dict:
    """Plans with 3d_fullres, 3d_lowres and 3d_cascade_fullres, as nnU-Net's planners write them."""
    name = {"plain": "PlainConvUNet", "resenc": "ResidualEncoderUNet"}[architecture]
    depth = "n_conv_per_stage" if architecture == "plain" else "n_blocks_per_stage"
    network = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": 3, "features_per_stage": [8, 16, 32], "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            depth: [1, 2, 2], "n_conv_per_stage_decoder": [1, 1], "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    resampling = "resample_data_or_seg_to_shape"
    fullres = {
        "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": list(patch), "median_image_size_in_voxels": [20.0, 40.0, 36.0], "spacing": list(spacing),
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": resampling, "resampling_fn_seg": resampling, "resampling_fn_probabilities": resampling,
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": network, "batch_dice": False,
    }
    lowres = {**fullres, "data_identifier": "nnUNetPlans_3d_lowres", "spacing": list(lowres_spacing),
              "next_stage": "3d_cascade_fullres"}
    return {
        "dataset_name": "Dataset500_KneeMRI", "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(spacing), "original_median_shape_after_transp": [20, 40, 36],
        "image_reader_writer": "SimpleITKIO", "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": fullres, "3d_lowres": lowres,
                           "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}},
        "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {
            "max": 800.0, "mean": 350.0, "median": 330.0, "min": 20.0, "percentile_00_5": 40.0,
            "percentile_99_5": 720.0, "std": 150.0}},
    }


def dataset_json(names: dict[str, int] | None = None) -> dict:
    """The dataset.json of a knee with nine structures."""
    return {"channel_names": {"0": "MRI"}, "labels": dict(names or NATIVE_NAMES), "numTraining": 2,
            "file_ending": ".nii.gz"}


def make_results(root: Path, configuration: str, plans: dict, *, folds: tuple[str, ...] = ("0",), steps: int = 60,
                 checkpoint: str = "checkpoint_final.pth", dataset: dict | None = None,
                 knees: Sequence[tuple[Volume, np.ndarray]] = ()) -> Path:
    """Train a configuration for a few steps with nnU-Net's trainer and let it write its results folder.

    ``knees`` are volumes with their native labels to learn from, two toy knees by default.
    """
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    dataset = dataset or dataset_json()
    folder = root / plans["dataset_name"] / f"nnUNetTrainer__{plans['plans_name']}__{configuration}"
    with contextlib.redirect_stdout(io.StringIO()), _environment(root):
        for number, fold in enumerate(folds):
            torch.manual_seed(number)
            settings = json.loads(json.dumps({**plans, "continue_training": False}))
            trainer = nnUNetTrainer(settings, configuration, fold, dataset, torch.device("cpu"))
            trainer.enable_deep_supervision = False
            (folder / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
            _prepare_trainer(trainer)
            _train(trainer, steps, knees or [toy_knee(1), toy_knee(2)])
            trainer.save_checkpoint(str(folder / f"fold_{fold}" / checkpoint))
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


@contextlib.contextmanager
def _environment(root: Path):
    """nnU-Net's trainer, unlike our inference, wants its environment variables."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    before = {n: os.environ.get(n) for n in names}
    os.environ.update({n: str(root) for n in names})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _prepare_trainer(trainer) -> None:
    """What nnUNetTrainer.initialize does, without looking for a preprocessed dataset."""
    import torch
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

    trainer.num_input_channels = determine_num_input_channels(trainer.plans_manager, trainer.configuration_manager,
                                                              trainer.dataset_json)
    trainer.network = trainer.build_network_architecture(
        trainer.plans_manager, trainer.configuration_manager, trainer.num_input_channels,
        trainer.label_manager.num_segmentation_heads, False)
    trainer.optimizer = torch.optim.Adam(trainer.network.parameters(), LEARNING_RATE)
    trainer.loss = trainer._build_loss()
    trainer.was_initialized = True
    trainer._best_ema = np.float64(0.5)
    trainer.inference_allowed_mirroring_axes = (0, 1, 2)


def _train(trainer, steps: int, knees: Sequence[tuple[Volume, np.ndarray]]) -> None:
    import torch

    torch.set_num_threads(1)
    cases = [_training_case(trainer, volume, labels) for volume, labels in knees]
    patch = trainer.configuration_manager.patch_size
    rng = np.random.default_rng(0)
    trainer.network.train()
    for step in range(steps):
        for group in trainer.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps) ** 0.9
        data, target = _patch(*cases[step % len(cases)], patch, rng)
        trainer.optimizer.zero_grad()
        loss = trainer.loss(trainer.network(torch.from_numpy(data)), torch.from_numpy(target))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), 12)
        trainer.optimizer.step()
        trainer.logger.log("train_losses", np.mean(loss.detach().numpy()), 0)


def _training_case(trainer, volume: Volume, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot

    data, seg, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        volume.array[None], labels[None].astype(np.int16), {"spacing": list(volume.spacing[::-1])},
        trainer.plans_manager, trainer.configuration_manager, trainer.dataset_json)
    target = np.maximum(seg, 0)
    if trainer.configuration_manager.previous_stage_name is not None:
        before = np.roll(target[0], 1, axis=1)  # an imperfect first stage
        data = np.vstack([data, convert_labelmap_to_one_hot(before, trainer.label_manager.foreground_labels,
                                                            data.dtype)])
    return data.astype(np.float32), target


def _patch(data: np.ndarray, target: np.ndarray, patch: list[int], rng) -> tuple[np.ndarray, np.ndarray]:
    pad = [(0, 0), *[(0, max(0, p - n)) for p, n in zip(patch, data.shape[1:], strict=True)]]
    data, target = np.pad(data, pad), np.pad(target, pad)
    start = [int(rng.integers(0, n - p + 1)) for p, n in zip(patch, data.shape[1:], strict=True)]
    place = (slice(None), *[slice(s, s + p) for s, p in zip(start, patch, strict=True)])
    return data[place][None], target[place][None].astype(np.int64)


def nnunet_answer(folder: Path, volume: Volume, *, folds: tuple[str, ...] | None = None, previous=None,
                  checkpoint: str = "checkpoint_final.pth", mirroring: bool = False) -> np.ndarray:
    """What nnU-Net's own predictor says, native labels on the array as given."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(0.5, True, mirroring, False, torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), folds or ("0",), checkpoint)
        return predictor.predict_single_npy_array(
            volume.array[None].astype(np.float32), {"spacing": list(volume.spacing[::-1])},
            None if previous is None else previous[None].astype(np.int16))
