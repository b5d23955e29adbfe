"""``python -m KneePipelineLib.environment``: keep the lock (see :mod:`.maintenance`)."""

from __future__ import annotations

import sys

from ..errors import KneePipelineError
from .maintenance import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KneePipelineError as problem:
        print(f"{problem.message} {problem.hint}".rstrip(), file=sys.stderr)
        sys.exit(1)
