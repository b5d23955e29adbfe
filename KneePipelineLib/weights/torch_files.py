"""Opening files that torch.save wrote without running what a pickle may ask for.

PyTorch's ``weights_only`` reader builds nothing but tensors and plain containers. Training logs also carry NumPy
scalars, and people's own networks paths and dates; for these there are stand-ins (`stand_ins`). Anything else in the
file is refused with a sentence that names it.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from pathlib import Path

from ..errors import WeightsCorruptError
from .disguises import disguise
from .stand_ins import stand_ins

MEND = "Get the model again with `models download`, or import an intact copy with `models import`."
SAVE_AGAIN = ("If it is a network of your own, open it where it was trained, replace that by text or numbers, and save "
              "it again with torch.save; otherwise do not trust the file.")
MAX_GROWTH = 20
"""How many times its size a compressed archive may unpack to: numbers of a trained network hardly shrink."""
_COSTLY = re.compile(rb"bytearray|punycode", re.IGNORECASE)
"""What PyTorch's own reader allows and what takes memory or time without end: a buffer of any size, and an encoding
that is quadratic. Pickles spell names out, so looking for the bytes finds every use."""
MAX_PICKLE_BYTES = 256 << 20
_PICKLE = re.compile(r"(^|/)data\.pkl$")
_FORBIDDEN = re.compile(r"GLOBAL `?([\w.]{1,80})")


def read_torch_file(path: Path, subject: str) -> object:
    """The content of a file that torch.save wrote: tensors, plain containers, and stand-ins for harmless objects.

    Parameters
    ----------
    path : Path
    subject : str
        Begins the sentences of errors, such as "The checkpoint fold_0/checkpoint_final.pth".

    Raises
    ------
    WeightsCorruptError
        If it is something else, damaged, or holds other objects; nothing of it has run then.
    """
    try:
        if found := disguise(path):
            raise WeightsCorruptError(f"{subject} {found[0]}.", found[1])
        with open(path, "rb") as handle:
            if handle.read(4) == b"PK\x03\x04" and not zipfile.is_zipfile(path):
                raise WeightsCorruptError(f"{subject} was cut short.", MEND)
        if costly := _costly(path):
            raise WeightsCorruptError(f"{subject} holds more than numbers ({costly}): it was not loaded.", SAVE_AGAIN,
                                      found=costly)
        return _load(path)
    except pickle.UnpicklingError as error:
        name = _FORBIDDEN.search(str(error))
        if name is None:
            raise WeightsCorruptError(f"{subject} is damaged or no file of PyTorch.", MEND) from error
        raise WeightsCorruptError(f"{subject} holds more than numbers ({name[1]}): it was not loaded.",
                                  SAVE_AGAIN, found=name[1]) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
            MemoryError, ArithmeticError, SyntaxError, struct.error, zipfile.BadZipFile) as error:
        # Whatever a damaged pickle lets PyTorch's reader stumble over.
        raise WeightsCorruptError(f"{subject} is damaged.", MEND, cause=type(error).__name__) from error


def _costly(path: Path) -> str:
    """The first name in a file's pickles that may cost memory or time without end; empty where there is none."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            pickles = [member for member in archive.infolist() if _PICKLE.search(member.filename)]
            if any(member.file_size > MAX_PICKLE_BYTES for member in pickles):
                return "a description larger than any network's"
            found = [name for member in pickles for name in _COSTLY.findall(archive.read(member))]
    else:
        with open(path, "rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as content:
            found = _COSTLY.findall(content)
    return found[0].decode("ascii").lower() if found else ""


def are_plain_tensors(items: Iterable[tuple]) -> bool:
    """Whether names are text and values plain, dense, real tensors with a number in the file for each of theirs."""
    import torch

    return all(isinstance(name, str) and type(value) in (torch.Tensor, torch.nn.Parameter)
               and value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
               and not value.is_complex()
               and value.untyped_storage().nbytes() >= value.numel() * value.element_size() for name, value in items)


def _load(path: Path) -> object:
    import torch

    mapped = _can_be_mapped(path)
    with torch.serialization.safe_globals(stand_ins()):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except RuntimeError as error:
            if "mmap" not in str(error):  # the format before torch 1.6 cannot be mapped
                raise
            return torch.load(path, map_location="cpu", weights_only=True)


def _can_be_mapped(path: Path) -> bool:
    """Whether tensors lie in the file as they are. Mapped, those of an archive that somebody packed again, compressed,
    would be read as numbers without a word."""
    if not zipfile.is_zipfile(path):
        return True
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if all(m.compress_type == zipfile.ZIP_STORED for m in members):
        return True
    if sum(m.file_size for m in members) > MAX_GROWTH * path.stat().st_size:
        raise ValueError("an archive that grows too much")
    return False
