"""Zip archives: honest ones are read like folders, the others are refused in a sentence and leave nothing behind."""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest

from KneePipelineLib.errors import InputTooLargeError, InvalidFormatError, KneePipelineError, NothingUsableError
from KneePipelineLib.imaging import Limits, list_series, open_input, read_echoes, read_image, read_labels, write_volume
from KneePipelineLib.imaging.archives import unpack_zip


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked; empty again when a test is over."""
    folder = tmp_path / "unpacked-here"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def archive_of(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + str(file.relative_to(folder)))
    return path


def archive_with(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def fails(error: type[KneePipelineError], path: Path, **options: object) -> str:
    with pytest.raises(error) as caught:
        read_image(path, **options)
    assert caught.value.hint
    assert str(path.parent) not in caught.value.message + caught.value.hint
    return caught.value.message


def test_a_zipped_series_is_read_like_its_folder(make: object, tmp_path: Path) -> None:
    volume = make.volume(make.oblique())
    make.series(tmp_path / "series" / "deep", volume, name="IM{}")
    archive = archive_of(tmp_path / "series", tmp_path / "knee.zip", "DICOM/été/")
    found = read_image(archive)
    assert make.points(found) == make.points(volume)
    assert found.meta["dicom_files"] == ()  # they are gone when the archive is closed
    assert read_image(archive.rename(tmp_path / "no-suffix")).size == volume.size


def test_other_formats_may_be_zipped_too(make: object, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_volume(make.volume(), tmp_path / "in" / "image.nii.gz")
    archive = archive_of(tmp_path / "in", tmp_path / "a.zip", "__MACOSX/../".replace("../", ""))
    fails(NothingUsableError, archive)  # nothing but the litter of an operating system
    archive = archive_of(tmp_path / "in", tmp_path / "b.zip")
    assert (read_image(archive).array == make.volume().array).all()
    assert (read_labels(archive).array == make.volume().array).all()


def test_an_empty_archive_and_an_empty_folder_have_their_own_hints(tmp_path: Path) -> None:
    hints = {}
    for what, path in (("archive", archive_with(tmp_path / "a.zip")), ("folder", tmp_path / "empty")):
        if what == "folder":
            path.mkdir()
        with pytest.raises(NothingUsableError, match=f"The {what} is empty") as caught:
            read_image(path)
        hints[what] = caught.value.hint
    assert "folder" not in hints["archive"]
    assert "archive" not in hints["folder"]


def test_an_open_archive_is_unpacked_once(make: object, tmp_path: Path, temporary_folder: Path) -> None:
    uid = "1.2.3.4.5"
    for n in (1, 2):
        make.series(tmp_path / "series", make.volume(seed=n), SeriesInstanceUID=uid, EchoNumbers=n,
                    first_instance=10 * n)
    with open_input(archive_of(tmp_path / "series", tmp_path / "a.zip")) as source:
        unpacked = list(temporary_folder.iterdir())
        assert len(unpacked) == 1
        assert list_series(source)[0].echoes == 2
        assert len(read_echoes(source)) == 2
        assert read_image(source, echo="rss").size == (7, 6, 5)
        assert list(temporary_folder.iterdir()) == unpacked


@pytest.mark.parametrize("name", ["../evil.dcm", "a/../../evil.dcm", "/etc/evil.dcm", "C:\\evil.dcm", "..\\evil.dcm",
                                  "\\\\server\\evil.dcm"])
def test_paths_that_lead_outside_are_refused(name: str, tmp_path: Path) -> None:
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    archive = archive_with(tmp_path / "a.zip", **{"good.dcm": b"x", name: b"evil"})
    assert "outside" in fails(InvalidFormatError, archive)
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before | {archive}


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "symbolic link" in fails(InvalidFormatError, tmp_path / "a.zip")


def test_encrypted_archives_are_refused(tmp_path: Path) -> None:
    path = archive_with(tmp_path / "a.zip", **{"a.dcm": b"secret"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(bytes(data))
    assert "encrypted" in fails(InvalidFormatError, path)


@pytest.mark.parametrize("kept", [0.3, 0.8, 0.97])
def test_archives_cut_short_are_refused(kept: float, make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "series", make.volume())
    path = archive_of(tmp_path / "series", tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert "damaged" in fails(InvalidFormatError, path)


def test_a_flipped_byte_is_noticed(make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "series", make.volume())
    path = archive_of(tmp_path / "series", tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[300] ^= 0xFF
    path.write_bytes(bytes(data))
    assert "damaged" in fails(InvalidFormatError, path)


def test_empty_archives_and_archives_without_image(tmp_path: Path) -> None:
    assert "empty" in fails(NothingUsableError, archive_with(tmp_path / "a.zip"))
    archive = archive_with(tmp_path / "b.zip", **{"notes.txt": b"no image here"})
    assert "no image" in fails(NothingUsableError, archive)


def test_limits_on_number_and_size(make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "series", make.volume())
    path = archive_of(tmp_path / "series", tmp_path / "a.zip")
    fails(InputTooLargeError, path, limits=Limits(max_files=4))
    fails(InputTooLargeError, path, limits=Limits(max_unpacked_bytes=2000))
    fails(InputTooLargeError, path, limits=Limits(max_file_bytes=500))
    assert read_image(path, limits=Limits(max_files=5)).size == (7, 6, 5)


def test_a_bomb_is_recognised_by_its_ratio(tmp_path: Path) -> None:
    block = bytes(1024**2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, \
            archive.open("zeros.dcm", "w", force_zip64=True) as member:
        for _ in range(300):
            member.write(block)
    assert (tmp_path / "a.zip").stat().st_size < 1024**2
    assert "times" in fails(InputTooLargeError, tmp_path / "a.zip")


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", bytes(4 * 1024**2))
    data = bytearray(buffer.getvalue())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at:at + 4] = struct.pack("<I", 10)  # says: 10 bytes
    (tmp_path / "a.zip").write_bytes(bytes(data))
    with pytest.raises(KneePipelineError):
        read_image(tmp_path / "a.zip", limits=Limits(max_unpacked_bytes=1024**2))


def test_a_member_that_is_both_file_and_folder_is_refused(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "a.zip", **{"a": b"file", "a/b": b"below it"})
    fails(InvalidFormatError, archive)


def test_a_name_twice_is_two_files(make: object, tmp_path: Path) -> None:
    volume = make.volume(size=(7, 6, 2))
    first, second = make.series(tmp_path / "s", volume)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as twice:
        twice.write(first, "x.dcm")
        with pytest.warns(UserWarning, match="Duplicate"):
            twice.write(second, "x.dcm")
    assert make.points(read_image(tmp_path / "b.zip")) == make.points(volume)


def test_an_archive_inside_an_archive_or_folder_is_opened(make: object, tmp_path: Path) -> None:
    volume = make.volume()
    make.series(tmp_path / "series", volume)
    (tmp_path / "folder").mkdir()
    inner = archive_of(tmp_path / "series", tmp_path / "folder" / "inner.zip")
    outer = archive_of(tmp_path / "folder", tmp_path / "outer.zip")
    for path in (inner, outer, tmp_path / "folder"):
        assert make.points(read_image(path)) == make.points(volume)
    (tmp_path / "folder" / "second.zip").write_bytes(inner.read_bytes())
    assert "2 zip archive(s)" in fails(InvalidFormatError, tmp_path / "folder")


def test_archives_in_archives_end(make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "0", make.volume())
    for n in range(4):
        (tmp_path / f"{n + 1}").mkdir()
        archive_of(tmp_path / str(n), tmp_path / f"{n + 1}" / "x.zip")
    assert "zip archive(s)" in fails(InvalidFormatError, tmp_path / "4")


def test_deflate64_is_named(make: object, tmp_path: Path) -> None:
    make.series(tmp_path / "s", make.volume())
    archive = archive_of(tmp_path / "s", tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset:at + offset + 2] = struct.pack("<H", 9)
            at = data.find(signature, at + 4)
    archive.write_bytes(data)
    assert "Deflate64" in fails(InvalidFormatError, archive)


def test_a_name_of_nothing(tmp_path: Path) -> None:
    """The NUL that ends a name stands first."""
    path = archive_with(tmp_path / "a.zip", a=b"x")
    path.write_bytes(path.read_bytes().replace(b"a", b"\0"))
    assert "outside" in fails(InvalidFormatError, path)


def test_one_name_many_times_is_looked_for_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, count, looks = tmp_path / "a.zip", 200, []
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own about the double name
        for _ in range(count):
            archive.writestr("a", b"x")
    target = tmp_path / "target"
    target.mkdir()
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda self: looks.append(self) or is_file(self))
    unpack_zip(path, target, Limits())
    assert len(list(target.iterdir())) == count
    assert len(looks) <= 3 * count
