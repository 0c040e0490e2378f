"""Images of STAC items: item collections, static catalogs and collections, single items (tests: test_stac.py).

The pattern "items.json#{name}/visual" matches, for each item of items.json, the file of its asset `visual`; `{name}` is
the item's id. The last part may be a role, "role=data", which one asset of each item must have. With
"items.json#{collection}/{name}/visual" ids need to differ in each collection only.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from rsmtdf_core.errors import ConfigError, DataError, MissingFileError
from rsmtdf_core.scenes.images.source import File, RemoteFile, parse_file
from rsmtdf_core.words import counted

STAC_SUFFIXES = (".json", ".geojson")
"""The suffixes of STAC documents."""

Read = Callable[[str], bytes]
"""Reads the document at an address."""

_PATTERN = re.compile(
    r"(?P<document>[^#]+\.(?:geo)?json)#(?P<fields>(?:\{collection\}/)?\{name\})/(?P<asset>[^/{}]+)"
)
_ROLE = "role="


def is_document(file: File) -> bool:
    """Whether a file is a STAC document, by its name."""
    return file.suffix.lower() in STAC_SUFFIXES


@dataclass(frozen=True)
class AssetPattern:
    """A path pattern of the assets of items.

    Attributes:
        document: posix path of the STAC document relative to the data root.
        asset: the key of the asset, or "role=" and its role.
    """

    document: str
    asset: str


@dataclass(frozen=True)
class StacItem:
    """An item.

    Attributes:
        id: its id.
        collection: the id of its collection; "none" without one.
        files: the file of each asset, by its key; None for an address that is not read.
        hrefs: the absolute href of each asset.
        roles: the roles of each asset.
        where: the document that has it.
    """

    id: str
    collection: str
    files: Mapping[str, File | None]
    hrefs: Mapping[str, str]
    roles: Mapping[str, tuple[str, ...]]
    where: str

    def key_of(self, asset: str) -> str | None:
        """Return the key of an asset that is named by key or role; None if the item has no such asset.

        Raises:
            DataError: If several assets have the role.
        """
        if not asset.startswith(_ROLE):
            return asset if asset in self.files else None
        role = asset.removeprefix(_ROLE)
        keys = [key for key, roles in self.roles.items() if role in roles]
        if len(keys) > 1:
            raise DataError(
                f"the item {self.id} has {len(keys)} assets with the role {role}: {', '.join(keys)}",
                where=self.where,
                remedy=f"name the asset by its key, such as {keys[0]}",
            )
        return keys[0] if keys else None

    def file_of(self, asset: str) -> File:
        """Return the file of an asset.

        Raises:
            DataError: If the item has no such asset, or its address is not read.
        """
        key = self.key_of(asset)
        if key is None:
            noun = (
                f"asset with the role {asset.removeprefix(_ROLE)}"
                if asset.startswith(_ROLE)
                else f"asset '{asset}'"
            )
            raise DataError(
                f"the item {self.id} has no {noun}; it has {', '.join(self.files) or 'no asset'}",
                where=self.where,
                remedy="name an asset that all items have, or remove this item from the document",
            )
        if (file := self.files[key]) is None:
            raise DataError(
                f"the asset {key} of the item {self.id} is at an address that is not read: {self.hrefs[key]}",
                where=self.where,
                remedy="download the file, and correct the asset's href",
            )
        return file


def asset_pattern(pattern: str) -> AssetPattern | None:
    """Return the parts of a pattern of assets; None for a pattern of files.

    Raises:
        ValueError: If the pattern has the name of a JSON document and "#", but is no pattern of assets.
    """
    if not re.search(r"\.(?:geo)?json#", pattern):
        return None
    match = _PATTERN.fullmatch(pattern)
    if match is None:
        raise ValueError(
            f'expected a pattern of assets such as "items.json#{{name}}/visual", found "{pattern}"'
        )
    return AssetPattern(match["document"], match["asset"])


def match_assets(
    root: Path, pattern: AssetPattern, fields: Sequence[str], *, partial: bool = False
) -> dict[tuple[str, ...], str]:
    """Return the file of each item's asset by the values of `fields`, sorted.

    Args:
        root: the data root.
        pattern: the document and the asset.
        fields: "name", the item's id, and "collection", in the order of the keys.
        partial: whether items without the asset are left out, as images without a mask are.

    Returns:
        Posix paths, relative to the root if they are below it.

    Raises:
        MissingFileError: If the document or a file is missing.
        DataError: If the document cannot be read, an item lacks the asset or has it at an address, or two items have
            equal values.
    """
    files: dict[tuple[str, ...], str] = {}
    missing: list[tuple[StacItem, Path]] = []
    for item in read_items(root / pattern.document):
        if partial and item.key_of(pattern.asset) is None:
            continue
        file = item.file_of(pattern.asset)
        if isinstance(file, RemoteFile):
            raise DataError(
                f"the asset {pattern.asset} of the item {item.id} is at an address, and training reads local files: "
                f"{file}",
                where=item.where,
                remedy="download the items with their assets, for example with stac-asset; only `rsmtdf predict` reads "
                "addresses",
            )
        key = tuple({"name": item.id, "collection": item.collection}[field] for field in fields)
        if key in files:
            raise _twice(item, "collection" in fields)
        if not file.is_file():
            missing.append((item, file))
        files[key] = _below(root, file)
    if missing:
        item, path = missing[0]
        raise MissingFileError(
            f"the asset {pattern.asset} of {counted(len(missing), 'item')} is missing, the first is that of {item.id}",
            where=path,
            remedy=f"restore the file, correct the asset's href, or remove the item from {item.where}",
        )
    return dict(sorted(files.items()))


def _below(root: Path, file: Path) -> str:
    folder = _absolute(root)
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def _absolute(path: Path) -> str:
    """Return an absolute path without "..", in which links stay, as in hrefs that pystac resolves."""
    from pystac.utils import make_absolute_href

    return make_absolute_href(str(path))


def _twice(item: StacItem, by_collection: bool) -> DataError:
    remedy = (
        "" if by_collection else "; or, for items of several collections, name {collection}/{name}"
    )
    return DataError(
        f"two items have the id {item.id}",
        where=item.where,
        remedy=f"remove one of them, or give it another id{remedy}",
    )


def read_items(document: File, read: Read | None = None) -> list[StacItem]:
    """Read the items of an item collection, a single item, or a static catalog or collection with its children.

    Relative hrefs are relative to the document that has the item.

    Args:
        document: the document.
        read: reads documents at addresses; None refuses them.

    Raises:
        ConfigError: If pystac is not installed.
        MissingFileError: If a document is missing.
        DataError: If a document cannot be read or is not STAC, an item is malformed, or there is none.
    """
    _require_pystac()
    place = _absolute(document) if isinstance(document, Path) else document.address
    items = [_item(*found) for found in _found(place, read, set())]
    if not items:
        raise DataError(
            "the document has no item",
            where=document,
            remedy="search with other parameters, or name the document that has the items",
        )
    return items


def _require_pystac() -> None:
    if find_spec("pystac") is None:
        raise ConfigError(
            "STAC needs the package pystac, which is not installed",
            remedy="pip install 'rsmtdf[geo]'",
        )


def _found(place: str, read: Read | None, seen: set[str]) -> Iterator[tuple[object, str, int]]:
    """Yield the items of a document and its children as JSON, each with the place of its document and a number."""
    from pystac.utils import make_absolute_href

    seen.add(place)
    content = _read_json(place, read)
    match content:
        case {"type": "FeatureCollection", "features": list(features)}:
            yield from ((feature, place, number) for number, feature in enumerate(features, 1))
        case {"type": "Feature"}:
            yield content, place, 1
        case {"type": "Catalog" | "Collection", "links": list(links)}:
            for link in links:
                match link:
                    case {"rel": "child" | "item", "href": str(href)}:
                        if (child := make_absolute_href(href, place)) not in seen:
                            yield from _found(child, read, seen)
        case _:
            raise DataError(
                "the document is not STAC",
                where=place,
                remedy="name an item collection, an item, or a static catalog or collection",
            )


def _read_json(place: str, read: Read | None) -> object:
    file = _file(place)
    try:
        if isinstance(file, Path):
            return json.loads(file.read_bytes())
        if file is not None and read is not None:
            return json.loads(read(file.address))
    except FileNotFoundError:
        raise MissingFileError(
            "the STAC document is missing", where=place, remedy="correct the path"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"the STAC document cannot be read: {error}", where=place, remedy="download it again"
        ) from None
    raise DataError(
        "the STAC document is at an address, and only local documents are read here",
        where=file or place,
        remedy="download the catalog, for example with stac-asset",
    )


def _item(feature: object, place: str, number: int) -> StacItem:
    """Return an item.

    Args:
        feature: its JSON.
        place: the place of its document.
        number: its number in the document, for messages.

    Raises:
        DataError: If it is no item, or its id cannot name a scene.
    """
    import pystac
    from pystac.utils import make_absolute_href

    try:
        # Any other value than an object raises one of the errors below.
        item = pystac.Item.from_dict(cast("dict[str, Any]", feature))
        hrefs = {key: make_absolute_href(asset.href, place) for key, asset in item.assets.items()}
        roles = {key: tuple(asset.roles or ()) for key, asset in item.assets.items()}
    except (
        pystac.STACError,
        pystac.STACTypeError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        name = feature.get("id") if isinstance(feature, dict) else None
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"feature {number}{f' ({name})' if name else ''} is not a STAC item: {reason}",
            where=place,
            remedy="correct or remove it; labels in GeoJSON belong under `masks`",
        ) from None
    name, collection = str(item.id), str(item.collection_id or "none")
    for text in (name, collection):
        if not text or text.startswith(".") or "/" in text or not text.isprintable():
            raise DataError(
                f"the id '{text}' cannot name a scene: it is empty, starts with a dot, or has a slash or a character "
                "that cannot be printed",
                where=place,
                remedy="give the item or its collection another id",
            )
    files = {key: _file(href) for key, href in hrefs.items()}
    return StacItem(name, collection, files, hrefs, roles, place)


def _file(href: str) -> File | None:
    """Return the path or address of an absolute href; None if it is not read."""
    if href.startswith("/vsis3/"):
        href = f"s3://{href.removeprefix('/vsis3/')}"
    href = href.removeprefix("/vsicurl/")
    if href.startswith("/vsi"):
        return None
    if href.startswith("file://"):
        return Path(unquote(href.removeprefix("file://").removeprefix("localhost")))
    try:
        return parse_file(href)
    except ConfigError:
        return None
