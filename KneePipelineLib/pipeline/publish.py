"""Moving finished results into the run folder, and noticing what a person changed there.

The results step writes into a staging folder below ``checkpoints/``. Publishing then renames file after file over the
old ones, ``results.json`` last, so that each file a reader opens is a whole one, and removes what the new results no
longer have. Every action can be repeated: a publication that was killed half way is finished by the next run from the
staged manifest. The manifest that stays behind knows each published file's hash; that is how an edit is recognised.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from . import faults
from .checkpoints import MANIFEST, CheckpointStore, Manifest
from .files import hash_file, read_json, remove, write_json

LAST = "results.json"
EDITABLE = "_all-labels.nrrd"
EDIT_FOLDER = "edits"
EDITED_STEP = "segmentation"


class Publisher:
    """The results in one run folder.

    Parameters
    ----------
    out : Path
        The run folder.
    store : CheckpointStore
        Its checkpoints.
    name : str
        Folder of the step that writes the results.
    """

    def __init__(self, out: Path, store: CheckpointStore, name: str) -> None:
        self.out, self.store, self.name = out, store, name
        self.staged = store.root / f"staged-{name}"

    def published(self) -> Manifest | None:
        """The manifest of the results now in the run folder."""
        return self.store.load(self.name)[0]

    def publish(self, manifest: Manifest) -> None:
        """Make a working folder's files the results of the run folder."""
        working = self.store.root / f".new-{self.name}"
        write_json(working / MANIFEST, manifest.to_dict())
        remove(self.staged)
        os.replace(working, self.staged)
        self._move_all(manifest)

    def recover(self) -> bool:
        """Finish a publication that was interrupted; True when there was one. A damaged one is dropped."""
        if not self.staged.exists():
            return False
        manifest = Manifest.from_dict(read_json(self.staged / MANIFEST))
        if manifest is None or not self._complete(manifest):
            remove(self.staged)
            return False
        self._move_all(manifest)
        return True

    def _complete(self, manifest: Manifest) -> bool:
        damaged = set(self.store.damaged_files(self.name, manifest, self.staged))
        return not damaged & set(self.store.damaged_files(self.name, manifest, self.out))

    def _move_all(self, manifest: Manifest) -> None:
        before = self.published()
        for number, file in enumerate(sorted(manifest.outputs, key=lambda f: (f == LAST, f)), start=1):
            faults.hit(f"publish:{number}")
            source, target = self.staged / file, self.out / file
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
        if before is not None:
            self._remove_stale(set(before.outputs) - set(manifest.outputs), before)
        final = self.store.folder(self.name)
        final.mkdir(parents=True, exist_ok=True)
        os.replace(self.staged / MANIFEST, final / MANIFEST)
        remove(self.staged)

    def _remove_stale(self, names: Iterable[str], before: Manifest) -> None:
        """Remove results that no longer exist, unless somebody changed them since."""
        for name in names:
            path = self.out / name
            if path.is_file() and hash_file(path) == before.outputs[name]["sha256"]:
                path.unlink()

    def find_edit(self) -> Path | None:
        """The published label map, when a person has changed it since."""
        staged = Manifest.from_dict(read_json(self.staged / MANIFEST))
        known = [manifest for manifest in (self.published(), staged) if manifest is not None]
        for name in {n for manifest in known for n in manifest.outputs if n.endswith(EDITABLE)}:
            path = self.out / name
            hashes = {manifest.outputs[name]["sha256"] for manifest in known if name in manifest.outputs}
            if path.is_file() and hash_file(path) not in hashes:
                return path
        return None

    def edit_of(self, segmentation: str) -> Path | None:
        """The kept edit, if it is one of the segmentation with this content hash."""
        return self.edit if self.edit_is_based_on() == segmentation else None

    @property
    def edit(self) -> Path | None:
        """The kept copy of a person's edit."""
        path = self.store.folder(EDIT_FOLDER) / "labels.nrrd"
        return path if path.is_file() else None

    def adopt_edit(self, path: Path) -> None:
        """Keep a copy of an edited label map, so that publishing new results cannot lose it.

        Beside it is noted which segmentation the published map came from: an edit of another one would be no edit.
        """
        published = self.published() or Manifest.from_dict(read_json(self.staged / MANIFEST))
        folder = self.store.folder(EDIT_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / ".labels.nrrd.tmp"
        shutil.copyfile(path, temporary)
        based_on = published.key.get("reads", {}).get(EDITED_STEP, "") if published else ""
        write_json(folder / "about.json", {"based_on": based_on, "sha256": hash_file(temporary)})
        os.replace(temporary, folder / "labels.nrrd")

    def edit_is_based_on(self) -> str:
        """Content hash of the segmentation that the kept edit changed."""
        about = read_json(self.store.folder(EDIT_FOLDER) / "about.json")
        return str((about or {}).get("based_on", ""))

    def set_edit_aside(self) -> str | None:
        """Stop using the kept edit without losing it; the name under which it now lies in the run folder."""
        if self.edit is None:
            return None
        number = 1
        while (self.out / f"set_aside_labels_{number}.nrrd").exists():
            number += 1
        name = f"set_aside_labels_{number}.nrrd"
        os.replace(self.edit, self.out / name)
        remove(self.store.folder(EDIT_FOLDER))
        return name


def is_whole_nrrd(path: Path) -> bool:
    """Whether an NRRD file is undamaged as far as its own structure tells: an edit is whole, a broken disk's file not.

    Compressed data carry a checksum; raw data must have the length that the header promises.
    """
    with contextlib.suppress(OSError, ValueError, zlib.error, struct.error, KeyError):
        data = path.read_bytes()
        header, separator, body = data.partition(b"\n\n")
        if not separator or not header.startswith(b"NRRD"):
            return False
        lines = (line.partition(": ") for line in header.decode("ascii", "replace").splitlines()[1:])
        fields = {name.lower(): value for name, _, value in lines}
        voxels = 1
        for size in fields["sizes"].split():
            voxels *= int(size)
        if fields["encoding"] in ("gzip", "gz"):
            decoder = zlib.decompressobj(wbits=31)
            size = len(decoder.decompress(body)) + len(decoder.flush())
            return decoder.eof and size > 0 and size % voxels == 0
        return len(body) >= voxels
    return False
