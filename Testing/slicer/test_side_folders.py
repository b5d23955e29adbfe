"""Temporary folders of runs: gone at the end, and swept up by the next run where Slicer itself broke down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from shutil import rmtree
from unittest import mock

from KneePipelineLib.slicer_side.job.surroundings import USERS, RunFolder, is_abandoned, remove_abandoned

sys.path.insert(0, os.path.dirname(__file__))
from job_case import PATIENCE_S, JobTest, wait_until

BREAK_DOWN = """
import os, sys
sys.path.insert(0, sys.argv[2])
from KneePipelineLib.slicer_side.job.surroundings import RunFolder
folder = RunFolder(sys.argv[1])
(folder.path / "input").mkdir()
(folder.path / "input" / "1.dcm").write_text("somebody's knee")
if len(sys.argv) > 3:
    folder.used_by(int(sys.argv[3]))
print(folder.path, flush=True)
os._exit(1)
"""


class Folders(JobTest):
    def broken_down(self, *child: int) -> Path:
        """What a process that ended in the middle of a run has left."""
        root = Path(__file__).resolve().parents[2]
        ended = subprocess.run([sys.executable, "-c", BREAK_DOWN, str(self.temporary), str(root), *map(str, child)],
                               capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        return Path(ended.stdout.strip())

    def sweep(self) -> None:
        remove_abandoned(str(self.temporary)).join(PATIENCE_S)

    def test_the_next_job_removes_what_a_crash_left(self):
        left = self.broken_down()
        self.assertTrue((left / "input" / "1.dcm").is_file())
        job = self.job()
        job.start()
        self.assertTrue(wait_until(lambda: not left.exists(), PATIENCE_S))
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertTrue(self.told("done"))
        self.assert_nothing_is_left()

    def test_folders_in_use_stay(self):
        mine = RunFolder(str(self.temporary))
        self.addCleanup(mine.remove)
        orphan = self.broken_down(os.getpid())  # its run goes on: here the test itself stands for it
        self.sweep()
        self.assertTrue(mine.path.is_dir())
        self.assertTrue((orphan / "input" / "1.dcm").is_file())

    def test_a_lock_that_is_held_counts_more_than_numbers(self):
        """Another container's processes are not seen here, its lock is."""
        mine = RunFolder(str(self.temporary))
        self.addCleanup(mine.remove)
        (mine.path / USERS).write_text(json.dumps({**json.loads((mine.path / USERS).read_text()), "processes": []}))
        self.assertEqual(is_abandoned(mine.path), os.name == "nt")

    def test_what_is_not_certainly_ours_and_abandoned_stays(self):
        foreign = self.temporary / "KneePipeline-notes"
        foreign.mkdir()
        (foreign / "notes.txt").write_text("mine")
        elsewhere = self.broken_down()
        said = json.loads((elsewhere / USERS).read_text())
        (elsewhere / USERS).write_text(json.dumps({**said, "computer": "another"}))
        outside = self.broken_down().rename(self.home / "outside")
        link = self.temporary / "KneePipeline-link"
        link.symlink_to(outside)
        self.sweep()
        for path in (foreign / "notes.txt", elsewhere / "input" / "1.dcm", outside / "input" / "1.dcm"):
            self.assertTrue(path.is_file(), path)

    def test_what_cannot_be_removed_now_is_found_by_the_next_sweep(self):
        """And keeps no other folder."""
        stuck, other = sorted((self.broken_down(), self.broken_down()))
        with mock.patch("shutil.rmtree", lambda path, **_: None if Path(path) == stuck / "input" else rmtree(path)):
            self.sweep()
        self.assertTrue((stuck / USERS).is_file())
        self.assertFalse(other.exists())
        self.sweep()
        self.assertFalse(stuck.exists())

    def test_links_in_it_are_not_followed(self):
        original = self.home / "original"
        original.mkdir()
        (original / "1.dcm").write_text("kept")
        left = self.broken_down()
        (left / "series").symlink_to(original)
        self.sweep()
        self.assertFalse(left.exists())
        self.assertTrue((original / "1.dcm").is_file())


if __name__ == "__main__":
    unittest.main()
