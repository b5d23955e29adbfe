"""The plans of an nnU-Net model, checked as a whole before anything is built from them.

What leaves here is plain data of the size of a network for knees: every name is one of `objects`, every number within
bounds that no trained network exceeds, and the parts fit each other, so that what nnU-Net makes of them neither runs
anything of the file's choosing nor ends in an error that says nothing. Plans of versions before nnU-Net 2.4, which name
a network instead of describing it, are brought into today's form; inherited configurations are resolved.
"""

from __future__ import annotations

import math
from copy import deepcopy

from ...errors import WeightsCorruptError
from .objects import check_layer, check_network, check_normalization, check_resampling, shown

MAX_STAGES = 16
MAX_FEATURES = 4096
MAX_BLOCKS = 64
MAX_KERNEL = 15
MAX_STRIDE = 8
MAX_PATCH_AXIS = 1024
MAX_PATCH_VOXELS = 2**27
SPACING_MM = (0.01, 100.0)
_NUMBER = 1e6
_LAYERS = ("conv_op", "norm_op", "dropout_op", "nonlin")
_HINT = "Get the model again; the plans.json that nnU-Net wrote when it was trained is needed."


def checked_plans(plans: dict, configuration: str) -> dict:
    """A copy of the plans with one configuration, resolved and checked; checking it again changes nothing.

    Parameters
    ----------
    plans : dict
        plans.json as it was read.
    configuration : str
        Such as ``3d_fullres``.

    Raises
    ------
    WeightsCorruptError
        If a name is none of nnU-Net's or PyTorch's own, a number is out of bounds, or parts do not fit together.
    """
    _require(configuration in _dict(plans, "configurations"), f"knows no configuration {shown(configuration)}")
    chosen = _resolved(plans["configurations"], configuration)
    if "architecture" not in chosen:
        chosen["architecture"] = _architecture_of_old_plans(chosen)
    axes = _check_grid(chosen)
    _check_architecture(_dict(chosen, "architecture"), axes, chosen["patch_size"])
    _check_preparation(chosen)
    checked = {key: deepcopy(value) for key, value in plans.items() if key != "configurations"}
    checked["configurations"] = {configuration: chosen}
    manager = checked.pop("label_manager", "LabelManager")  # without a name nnU-Net takes its own and searches nothing
    _require(manager == "LabelManager", f"names a label manager that is not nnU-Net's ({shown(manager)})")
    _check_transposition(checked)
    checked["foreground_intensity_properties_per_channel"] = _intensities(checked, chosen)
    return checked


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise WeightsCorruptError(f"The model's plans.json {what}.", _HINT)


def _dict(parent: dict, key: str) -> dict:
    _require(isinstance(parent.get(key), dict), f"lacks its part '{key}'")
    return parent[key]


def _resolved(configurations: dict, name: str) -> dict:
    """The configuration with what it inherits."""
    chain: list[dict] = []
    while name is not None:
        _require(isinstance(name, str) and isinstance(configurations.get(name), dict),
                 f"lacks the configuration {shown(name)}")
        _require(len(chain) < len(configurations), "has configurations that inherit from each other in a circle")
        chain.append(configurations[name])
        name = configurations[name].get("inherits_from")
    result: dict = {}
    for one in reversed(chain):
        result.update(deepcopy(one))
    result.pop("inherits_from", None)
    return result


def _architecture_of_old_plans(chosen: dict) -> dict:
    """What earlier versions left to their code: the U-Net that a name and a few numbers stood for.

    The rule is nnU-Net's own (2.3 to 2.8): features double with every stage up to a largest number.
    """
    name = chosen.get("UNet_class_name")
    _require(name in ("PlainConvUNet", "ResidualEncoderUNet"), f"names an unknown network ({shown(name)})")
    numbers = ("UNet_base_num_features", "unet_max_num_features")
    _require(all(_is_count(chosen.get(n), MAX_FEATURES) for n in numbers), "lacks the network's numbers of features")
    blocks = chosen.get("n_conv_per_stage_encoder")
    _require(isinstance(blocks, list) and 1 <= len(blocks) <= MAX_STAGES, "lacks the network's stages")
    base, largest = (chosen[n] for n in numbers)
    axes = 2 if isinstance(chosen.get("patch_size"), list) and len(chosen["patch_size"]) == 2 else 3
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": len(blocks), "features_per_stage": [min(base * 2**i, largest) for i in range(len(blocks))],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d", "kernel_sizes": chosen.get("conv_kernel_sizes"),
            "strides": chosen.get("pool_op_kernel_sizes"),
            "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": blocks,
            "n_conv_per_stage_decoder": chosen.get("n_conv_per_stage_decoder"), "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": list(_LAYERS),
    }


def _check_grid(chosen: dict) -> int:
    """Patch and spacing; returns the number of axes that the network sees."""
    patch, spacing = chosen.get("patch_size"), chosen.get("spacing")
    _require(isinstance(patch, list) and len(patch) in (2, 3) and all(_is_count(n, MAX_PATCH_AXIS) for n in patch)
             and math.prod(patch) <= MAX_PATCH_VOXELS, "names an impossible patch size")
    _require(isinstance(spacing, list) and len(spacing) == len(patch)
             and all(_is_number(s) and SPACING_MM[0] <= s <= SPACING_MM[1] for s in spacing),
             "names an impossible spacing")
    return len(patch)


