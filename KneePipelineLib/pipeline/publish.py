"""Moving finished results into the run folder, and noticing what a person changed there.

The results step writes into a staging folder below ``checkpoints/``. Publishing then renames file after file over the
old ones, ``results.json`` last, so that each file a reader opens is a whole one, and removes what the new results no
longer have. Every action can be repeated: a publication that was killed half way is finished by the next run from the
staged manifest. The manifest that stays behind knows each published file's hash; that is how an edit is recognised.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ..system.atomic import replace, whole_file
from . import faults
from .checkpoints import MANIFEST, CheckpointStore, Manifest
from .files import hash_file, own_folder, read_json, remove, write_json
from .published import LAST, Published

RECORD = "pipeline.json"
EDITABLE = ("_all-labels.nrrd", "_all-labels.nii.gz")
"""The two forms of the label map; a person may correct either."""
EDIT_FOLDER = "edits"
EDITS = ("labels.nrrd", "labels.nii.gz")


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
    edited_step : str
        Name of the step whose label map a person may correct.

    Attributes
    ----------
    on_set_aside : callable
        Told the new name of a label map that was about to be written over and that nobody here knows.
    """

    def __init__(self, out: Path, store: CheckpointStore, name: str, edited_step: str = "segmentation") -> None:
        self.out, self.store, self.name, self.edited_step = out, store, name, edited_step
        self.staged = store.root / f"staged-{name}"
        self.on_set_aside: Callable[[str], None] = lambda name: None
        # The last complete run's own list outlives its checkpoints; the record is written anew when a run begins.
        record = read_json(out / RECORD)
        self.recorded = Published.from_dict(record.get("published") if isinstance(record, dict) else None)

    def found(self) -> Published | None:
        """What lies in the run folder, or will when an interrupted publication has been finished: as far as its
        checkpoints, its record or the results themselves tell."""
        manifest = Manifest.from_dict(read_json(self.staged / MANIFEST)) or self.published()
        if manifest is not None:
            return Published.from_manifest(manifest)
        return self.recorded or Published.from_results(read_json(self.out / LAST))

    def set_results_aside(self) -> str | None:
        """Move results that are not those of this run into a folder of their own; its name, None without any."""
        found = self.found()
        name = found.set_aside(self.out) if found is not None else None
        self.store.forget(self.name)
        self.recorded = None
        return name

    def published(self) -> Manifest | None:
        """The manifest of the results now in the run folder."""
        return self.store.load(self.name)[0]

    def publish(self, manifest: Manifest) -> None:
        """Make a working folder's files the results of the run folder."""
        working = self.store.root / f".new-{self.name}"
        write_json(working / MANIFEST, manifest.to_dict())
        remove(self.staged)
        replace(working, self.staged)
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
                if file.endswith(EDITABLE) and target.is_file():
                    self._spare(file, manifest)
                replace(source, target)
        if before is not None:
            self._remove_stale(set(before.outputs) - set(manifest.outputs), before)
        final = own_folder(self.store.folder(self.name))
        replace(self.staged / MANIFEST, final / MANIFEST)
        remove(self.staged)

    def _remove_stale(self, names: Iterable[str], before: Manifest) -> None:
        """Remove results that no longer exist, unless somebody changed them since."""
        for name in names:
            path = self.out / name
            if path.is_file() and hash_file(path) == before.outputs[name]["sha256"]:
                path.unlink()

    def _spare(self, file: str, manifest: Manifest) -> None:
        """Set a label map aside that is about to be written over and is neither ours nor a correction taken over."""
        found = hash_file(self.out / file)
        if found in self._known(file) | {manifest.outputs[file]["sha256"], self._edit_facts().get("sha256")}:
            return
        if not is_whole(self.out / file):
            return  # a damaged file is nobody's work
        self.on_set_aside(self._set_aside(self.out / file))

    def _known(self, name: str) -> set[str]:
        """Hashes of everything this pipeline has put into the run folder under that name, as far as it remembers."""
        staged = Manifest.from_dict(read_json(self.staged / MANIFEST))
        hashes = {manifest.outputs[name]["sha256"] for manifest in (self.published(), staged)
                  if manifest is not None and name in manifest.outputs}
        return hashes | ({self.recorded.files[name]} if self.recorded and name in self.recorded.files else set())

    def find_edits(self) -> list[Path]:
        """The published label maps that a person has changed since, the latest first."""
        staged = Manifest.from_dict(read_json(self.staged / MANIFEST))
        names = {name for manifest in (self.published(), staged) if manifest is not None
                 for name in manifest.outputs if name.endswith(EDITABLE)}
        paths = [self.out / name for name in sorted(names)]
        changed = [path for path in paths if path.is_file() and hash_file(path) not in self._known(path.name)]
        return sorted(changed, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def edit_of(self, segmentation: str) -> Path | None:
        """The kept edit, if it is one of the segmentation with this content hash."""
        return self.edit if self.edit_is_based_on() == segmentation else None

    @property
    def edit(self) -> Path | None:
        """The kept copy of a person's edit."""
        name = self._edit_facts().get("file", EDITS[0])
        path = self.store.folder(EDIT_FOLDER) / (name if name in EDITS else EDITS[0])
        return path if path.is_file() else None

    def _edit_facts(self) -> dict:
        facts = read_json(self.store.folder(EDIT_FOLDER) / "about.json")
        return facts if isinstance(facts, dict) else {}

    def adopt_edit(self, path: Path) -> None:
        """Keep a copy of an edited label map, so that publishing new results cannot lose it.

        Beside it is noted which segmentation the published map came from: an edit of another one would be no edit.
        """
        published = self.published() or Manifest.from_dict(read_json(self.staged / MANIFEST))
        folder = own_folder(self.store.folder(EDIT_FOLDER))
        temporary = folder / ".labels.tmp"
        remove(temporary)
        shutil.copyfile(path, temporary)
        name = f"labels{suffix_of(path)}"
        based_on = published.key.get("reads", {}).get(self.edited_step, "") if published else ""
        write_json(folder / "about.json", {"based_on": based_on, "sha256": hash_file(temporary), "file": name})
        replace(temporary, folder / name)

    def edit_is_based_on(self) -> str:
        """Content hash of the segmentation that the kept edit changed."""
        return str(self._edit_facts().get("based_on", ""))

    def set_edit_aside(self) -> str | None:
        """Stop using the kept edit without losing it; the name under which it now lies in the run folder."""
        if self.edit is None:
            return None
        name = self._set_aside(self.edit, copy=True)
        # Its hash stays known: the same map may still lie under its own name, and one copy of it is enough.
        facts = {"sha256": self._edit_facts().get("sha256")}
        self.edit.unlink()
        write_json(self.store.folder(EDIT_FOLDER) / "about.json", facts)
        return name

    def _set_aside(self, path: Path, copy: bool = False) -> str:
        """Give a label map a name of its own in the run folder, and return that."""
        number = 1
        while any((self.out / f"set_aside_labels_{number}{suffix}").exists() for suffix in (".nrrd", ".nii.gz")):
            number += 1
        name = f"set_aside_labels_{number}{suffix_of(path)}"
        if copy:
            with whole_file(self.out / name) as temporary:
                shutil.copyfile(path, temporary)
        else:
            replace(path, self.out / name)
        return name


def suffix_of(path: Path) -> str:
    """``.nii.gz`` or ``.nrrd``."""
    return ".nii.gz" if path.name.endswith(".nii.gz") else ".nrrd"


def is_whole(path: Path) -> bool:
    """Whether an edited label map is undamaged as far as its own structure tells."""
    if suffix_of(path) == ".nrrd":
        return is_whole_nrrd(path)
    with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
        while file.read(1 << 20):
            pass
        return True
    return False


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
        return fields["encoding"] != "raw" or len(body) >= voxels
    return False
