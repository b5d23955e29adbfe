#!/usr/bin/env python-real
"""A command-line module for the tests of the host: counts voxels, reports progress, waits and fails on request."""

from __future__ import annotations

import argparse
import sys
import time


def say(fraction: float, text: str) -> None:
    print(f"<filter-progress>{fraction}</filter-progress>", flush=True)
    print(f"<filter-comment>{text}</filter-comment>", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--returnparameterfile")
    parser.add_argument("--output_labels")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("input")
    options = parser.parse_args()

    import SimpleITK as sitk

    for step in range(4):
        say(step / 4, f"step {step}")
        time.sleep(options.seconds / 4)
    if options.fail:
        print("asked to fail", file=sys.stderr)
        return 3
    labels = sitk.ReadImage(options.input) > options.threshold
    if options.output_labels:
        sitk.WriteImage(labels, options.output_labels)
    if options.returnparameterfile:
        with open(options.returnparameterfile, "w", encoding="utf-8") as file:
            file.write(f"voxels = {int(sitk.GetArrayFromImage(labels).sum())}\n")
    say(1.0, "done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
