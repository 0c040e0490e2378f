"""Uses of the cached tokens beyond training: what to label next, and similar views."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsmtdf.configs import load_config, override_words
from rsmtdf.isolation import isolated
from rsmtdf.paths import optional_path
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.archive.search import SearchReport
    from pipeline.archive.suggest import SuggestReport
    from pipeline.config import ExperimentConfig
    from rsmtdf.configs import ConfigSource, Overrides
    from rsmtdf.paths import PathLike


@isolated
def suggest(
    config: ConfigSource,
    *,
    count: int = 10,
    out: PathLike | None = None,
    teacher: str | Sequence[str] | None = None,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    progress: bool = False,
) -> SuggestReport:
    """Suggest training scenes to label next, by k-centre greedy over the mean cached tokens of the scenes.

    Args:
        config: a config, as for `load_config`, whose features are cached.
        count: number of scenes.
        out: folder for a CSV file and a contact sheet; None writes no files.
        teacher: names of the teachers to compare, by default those that the method distills.
        overrides: overrides of the config's keys.
        cache: folder of the feature stores.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the features are not in the cache, or all scenes are labeled.
    """
    from pipeline.archive.suggest import suggest as suggest_scenes

    names = [teacher] if isinstance(teacher, str) else teacher
    loaded = load_config(config, override_words(overrides, runtime__cache=cache))
    return suggest_scenes(loaded, count, optional_path(out), names, reporter(progress=progress))


@isolated
def search(
    source: ConfigSource,
    like: PathLike,
    *,
    count: int = 12,
    out: PathLike | None = None,
    teacher: str | None = None,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    progress: bool = False,
) -> SearchReport:
    """Find the views of an archive that are most similar to an image or a scene, at most one of each scene.

    Args:
        source: a config, as for `load_config`, whose features are cached; or the folder of a store.
        like: an image with an optional box, `IMAGE:x,y,w,h` in px, or the id of a scene of the archive.
        count: largest number of views.
        out: folder for a CSV file, a contact sheet and a GeoJSON file; None writes no files.
        teacher: name of a teacher of the config, by default the first that the method distills.
        overrides: overrides of the config's keys.
        cache: folder of the feature stores.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the features are not in the cache, or there is no such image or scene.
    """
    from pipeline.archive.search import search as search_archive
    from rsmtdf_core.errors import ConfigError

    archive: ExperimentConfig | Path
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        if overrides or cache:
            raise ConfigError(
                "overrides and cache need a config", where=source, remedy="give a config"
            )
        archive = Path(source)
    else:
        archive = load_config(source, override_words(overrides, runtime__cache=cache))
    return search_archive(
        archive, os.fspath(like), count, optional_path(out), teacher, reporter(progress=progress)
    )
