"""The verbs of `rsmtdf data` that check and prepare datasets. Verbs that prompt or download are on the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsmtdf.isolation import isolated
from rsmtdf.paths import optional_path, paths
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.data.prepare import PrepareReport
    from pipeline.data.prepare.settings import MaskKind, PaddingLabel
    from rsmtdf.paths import PathLike
    from rsmtdf_core.scenes.check import DatasetCheck

__all__ = ["check", "prepare"]


@isolated
def check(
    manifest: PathLike, root: PathLike, out: PathLike | None = None, *, progress: bool = False
) -> DatasetCheck:
    """Open every image and mask, count the pixels of each class and report each invalid file.

    Args:
        manifest: name of a packaged manifest, or a YAML file.
        root: the folder that the manifest's path patterns are relative to.
        out: folder for pictures and check.json; None writes no files.
        progress: whether a bar is shown.

    Returns:
        Counts by split, and the `problems`.

    Raises:
        RsmtdfError: If there is no such manifest, or it has no scenes to check.
    """
    from pipeline.data.check import check_data
    from rsmtdf_core.scenes.manifest import load_manifest

    spec = load_manifest(os.fspath(manifest))
    return check_data(spec, Path(root), optional_path(out), reporter(progress=progress))


@isolated
def prepare(
    benchmark: str,
    source: PathLike | Sequence[PathLike],
    to: PathLike,
    *,
    splits: PathLike | Sequence[PathLike] = (),
    crops: bool = False,
    padding_label: PaddingLabel = "ignore",
    masks: MaskKind = "published",
    partial: bool = False,
    progress: bool = False,
) -> PrepareReport:
    """Check a benchmark's files and write manifests that refer to them.

    Args:
        benchmark: "loveda", "potsdam" or "deepglobe".
        source: a folder with the files or their archives, or archives.
        to: the folder for manifests, unpacked files and crops.
        splits: folders of official lists; each becomes a manifest.
        crops: cut crops of 512 px instead of referring to windows of the originals.
        padding_label: the label of pixels outside the tile: "ignore", or "dwl" for the published labels.
        masks: "published", "ids" or "ids-from-1".
        partial: accept an incomplete benchmark.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If files are missing, damaged or different from the published files.
    """
    from pipeline.data.prepare import PrepareSettings
    from pipeline.data.prepare import prepare as run
    from rsmtdf_core.validation import validate

    values = {
        "benchmark": benchmark,
        "source": paths(source),
        "to": Path(to),
        "splits": paths(splits),
        "crops": crops,
        "padding_label": padding_label,
        "masks": masks,
        "partial": partial,
    }
    settings = validate(PrepareSettings, values, "rsmtdf.data.prepare")
    return run(settings, reporter(progress=progress))
