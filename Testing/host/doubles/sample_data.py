"""``SampleData``: keeps what modules register; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar


class SampleDataSource:
    """One sample as a module describes it."""

    def __init__(self, **description: Any) -> None:
        self.sampleName = self.customDownloader = self.uris = self.nodeNames = self.fileNames = None
        self.thumbnailFileName = self.sampleDescription = self.loadFileTypes = self.loadFileProperties = None
        for key, value in description.items():
            setattr(self, key, value)


class SampleDataLogic:
    """Makes registered samples."""

    sources: ClassVar[dict[str, list[SampleDataSource]]] = {}

    @classmethod
    def registerCustomSampleDataSource(
        cls,
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable[[SampleDataSource], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: str = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: dict | None = None,
        checksums: Any = None,
        sampleDescription: str | None = None,
    ) -> None:
        """Slicer's signature; a thumbnail that does not exist is an error here."""
        if not uris or not fileNames:
            raise TypeError(f"sample '{sampleName}' names no URI or no file; Slicer counts them")
        if thumbnailFileName and not Path(thumbnailFileName).is_file():
            raise FileNotFoundError(f"the thumbnail of sample '{sampleName}' does not exist")
        source = SampleDataSource(
            sampleName=sampleName, uris=uris, fileNames=fileNames, nodeNames=nodeNames,
            customDownloader=customDownloader, thumbnailFileName=thumbnailFileName,
            loadFileTypes=loadFileType, sampleDescription=sampleDescription,
        )  # fmt: skip
        kept = cls.sources.setdefault(category, [])
        kept[:] = [other for other in kept if other.sampleName != sampleName] + [source]

    def downloadFromSource(self, source: SampleDataSource) -> Any:
        """As in Slicer a script gets what lies under the URIs; only a click asks a sample's own function."""
        raise RuntimeError(f"sample '{source.sampleName}' would be downloaded; the host has no network")

    def downloadSample(self, sampleName: str) -> Any:
        for sources in self.sources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return self.downloadFromSource(source)
        raise RuntimeError(f"no sample is registered under the name '{sampleName}'")

    downloadSamples = downloadSample


def downloadSample(sampleName: str) -> Any:
    return SampleDataLogic().downloadSample(sampleName)
