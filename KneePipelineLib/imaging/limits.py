"""How large an input may be, checked from headers and directories before any pixel is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputTooLargeError

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True)
class Limits:
    """The bounds a reader keeps; every one of them is far above any knee examination.

    Parameters
    ----------
    max_voxels : int
        Voxels of one volume. The default, 2 x 512^3, is ten times a usual 3-D knee; as float32 it fills 1 GiB.
    max_echoes : int
        Echoes (or other repetitions) of one series.
    max_files : int
        Files looked at in a folder or in a zip archive.
    max_file_bytes : int
        One file on disk, or one unpacked file of an archive.
    max_unpacked_bytes : int
        Everything a zip archive unpacks to.
    max_zip_ratio : float
        Unpacked over packed size, looked at once an archive unpacks to more than 256 MiB. Real images shrink two to
        ten times; only all but empty files come near deflate's own bound of 1032.
    """

    max_voxels: int = 2 * 512**3
    max_echoes: int = 64
    max_files: int = 50_000
    max_file_bytes: int = 8 * GIB
    max_unpacked_bytes: int = 8 * GIB
    max_zip_ratio: float = 300.0

    def check_voxels(self, size: tuple[int, ...]) -> None:
        """Raise InputTooLargeError if one volume of this size (any axis order) has too many voxels."""
        voxels = 1
        for n in size:
            voxels *= int(n)
        if voxels > self.max_voxels:
            text = " x ".join(str(int(n)) for n in size)
            raise InputTooLargeError(
                f"The image has {text} voxels, more than the {self.max_voxels} that are read.",
                "Crop or resample the image to the knee.", size=[int(n) for n in size], max_voxels=self.max_voxels)

    def check_echoes(self, count: int) -> None:
        """Raise InputTooLargeError if a series holds too many echoes."""
        if count > self.max_echoes:
            raise InputTooLargeError(
                f"The series holds {count} images of every slice, more than the {self.max_echoes} that are read.",
                "Choose a single 3-D or multi-echo series.", echoes=count, max_echoes=self.max_echoes)

    def check_files(self, count: int) -> None:
        """Raise InputTooLargeError if a folder or archive holds too many files."""
        if count > self.max_files:
            raise InputTooLargeError(
                f"The input holds more than {self.max_files} files.",
                "Give the folder of one examination, not of a whole archive.", max_files=self.max_files)

    def check_file_bytes(self, size: int) -> None:
        """Raise InputTooLargeError if one file is too large."""
        if size > self.max_file_bytes:
            raise InputTooLargeError(
                f"A file of {size / GIB:.1f} GiB is more than the {self.max_file_bytes / GIB:.1f} GiB that are read.",
                "Give the series of one knee.", file_bytes=size, max_file_bytes=self.max_file_bytes)


DEFAULT_LIMITS = Limits()
