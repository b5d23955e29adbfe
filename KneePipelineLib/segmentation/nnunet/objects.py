"""The few classes and functions that an nnU-Net plans file may name: one table of each kind.

nnU-Net resolves such names with `pydoc.locate` and by searching its packages, which reach whatever a module on the way
happens to import: ``torch.nn.parallel.distributed.os.system`` is a command, and the network's constructor would call
it. Here a name is only compared with the tables; nothing is imported or searched because a file says so, and what the
tables lead to is still asked whether it is the kind of object that it should be.

The ``check_`` functions look at names only and import nothing, so that a model's folder can be judged without PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import WeightsCorruptError
from .quiet import quiet

if TYPE_CHECKING:
    import torch

NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
BLOCKS = ("BasicBlockD", "BottleneckD")
LAYERS = frozenset(
    [f"{kind}{axes}d" for kind in ("Conv", "InstanceNorm", "BatchNorm", "Dropout") for axes in (1, 2, 3)]
    + ["GroupNorm", "SyncBatchNorm", "Dropout", "AlphaDropout", "ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "ELU",
       "SELU", "CELU", "GELU", "SiLU", "Mish", "Hardswish", "Softplus", "Tanh"])
NORMALIZATIONS = ("ZScoreNormalization", "CTNormalization", "NoNormalization", "RescaleTo01Normalization",
                  "RGBTo01Normalization")
_SEPARATION = ("force_separate_z", "separate_z_anisotropy_threshold")
RESAMPLINGS = {
    "resample_data_or_seg_to_shape": ("default_resampling", {"is_seg", "order", "order_z", *_SEPARATION}),
    "resample_torch_fornnunet": ("resample_torch", {"is_seg", "memefficient_seg_resampling", "mode",
                                                    "aniso_axis_mode", *_SEPARATION}),
    "no_resampling_hack": ("no_resampling", set()),
}
"""Function -> its module in nnU-Net and the options that plans may give it; how many threads it takes is not one."""
_IGNORED_OPTIONS = {"num_threads", "device"}


def check_network(name: object) -> str:
    """The name of one of nnU-Net's own U-Nets, in whichever of its modules earlier versions kept it.

    Raises
    ------
    WeightsCorruptError
        If the name says anything else.
    """
    last = _last_part(name, r"dynamic_network_architectures\.architectures\.\w+")
    if last not in NETWORKS:
        raise _foreign("network", name, f"Use one of nnU-Net's own networks ({', '.join(NETWORKS)}).")
    return last


def network_class(name: object) -> type[torch.nn.Module]:
    """The network of a name; raises as `check_network`."""
    return _of_kind("dynamic_network_architectures.architectures.unet", check_network(name))


def check_layer(name: object) -> tuple[str, str]:
    """Module and name of a layer of PyTorch or a residual block of the network library.

    Raises
    ------
    WeightsCorruptError
        If the name says anything else, such as a function that a module of PyTorch has imported.
    """
    block = _last_part(name, r"dynamic_network_architectures\.building_blocks\.residual")
    if block in BLOCKS:
        return "dynamic_network_architectures.building_blocks.residual", block
    layer = _last_part(name, r"torch\.nn(\.modules(\.[a-z]+)?)?")
    if layer in LAYERS:
        return "torch.nn", layer
    raise _foreign("layer", name, "Use PyTorch's own convolutions, normalisations, activations and dropout.")


def layer_class(name: object) -> type[torch.nn.Module]:
    """The layer of a name; raises as `check_layer`."""
    return _of_kind(*check_layer(name))


def check_normalization(name: object) -> str:
    """The name of one of nnU-Net's own normalisation schemes; WeightsCorruptError for any other."""
    if not isinstance(name, str) or name not in NORMALIZATIONS:
        raise _foreign("normalisation", name, f"Use one of nnU-Net's own schemes ({', '.join(NORMALIZATIONS)}).")
    return name


def normalization_class(name: object) -> type:
    """The normalisation scheme of a name; raises as `check_normalization`."""
    with quiet():
        module = import_module("nnunetv2.preprocessing.normalization.default_normalization_schemes")
    return getattr(module, check_normalization(name))


def check_resampling(name: object, options: dict) -> dict:
    """The options of one of nnU-Net's own resampling functions, without those about the machine that trained.

    Raises
    ------
    WeightsCorruptError
        If the name says another function, or an option is none of its own.
    """
    if not isinstance(name, str) or name not in RESAMPLINGS:
        raise _foreign("resampling", name, f"Use one of nnU-Net's own functions ({', '.join(RESAMPLINGS)}).")
    kept = {key: value for key, value in options.items() if key not in _IGNORED_OPTIONS}
    if unknown := sorted(set(kept) - RESAMPLINGS[name][1]):
        raise WeightsCorruptError(f"The model's plans.json gives {name} an option that it does not have "
                                  f"({shown(unknown[0])}).", "Use the plans that nnU-Net wrote.")
    return kept


def resampling_function(name: object) -> Callable:
    """The resampling function of a name; raises as `check_resampling`."""
    check_resampling(name, {})
    with quiet():
        return getattr(import_module(f"nnunetv2.preprocessing.resampling.{RESAMPLINGS[name][0]}"), name)


def shown(name: object) -> str:
    """A name out of somebody's file as a sentence may carry it: short, and plain characters only."""
    return re.sub(r"[^\w.+\- ]", "?", str(name)[:60]) or "nothing"


def _last_part(name: object, modules: str) -> str | None:
    """What stands behind the last dot, if what stands before it is one of the modules."""
    module, _, last = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    return last if re.fullmatch(modules, module) else None


def _of_kind(module: str, name: str) -> type[torch.nn.Module]:
    """An entry of the tables, which must be a class of layers or networks of its own library."""
    import torch

    with quiet():
        found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)
            and found.__module__.split(".")[0] == module.split(".")[0]):
        raise TypeError(f"{module}.{name} is no network layer")
    return found


def _foreign(what: str, name: object, hint: str) -> WeightsCorruptError:
    return WeightsCorruptError(f"The model's plans.json names a {what} of an unknown library ({shown(name)}); nothing "
                               "of it was built.", hint)
