"""How long the command line takes to say something: ``python Testing/Benchmarks/start_up.py``.

Prints whole-process seconds of ``--help`` beside those of an empty Python, several of each in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BOUND_S = 0.2
COMMANDS = {"an empty Python": ["-c", "pass"], "--help": ["-m", "KneePipelineLib", "--help"],
            "models list": ["-m", "KneePipelineLib", "models", "list"]}


def main(repeats: int = 15) -> int:
    """Print the table; 0 when ``--help`` keeps its bound."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, arguments in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - begun)
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"{name:16} median {middle:.3f} s, fastest {min(values):.3f}, slowest {max(values):.3f}")
    met = statistics.median(seconds["--help"]) <= BOUND_S
    print(f"--help within {BOUND_S} s: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
