"""``DICOMLib``: import of a folder into ``slicer.dicomDatabase``."""

from __future__ import annotations

from typing import Any


class DICOMUtils:
    """Slicer's is a module of functions; the calls look the same."""

    @staticmethod
    def importDicom(dicomDataDir: str, dicomDatabase: Any = None, copyFiles: bool = False) -> bool:
        """Index the folder's files where they lie; copying is not done here."""
        import slicer

        database = slicer.dicomDatabase if dicomDatabase is None else dicomDatabase
        database.addFolder(dicomDataDir)
        return True
