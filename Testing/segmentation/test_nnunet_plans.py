"""Plans files: nothing that they name is run, old ones are read, and what does not fit is told in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_nnunet import dataset_json, plans_json

from KneePipelineLib.errors import KneePipelineError, WeightsCorruptError
from KneePipelineLib.segmentation.nnunet.folder import ResultsFolder, open_results
from KneePipelineLib.segmentation.nnunet.network import build_network
from KneePipelineLib.segmentation.nnunet.objects import BLOCKS, LAYERS, NETWORKS, layer_class, network_class
from KneePipelineLib.segmentation.nnunet.plans import checked_plans
from KneePipelineLib.segmentation.nnunet.predict import managers

NAME = "3d_fullres"
UNET = "dynamic_network_architectures.architectures.unet"


def built(plans: dict, dataset: dict | None = None, name: str = NAME) -> torch.nn.Module:
    """The network that a folder with these plans gives, by the way a run takes."""
    folder = ResultsFolder(Path("folder"), name, plans, dataset or dataset_json(), (), {}, "PIR")
    plans_manager, configuration, _ = managers(folder)
    return build_network(plans_manager, configuration, folder.dataset)


def one() -> dict:
    """The chosen configuration's plans alone."""
    plans = plans_json("plain")
    plans["configurations"] = {NAME: plans["configurations"][NAME]}
    return plans


def parts(plans: dict) -> tuple[dict, dict, dict]:
    """Its configuration, architecture and the network's arguments."""
    configuration = plans["configurations"][NAME]
    return configuration, configuration["architecture"], configuration["architecture"]["arch_kwargs"]


COMMANDS = [
    "torch.nn.parallel.distributed.os.system", "torch.nn.modules.module.functools.partial", "os.system",
    "torch.nn.modules.os.system", "torch.nn.functional.importlib.import_module", "torch.nn.LeakyReLU.__init__",
    "torch.nn.init.warnings.warn", "torch.nn.Module", "torch.nn.Sequential", "torch.nn.modules.conv.os",
    f"{UNET}.torch.hub.load", "dynamic_network_architectures.architectures.unet.PlainConvUNet.__class__",
    "dynamic_network_architectures.building_blocks.residual.nn.parallel.distributed.os.system",
    "dynamic_network_architectures.os.system", "nnunetv2.utilities.find_class_by_name.os.system",
    "builtins.exec", "torch.nn.../x", "system", "", 5, ["os.system"], {"a": 1}, True,
]


def _as_layer(key: str) -> Callable[[dict, object], None]:
    return lambda plans, name: parts(plans)[2].update({key: name})


def _as_block(plans: dict, name: object) -> None:
    _, architecture, arguments = parts(plans)
    architecture["network_class_name"] = f"{UNET}.ResidualEncoderUNet"
    arguments["n_blocks_per_stage"] = arguments.pop("n_conv_per_stage")
    arguments["block"] = name
    architecture["_kw_requires_import"].append("block")


