"""The verb `start`: from a folder of images to a config and a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsmtdf.isolation import isolated
from rsmtdf.paths import optional_path
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.start import StartReport
    from rsmtdf.paths import PathLike


@isolated
def start(
    root: PathLike,
    out: PathLike | None = None,
    *,
    classes: str | None = None,
    hours: float = 1.0,
    weights: PathLike | None = None,
    cache: PathLike | None = None,
    run: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> StartReport:
    """Propose a config for a folder of images that fits this machine and the time; train with it on request.

    Args:
        root: the folder with images and masks.
        out: the config to write, by default config.yaml in the folder. A folder without a manifest.yaml gets one next
            to the config.
        classes: class names separated by commas, in the order of the mask values, for a new manifest.
        hours: time for extraction and training.
        weights: folder with weights files, known by their names; the hub is asked for the others.
        cache: folder of the feature stores.
        run: whether to extract, train and evaluate too.
        overwrite: replace the config and the run if they exist.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If the folder cannot be used, or files exist already.
    """
    from pipeline.data.init import checked_draft, draft, look, parse_classes, write_manifest
    from pipeline.start import (
        StartReport,
        manifest_of,
        propose,
        require_free_config,
        run_all,
        write_config,
    )

    folder, shown = Path(root), reporter(progress=progress)
    path = folder / "config.yaml" if out is None else Path(out)
    if folder.is_dir():
        require_free_config(path, overwrite=overwrite)
    manifest = manifest_of(folder, path)
    if not manifest.exists():
        named = None if classes is None else parse_classes(classes)
        proposal, _ = checked_draft(draft(look(folder, shown), manifest, named), shown)
        write_manifest(proposal, manifest)
    settings, text = propose(
        manifest,
        folder,
        hours=hours,
        weights=optional_path(weights),
        cache=optional_path(cache),
        reporter=shown,
    )
    write_config(text, path, overwrite=overwrite)
    if not run:
        return StartReport(settings, path)
    return run_all(path, settings, overwrite=overwrite, reporter=shown)
