"""The published planar (2-D) networks: Keras HDF5 files on PyTorch, without TensorFlow."""

from __future__ import annotations

from .network import PlanarNetwork, load_network
from .predict import PLANES, open_network, predict_planar

__all__ = ["PLANES", "PlanarNetwork", "load_network", "open_network", "predict_planar"]
