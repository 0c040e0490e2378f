"""Choose the assets of STAC items that are images, and those that are masks (tests: test_assets.py)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES
from rsmtdf_core.scenes.stac import StacItem, read_items

_PICTURE = "visual"
_MEASURED = "data"
_BANDS = (
    ("red", "green", "blue", "nir"),
    ("B04", "B03", "B02", "B08"),
    ("B4", "B3", "B2", "B5"),
)
"""Keys of assets of one band; the last may be absent."""
_MASKS = ("labels", "label", "masks", "mask")


def asset_patterns(root: Path, document: str) -> tuple[tuple[str, ...], str | None]:
    """Return the patterns of the images and the masks of a STAC document.

    Args:
        root: the data root.
        document: posix path of the document relative to the root.

    Raises:
        MissingFileError, DataError: If the document cannot be read, or no asset is clearly the image.
    """
    items = read_items(root / document)
    several = max(Counter(item.id for item in items).values()) > 1
    start = f"{document}#{'{collection}/' if several else ''}{{name}}/"
    remedy = f"name the asset: --images '{start}KEY', once for each file of an image"
    images = tuple(f"{start}{asset}" for asset in choose_assets(items, remedy))
    masks = next(
        (key for key in _MASKS if any(_is_image(item, key) for item in items)),
        None,
    )
    return images, None if masks is None else f"{start}{masks}"


def choose_assets(items: Sequence[StacItem], remedy: str) -> tuple[str, ...]:
    """Return the assets that are the image of each item, as keys or roles; several are stacked to its bands.

    They are the asset `visual`, that with the role `visual`, the only one with the role `data`, or red, green, blue and
    near infrared.

    Args:
        items: the items.
        remedy: names the option of another choice, for the error.

    Raises:
        DataError: If no asset is clearly the image; the message lists the assets of an item.
    """
    common = [key for key in items[0].files if all(key in item.files for item in items)]
    if _PICTURE in common:
        return (_PICTURE,)
    for role in (_PICTURE, _MEASURED):
        having = [[key for key, roles in item.roles.items() if role in roles] for item in items]
        keys = {key for of_item in having for key in of_item}
        if all(len(of_item) == 1 for of_item in having):
            return (*keys,) if len(keys) == 1 else (f"role={role}",)
    for bands in _BANDS:
        if set(bands[:3]) <= set(common):
            return tuple(band for band in bands if band in common)
    if len(images := [key for key in common if all(_is_image(item, key) for item in items)]) == 1:
        return (*images,)
    assets = (
        f"{key} ({', '.join(roles)})" if roles else key for key, roles in items[0].roles.items()
    )
    raise DataError(
        f"no asset is clearly the image; the item {items[0].id} has {', '.join(assets) or 'no asset'}",
        where=items[0].where,
        remedy=remedy,
    )


def _is_image(item: StacItem, key: str) -> bool:
    return item.hrefs.get(key, "").partition("?")[0].lower().endswith(IMAGE_SUFFIXES)
