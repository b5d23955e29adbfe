"""What can go wrong while weights are fetched, imported or looked up, each as its own type.

A damaged file is :class:`KneePipelineLib.errors.WeightsCorruptError` (E_HARD_003), everywhere.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from ..errors import (
    ConfigError,
    FileInUseError,
    InvalidFormatError,
    KneePipelineError,
    MissingFileError,
    WeightsCorruptError,
)

__all__ = [
    "DiskSpaceError",
    "DownloadError",
    "GatedAccessError",
    "HubServerError",
    "HubUnreachableError",
    "ImportRefusedError",
    "LicenceNotAcceptedError",
    "ModelBusyError",
    "ModelsFolderError",
    "NotOnHubError",
    "OfflineError",
    "ProxyFailedError",
    "TokenRefusedError",
    "TransferStalledError",
    "WeightsCorruptError",
    "WeightsMissingError",
    "WrongPairError",
    "folder_errors",
]


class WeightsMissingError(MissingFileError):
    """The model is known but not installed on this machine."""


class LicenceNotAcceptedError(ConfigError):
    """The model's terms have to be accepted explicitly before it is fetched."""


class ImportRefusedError(InvalidFormatError):
    """The folder or archive is not this model, or is not safe to unpack."""


class WrongPairError(ConfigError):
    """A BScore was asked for with a shape model that it does not belong to."""


class ModelBusyError(KneePipelineError):
    """Another process is downloading, importing or removing the same model."""


class ModelsFolderError(KneePipelineError):
    """The models' folder cannot be read or written."""


class DownloadError(KneePipelineError):
    """A model could not be downloaded; what arrived so far is kept and continued by the next attempt."""


class NotOnHubError(DownloadError):
    """404: the repository, the revision or the file is not there."""

    code = "FILE_NOT_FOUND"


class GatedAccessError(DownloadError):
    """401 or 403: the repository is gated and this account has not been granted access."""


class TokenRefusedError(DownloadError):
    """401 or 403: the access token is wrong, expired or may not read this repository."""


class HubServerError(DownloadError):
    """5xx or 429 that persisted through every retry."""


class HubUnreachableError(DownloadError):
    """No connection, or an answer that no hub gives."""


class ProxyFailedError(HubUnreachableError):
    """The proxy could not be used."""


class TransferStalledError(DownloadError):
    """The connection stood still through every retry, or was cut again and again."""


class OfflineError(DownloadError):
    """HF_HUB_OFFLINE is set: nothing may be fetched."""


class DiskSpaceError(DownloadError):
    """Too little free disk space for the files."""


@contextlib.contextmanager
def folder_errors(name: str) -> Iterator[None]:
    """Turn what the operating system says about the models' folder into a sentence; for work on model ``name``."""
    try:
        yield
    except FileInUseError as error:
        raise ModelBusyError(f"The model {name} is in use by a run.", "Wait until it has ended, then try again."
                             ) from error
    except BrokenPipeError:
        raise  # whoever listened to the progress has gone; not the folder's fault
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise DiskSpaceError(f"The disk of the models' folder is full; {name} was not installed.",
                                 "Free some space, or set KNEEPIPELINE_HOME to another disk.") from error
        raise ModelsFolderError(f"The models' folder cannot be used for {name} ({error.strerror or 'system error'}).",
                                "Check its permissions, or set KNEEPIPELINE_HOME to another folder.") from error
