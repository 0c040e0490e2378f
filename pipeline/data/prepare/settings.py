"""What to prepare, and what was prepared."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from pipeline.data.prepare.benchmarks import BENCHMARKS
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import suggestion

PaddingLabel = Literal["ignore", "dwl"]
MaskKind = Literal["published", "ids", "ids-from-1"]


class PrepareSettings(Settings):
    """What to prepare.

    Attributes:
        benchmark: loveda, potsdam or deepglobe.
        source: a folder with the files or their archives, or the archives themselves.
        to: where manifests, unpacked files and crops go.
        splits: folders of official lists; each becomes a manifest.
        crops: cut crops rather than point at windows of the originals.
        padding_label: what crops have where they reach over a tile: ignored pixels, or the published labels'
            class ("dwl").
        masks: how masks encode classes; published: as the benchmark's makers have it.
        partial: accept fewer files than there should be.
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
                f"'{name}' is none of {', '.join(BENCHMARKS)}{suggestion(name, BENCHMARKS)}"
            )
        return name

    @model_validator(mode="after")
    def _pads_only_crops(self) -> "PrepareSettings":
        if self.padding_label != "ignore" and not self.crops:
            raise ValueError("windows are not padded: --padding-label needs --crops")
        return self


class PreparedManifest(Settings):
    """A manifest that was written, with its scenes by split and what reports will say of its split."""

    path: Path
    scenes: dict[str, int]
    labeled: int | None
    notes: tuple[str, ...]


class PrepareReport(Settings):
    """What was prepared.

    Attributes:
        root: the data root of the manifests.
        images: image files that were read.
        unmatched: pixels of masks that match no class and are ignored.
        manifests: one for each split.
        notes: what is missing or was left out.
    """

    root: Path
    images: int
    unmatched: int
    manifests: tuple[PreparedManifest, ...]
    notes: tuple[str, ...]
