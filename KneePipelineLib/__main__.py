"""``python -m KneePipelineLib``: the command line."""

import sys

from .cli import main
from .system import signals, streams


def run() -> int:
    """The command line as a process of its own, in whatever surroundings it was started."""
    streams.prepare()
    signals.raise_once()
    try:
        return main()
    finally:
        streams.finish()


if __name__ == "__main__":
    sys.exit(run())
