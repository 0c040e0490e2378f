"""The settings and the report of `rsmtdf data prepare`."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from pipeline.data.prepare.benchmarks import BENCHMARKS
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import suggestion

PaddingLabel = Literal["ignore", "dwl"]
MaskKind = Literal["published", "ids", "ids-from-1"]


class PrepareSettings(Settings):
    """The settings of `rsmtdf data prepare`.

    Attributes:
        benchmark: loveda, potsdam or deepglobe.
        source: a folder with the files or their archives, or the archives themselves.
        to: the folder for manifests, unpacked files and crops.
        splits: folders of official lists; each becomes a manifest.
        crops: cut crops instead of referring to windows of the originals.
        padding_label: the label of crop pixels outside their tile: ignored, or the class of the published crops
            ("dwl").
        masks: the encoding of classes in masks; "published" is that of the benchmark's publisher.
        partial: accept an incomplete benchmark.
    """

    benchmark: str
    source: tuple[Path, ...]
    to: Path
    splits: tuple[Path, ...] = ()
    crops: bool = False
    padding_label: PaddingLabel = "ignore"
    masks: MaskKind = "published"
    partial: bool = False

    @field_validator("benchmark")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in BENCHMARKS:
            raise ValueError(
                f"'{name}' is not one of {', '.join(BENCHMARKS)}{suggestion(name, BENCHMARKS)}"
            )
        return name

    @model_validator(mode="after")
    def _pads_only_crops(self) -> "PrepareSettings":
        if self.padding_label != "ignore" and not self.crops:
            raise ValueError("windows are not padded: --padding-label needs --crops")
        return self


class PreparedManifest(Settings):
    """A written manifest, with the number of scenes in each split and the notes that reports will repeat."""

    path: Path
    scenes: dict[str, int]
    labeled: int | None
    notes: tuple[str, ...]


class PrepareReport(Settings):
    """The report of `rsmtdf data prepare`.

    Attributes:
        root: the data root of the manifests.
        images: number of image files.
        unmatched: number of mask pixels that match no class and are ignored.
        manifests: the written manifests.
        notes: sentences on files that are missing or left out.
    """

    root: Path
    images: int
    unmatched: int
    manifests: tuple[PreparedManifest, ...]
    notes: tuple[str, ...]
