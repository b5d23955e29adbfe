"""Volumes in and out: DICOM, NIfTI, NRRD, MHA; orientation; label sets and terminology."""

from .volume import Volume

__all__ = ["Volume"]
