"""Finds the images of the items in STAC documents (tests: test_items.py)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.remote import open_address
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing.assets import choose_assets
from rsmtdf_core.scenes.images.source import File, Source, stacked
from rsmtdf_core.scenes.stac import asset_pattern, read_items


def assets_of(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the assets in the image patterns of a manifest; empty for patterns of files."""
    return tuple(found.asset for pattern in patterns if (found := asset_pattern(pattern)))


def find_items(document: File, assets: Sequence[str]) -> Iterator[tuple[Source, Path]]:
    """Yield the image of each item, and its path without a suffix: the id, below that of its collection if ids repeat.

    Args:
        document: the STAC document.
        assets: the assets of an image, see `PredictSettings.assets`; empty guesses them.

    Raises:
        MissingFileError, DataError: If a document cannot be read, or an item lacks an asset.
        ConfigError: If pystac is not installed, or the package that reads the address.
    """
    items = read_items(document, _read)
    chosen = assets or choose_assets(items, "name the asset: --asset KEY, once for each file")
    ids = [item.id for item in items]
    several = len(set(ids)) < len(ids)
    for item in items:
        source = stacked([item.file_of(asset) for asset in chosen])
        yield source, Path(item.collection, item.id) if several else Path(item.id)


def _read(address: str) -> bytes:
    files, path = open_address(address)
    try:
        content: bytes = files.cat_file(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - file systems of fsspec raise any class
        raise DataError(
            f"the STAC document cannot be read: {error}",
            where=address,
            remedy="check the address and the connection",
        ) from None
    return content