def _check_architecture(architecture: dict, axes: int, patch: list[int]) -> None:
    check_network(architecture.get("network_class_name"))
    arguments, imported = _dict(architecture, "arch_kwargs"), architecture.get("_kw_requires_import")
    _require(isinstance(imported, list) and all(isinstance(key, str) for key in imported),
             "does not say which of the network's parts are layers")
    for key in set(imported) & set(arguments):
        if arguments[key] is not None:
            check_layer(arguments[key])
    for key, value in arguments.items():
        if key not in imported:
            _check_plain(value, shown(key))
    _require(str(arguments.get("conv_op")).endswith(f"Conv{axes}d") and "conv_op" in imported,
             f"describes a network that does not fit its patches of {axes} axes")
    stages = arguments.get("n_stages")
    _require(_is_count(stages, MAX_STAGES), "names an impossible number of stages")
    _require(_per_stage(arguments.get("features_per_stage"), stages, MAX_FEATURES), "names impossible features")
    _require(_per_axis(arguments.get("kernel_sizes"), stages, axes, MAX_KERNEL), "names impossible kernels")
    strides = arguments.get("strides")
    _require(_per_axis(strides, stages, axes, MAX_STRIDE), "names impossible strides")
    blocks = "n_conv_per_stage" if "n_conv_per_stage" in arguments else "n_blocks_per_stage"
    _require(_per_stage(arguments.get(blocks), stages, MAX_BLOCKS), "names impossible numbers of blocks")
    # The decoder's counterpart of a stage is as large as the stage only if every halving comes out even.
    whole = [math.prod(s if isinstance(s, int) else s[axis] for s in (strides if isinstance(strides, list)
                                                                      else [strides] * stages)) for axis in range(axes)]
    _require(all(n % f == 0 for n, f in zip(patch, whole, strict=True)),
             "names a patch size that its strides do not divide")


def _check_preparation(chosen: dict) -> None:
    schemes, masked = chosen.get("normalization_schemes"), chosen.get("use_mask_for_norm")
    _require(isinstance(schemes, list) and len(schemes) >= 1, "names no normalisation")
    check_normalization(schemes[0])
    _require(isinstance(masked, list) and len(masked) >= 1 and all(isinstance(m, bool) for m in masked),
             "does not say whether the background is left out of the normalisation")
    for kind in ("data", "seg", "probabilities"):
        options = chosen.setdefault(f"resampling_fn_{kind}_kwargs", {})
        _require(isinstance(options, dict), f"lacks the options of resampling_fn_{kind}")
        _check_plain(options, f"resampling_fn_{kind}_kwargs")
        chosen[f"resampling_fn_{kind}_kwargs"] = check_resampling(chosen.get(f"resampling_fn_{kind}"), options)
    stage = chosen.get("previous_stage")
    _require(stage is None or isinstance(stage, str), "names an impossible earlier stage")


def _check_transposition(plans: dict) -> None:
    there, back = plans.get("transpose_forward"), plans.get("transpose_backward")
    both = isinstance(there, list) and isinstance(back, list) and all(type(n) is int for n in [*there, *back])
    _require(both and sorted(there) == [0, 1, 2] == sorted(back) and [there[i] for i in back] == [0, 1, 2],
             "exchanges the axes in a way that cannot be undone")


def _intensities(plans: dict, chosen: dict) -> dict:
    """Intensities of the training images, under today's name; only CT's normalisation cannot do without."""
    known = plans.pop("foreground_intensity_properties_by_modality", None)
    known = plans.get("foreground_intensity_properties_per_channel", known)
    first = known.get("0") if isinstance(known, dict) else None
    if first is None and chosen["normalization_schemes"][0] != "CTNormalization":
        return {"0": {}}
    _require(isinstance(first, dict), "lacks the intensities that its normalisation needs")
    if chosen["normalization_schemes"][0] == "CTNormalization":
        needed = ("mean", "std", "percentile_00_5", "percentile_99_5")
        _require(all(_is_number(first.get(n)) for n in needed) and first["std"] > 0
                 and first["percentile_00_5"] <= first["percentile_99_5"], "holds impossible intensities")
    return {"0": first}


def _check_plain(value: object, where: str, depth: int = 0) -> None:
    """Numbers, short words, and short lists and tables of them."""
    _require(depth < 5, f"nests '{where}' too deeply")
    if isinstance(value, dict):
        _require(len(value) <= 32 and all(isinstance(k, str) for k in value), f"has an odd '{where}'")
        inner = list(value.values())
    elif isinstance(value, list):
        _require(len(value) <= 64, f"has an odd '{where}'")
        inner = value
    else:
        _require(value is None or isinstance(value, bool) or _is_number(value)
                 or (isinstance(value, str) and len(value) <= 64), f"has an odd '{where}'")
        return
    for one in inner:
        _check_plain(one, where, depth + 1)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_NUMBER <= value <= _NUMBER


def _is_count(value: object, largest: int) -> bool:
    return type(value) is int and 1 <= value <= largest


def _per_stage(value: object, stages: int, largest: int) -> bool:
    """One count for all stages or a list of one each."""
    return _is_count(value, largest) or (
        isinstance(value, list) and len(value) == stages and all(_is_count(n, largest) for n in value))


def _per_axis(value: object, stages: int, axes: int, largest: int) -> bool:
    """One count for all stages, or for each stage one count or one for each axis."""
    return _is_count(value, largest) or (isinstance(value, list) and len(value) == stages and all(
        _is_count(one, largest) or (isinstance(one, list) and len(one) == axes
                                    and all(_is_count(n, largest) for n in one)) for one in value))
