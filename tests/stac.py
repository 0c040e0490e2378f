"""STAC documents for tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def item(name: str, assets: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an item with assets by key: their JSON, or an href with roles after spaces."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2024-05-01T00:00:00Z"},
        "links": [],
        "assets": {
            key: _asset(*asset.split(" ")) if isinstance(asset, str) else asset
            for key, asset in assets.items()
        },
        **changes,
    }


def _asset(href: str, *roles: str) -> dict[str, Any]:
    return {"href": href, "roles": list(roles)} if roles else {"href": href}


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_collection(path: Path, items: Sequence[Any]) -> Path:
    """Write an item collection, as a search of a STAC API returns."""
    return write_json(path, {"type": "FeatureCollection", "features": list(items)})


def write_catalog(path: Path, children: Mapping[str, Any]) -> Path:
    """Write a static catalog, with its items and child catalogs at paths relative to it."""
    links = []
    for place, content in children.items():
        write_json(path.parent / place, content)
        rel = "item" if content["type"] == "Feature" else "child"
        links.append({"rel": rel, "href": f"./{place}", "type": "application/json"})
    return write_json(path, catalog(links))


def catalog(links: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "root",
        "description": "-",
        "links": [{"rel": "root", "href": "./catalog.json"}, *links],
    }
