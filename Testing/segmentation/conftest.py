"""Networks for the tests: genuine nnU-Net results folders, trained once a session, and a random Keras file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks are sooner done on one core than shared out over many."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("nnunetv2")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def fullres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual-encoder 3d_fullres model that has learnt the toy knee."""
    from tiny_nnunet import make_results, plans_json

    root = tmp_path_factory.mktemp("fullres")
    make_results(root, "3d_fullres", plans_json("resenc"), steps=120)
    return root


@pytest.fixture(scope="session")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain-encoder cascade: 3d_lowres and 3d_cascade_fullres, fold 3 only, best checkpoints."""
    from tiny_nnunet import make_results, plans_json

    root = tmp_path_factory.mktemp("cascade")
    for configuration in ("3d_lowres", "3d_cascade_fullres"):
        make_results(root, configuration, plans_json("plain"), folds=("3",), checkpoint="checkpoint_best.pth",
                     steps=80)
    return root


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random channels-first U-Net of free size with ten classes in the layout of Keras 2."""
    from tiny_keras import write_unet

    return write_unet(tmp_path_factory.mktemp("keras") / "unet.h5")
