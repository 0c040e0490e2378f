"""The verbs of `rsmtdf cache` that read or create stores. Verbs that move or delete stores are on the command line.

`cache` is the folder of the stores, by default `$RSMTDF_CACHE`, else `rsmtdf` in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsmtdf.configs import load_config, override_words
from rsmtdf.isolation import isolated, translated
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.cache.plan import PlanReport
    from pipeline.cache.transcode import TranscodeReport
    from pipeline.cache.verify import Depth, VerifyReport
    from rsmtdf.configs import ConfigSource, Overrides
    from rsmtdf.paths import PathLike
    from rsmtdf_core.cache.catalogue import Catalogue, StoreEntry

__all__ = ["info", "ls", "plan", "transcode", "verify"]


@translated
def ls(cache: PathLike | None = None) -> Catalogue:
    """List all stores, including incomplete and damaged stores.

    Raises:
        RsmtdfError: If there is no cache.
    """
    from rsmtdf_core.cache.catalogue import read_catalogue

    return read_catalogue(_folder(cache))


def info(store: str, *, cache: PathLike | None = None) -> StoreEntry:
    """Return all information about a store, from its scenes to the runs that read it.

    Args:
        store: the first characters of its name, the name of its teacher, or its folder.
        cache: folder of the stores.

    Raises:
        RsmtdfError: If no store or several stores match.
    """
    from rsmtdf_core.cache.catalogue import find_entry

    return find_entry(ls(cache), store)


@isolated
def plan(
    config: ConfigSource,
    *,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    progress: bool = False,
) -> PlanReport:
    """Measure teachers, student and disk, and advise whether to cache, in which codec and how many views.

    Takes about a minute and writes only a temporary file.

    Args:
        config: a path, a packaged name, a mapping or a config, as for `load_config`.
        overrides: of the config's keys.
        cache: folder of the stores; overrides `runtime.cache`.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If the config, the scenes or a teacher cannot be used.
    """
    from pipeline.cache.plan import plan_cache

    words = override_words(overrides, runtime__cache=cache)
    return plan_cache(load_config(config, words), reporter(progress=progress))


@isolated
def verify(
    stores: Sequence[str] = (),
    *,
    config: ConfigSource | None = None,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    depth: Depth = "normal",
    progress: bool = False,
) -> VerifyReport:
    """Check stores: files, checksums, pixels, and the teacher's tokens. Does not write or download files.

    Args:
        stores: names as for `info`, by default all.
        config: provides scenes and teachers to render views and compute tokens again, and the default cache.
        overrides: of the config's keys.
        cache: the folder of the stores.
        depth: "quick", "normal" or "deep".
        progress: whether bars are shown.

    Returns:
        The checks of each store; `failed` is the number of those that failed.

    Raises:
        RsmtdfError: If there is no cache or no such store.
    """
    from pipeline.cache.verify import verify as verify_stores

    words = override_words(overrides, runtime__cache=cache)
    experiment = None if config is None else load_config(config, words)
    folder = _folder(cache) if experiment is None else experiment.runtime.cache_folder
    return verify_stores(folder, stores, experiment, depth, reporter(progress=progress))


@isolated
def transcode(
    store: str,
    codec: str,
    *,
    quality: float | None = None,
    cache: PathLike | None = None,
    progress: bool = False,
) -> TranscodeReport:
    """Convert a store to another codec; needs neither a GPU nor the teacher.

    Args:
        store: name of the store, as for `info`.
        codec: codec of the new store.
        quality: mean-centered cosine that the codec preserves, for codecs with this setting.
        cache: the folder of the stores.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If there is no such store, it is damaged, or the codec does not exist.
    """
    from pipeline.cache.transcode import transcode as transcode_store
    from rsmtdf_core.codecs import declare_codec

    source = info(store, cache=cache).opened()
    declared = declare_codec(codec, **({} if quality is None else {"quality": quality}))
    return transcode_store(source, declared, reporter(progress=progress))


def _folder(cache: PathLike | None) -> Path:
    from pipeline.sections import RuntimeSettings
    from rsmtdf_core.validation import validate

    return validate(RuntimeSettings, {"cache": cache}, "cache").cache_folder