PLACES: dict[str, Callable[[dict, object], None]] = {
    **{key: _as_layer(key) for key in ("conv_op", "norm_op", "dropout_op", "nonlin")}, "block": _as_block,
    "network": lambda plans, name: parts(plans)[1].update(network_class_name=name),
    "normalisation": lambda plans, name: parts(plans)[0].update(normalization_schemes=[name]),
    "data": lambda plans, name: parts(plans)[0].update(resampling_fn_data=name),
    "seg": lambda plans, name: parts(plans)[0].update(resampling_fn_seg=name),
    "probabilities": lambda plans, name: parts(plans)[0].update(resampling_fn_probabilities=name),
    "label_manager": lambda plans, name: plans.update(label_manager=name),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", COMMANDS, ids=str)
def test_nothing_that_plans_name_is_run(place: str, name: object, tmp_path: Path) -> None:
    """Every place of a plans file that nnU-Net would look up, with a command in each disguise."""
    plans, mark = one(), tmp_path / "mark"
    PLACES[place](plans, name)
    for owner in ("nonlin", "norm_op", "dropout_op"):
        parts(plans)[2][f"{owner}_kwargs"] = {"command": f"echo bad > {mark}"}
    with pytest.raises(WeightsCorruptError) as caught:
        built(plans)
    assert caught.value.hint
    assert not mark.exists()


@pytest.mark.parametrize("name", ["recursive_find_python_class", "join", "np", "partial", "torch", "map_coordinates"])
def test_what_nnunets_modules_import_is_none_of_their_functions(name: str) -> None:
    for place in ("data", "seg", "probabilities", "normalisation", "label_manager"):
        plans = one()
        PLACES[place](plans, name)
        with pytest.raises(WeightsCorruptError):
            built(plans)


def test_the_network_judges_for_itself() -> None:
    """Plans that reached nnU-Net unchecked: the layers are still compared with the table before anything is called."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = one()
    parts(plans)[2]["nonlin"] = COMMANDS[0]
    manager = PlansManager(plans)
    with pytest.raises(WeightsCorruptError, match="unknown library"):
        build_network(manager, manager.get_configuration(NAME), dataset_json())


def test_every_entry_of_the_tables_is_a_layer_or_network() -> None:
    for name in LAYERS:
        assert layer_class(f"torch.nn.{name}") is getattr(torch.nn, name)
    assert layer_class("torch.nn.modules.activation.LeakyReLU") is torch.nn.LeakyReLU
    for name in BLOCKS:
        assert layer_class(f"dynamic_network_architectures.building_blocks.residual.{name}").__name__ == name
    for name in NETWORKS:
        assert network_class(f"{UNET}.{name}").__name__ == name


def old(plans: dict, name: str) -> dict:
    """The same network as plans of nnU-Net before 2.4 describe it."""
    configuration, _, arguments = parts(plans)
    del configuration["architecture"]
    configuration.update(
        UNet_class_name=name, UNet_base_num_features=8, unet_max_num_features=320, num_pool_per_axis=[1, 2, 2],
        n_conv_per_stage_encoder=arguments["n_conv_per_stage"],
        n_conv_per_stage_decoder=arguments["n_conv_per_stage_decoder"], pool_op_kernel_sizes=arguments["strides"],
        conv_kernel_sizes=arguments["kernel_sizes"])
    return plans


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_plans_of_earlier_versions(name: str) -> None:
    """Both networks are read as nnU-Net itself reads them, the residual one without the timm that it would ask for."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = old(one(), name)
    theirs = PlansManager(copy.deepcopy(plans)).get_configuration(NAME).configuration["architecture"]
    ours = checked_plans(plans, NAME)["configurations"][NAME]["architecture"]
    assert ours["arch_kwargs"] == theirs["arch_kwargs"]
    assert ours["_kw_requires_import"] == theirs["_kw_requires_import"]
    assert type(built(plans)).__name__ == name


def test_checked_plans_stay_as_they_are() -> None:
    plans = plans_json("resenc")
    before = copy.deepcopy(plans)
    once = checked_plans(plans, "3d_cascade_fullres")
    assert plans == before
    assert checked_plans(once, "3d_cascade_fullres") == once
    assert once["configurations"]["3d_cascade_fullres"]["previous_stage"] == "3d_lowres"
    assert once["configurations"]["3d_cascade_fullres"]["patch_size"] == [16, 32, 32]


def _set(part: int, **values: object) -> Callable[[dict], object]:
    return lambda plans: parts(plans)[part].update(values)


def _for_ct(plans: dict) -> dict:
    parts(plans)[0]["normalization_schemes"] = ["CTNormalization"]
    return plans


@pytest.mark.parametrize("change", [
    lambda p: old(p, "MyUNet"), lambda p: old(p, "PlainConvUNet")["configurations"][NAME].pop("conv_kernel_sizes"),
    _set(2, strides="x"), _set(2, strides=[[1, 1, 1], [1, 2, 2], [0, 2, 2]]), _set(2, strides=[[3, 3, 3]] * 3),
    _set(2, kernel_sizes=[[1, 3]] * 3), _set(2, kernel_sizes=10**9), _set(2, n_stages=10**9), _set(2, n_stages=-1),
    _set(2, features_per_stage=[8, 16]), _set(2, features_per_stage=[8, 16, 10**12]), _set(2, n_conv_per_stage=[]),
    _set(2, n_conv_per_stage_decoder=[1, 1, 1]), _set(2, conv_op="torch.nn.Conv2d"), _set(2, conv_op=None),
    _set(2, norm_op="torch.nn.LeakyReLU"), _set(2, nonlin_kwargs={"inplace": [[[[[[1]]]]]]}),
    _set(2, nonlin_kwargs={"slope": 1}), _set(2, nonlin_kwargs={"x": "a" * 10_000}), _set(2, nothing=1),
    _set(2, norm_op_kwargs=[1]), _set(2, input_channels=7, num_classes=3, weights="x"),
    _set(1, _kw_requires_import="conv_op"), _set(1, arch_kwargs=None), _set(1, _kw_requires_import=[]),
    _set(0, patch_size=[16, 32]), _set(0, patch_size=[10**6] * 3), _set(0, patch_size=[-16, 32, 32]),
    _set(0, spacing=[1, 1]), _set(0, spacing=[1e-9, 1, 1]), _set(0, spacing=[float("nan"), 1, 1]),
    _set(0, normalization_schemes=[]), _set(0, normalization_schemes=None), _set(0, use_mask_for_norm=["no"]),
    _set(0, inherits_from=NAME), _set(0, inherits_from="nowhere"), _set(0, inherits_from=[1]),
    _set(0, resampling_fn_data_kwargs={"command": "ls"}), _set(0, resampling_fn_data_kwargs=[1]),
    _set(0, previous_stage=[1]), lambda p: _for_ct(p).pop("foreground_intensity_properties_per_channel"),
    lambda p: _for_ct(p)["foreground_intensity_properties_per_channel"]["0"].pop("std"),
    lambda p: p.update(transpose_forward=[0, 1]), lambda p: p.update(transpose_backward=[2, 1, 0]),
    lambda p: p.pop("transpose_forward"), lambda p: p["configurations"].update({NAME: 5}),
    lambda p: p.update(configurations=[NAME]),
])
def test_plans_that_do_not_fit_are_told_in_a_sentence(change: Callable[[dict], object]) -> None:
    plans = one()
    change(plans)
    with pytest.raises(WeightsCorruptError) as caught:
        built(plans)
    assert caught.value.message.endswith(".")
    assert caught.value.hint
    assert "--repair" not in caught.value.hint


def test_the_folder_is_judged_when_it_is_opened(tmp_path: Path) -> None:
    """Not only when the network is built: an import opens the folder too."""
    folder = tmp_path / f"nnUNetTrainer__nnUNetPlans__{NAME}"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"x")
    (folder / "dataset.json").write_text(json.dumps(dataset_json()))
    plans = one()
    (folder / "plans.json").write_text(json.dumps(plans))
    assert open_results(folder).plans["configurations"][NAME]["spacing"] == [2.0, 1.0, 1.0]
    parts(plans)[2]["nonlin"] = COMMANDS[0]
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(WeightsCorruptError, match=r"os\.system"):
        open_results(folder)


@pytest.mark.parametrize("dataset", [
    {"labels": dataset_json()["labels"]}, {**dataset_json(), "channel_names": 5}, {**dataset_json(), "labels": [1]},
    {**dataset_json(), "labels": {"background": 0, "femur": 1, "tibia": 3}},
    {**dataset_json(), "labels": {"background": 0, "femur": None}}, {**dataset_json(), "labels": {}},
    {**dataset_json(), "labels": {"background": 0, "femur": True}},
    {**dataset_json(), "labels": {"background": 0, "femur": -1}},
])
def test_dataset_tables_that_do_not_fit(dataset: dict, tmp_path: Path) -> None:
    folder = tmp_path / f"nnUNetTrainer__nnUNetPlans__{NAME}"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"x")
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(one()))
    with pytest.raises(KneePipelineError) as caught:
        open_results(folder)
    assert caught.value.hint
