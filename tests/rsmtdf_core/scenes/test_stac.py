"""Images and masks that are assets of STAC items."""

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError, DataError, MissingFileError, RsmtdfError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_pairs, find_scenes
from rsmtdf_core.scenes.images.source import RemoteFile
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.stac import read_items
from rsmtdf_core.validation import validate
from tests.rasters import ramp, write_tiff
from tests.stac import catalog, item, write_catalog, write_collection, write_json

from .conftest import make_manifest, manifest_values

NAMES = st.lists(
    st.text("abcXYZ0189_-@ .é", min_size=1, max_size=8).filter(lambda name: name[0] != "."),
    min_size=1,
    max_size=6,
    unique=True,
)


def stac_manifest(images="items.json#{name}/visual", masks=None, **changes):
    return make_manifest(**{"images": images, "masks": masks, "splits": {"train": {}}, **changes})


def pairs(root, *arguments, **changes):
    found = find_pairs(stac_manifest(*arguments, **changes), root)
    return {pair.id: (pair.files, pair.mask) for pair in found}


@settings(max_examples=25)
@given(names=NAMES, style=st.sampled_from(["relative", "absolute", "file"]), data=st.data())
def test_each_item_is_an_image_wherever_its_href_leads(tmp_path_factory, names, style, data):
    root = tmp_path_factory.mktemp("items")
    items = []
    for number, name in enumerate(names):
        path = root / "scenes" / f"s {number}.tif"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        href = {
            "relative": f"../scenes/{path.name}",
            "absolute": str(path),
            "file": f"file://{quote(str(path))}",
        }[style]
        items.append(item(name, {"visual": {"href": href}}))
    write_collection(root / "found/items.json", data.draw(st.permutations(items)))
    found = pairs(root, "found/items.json#{name}/visual")
    assert found == {name: ((f"scenes/s {number}.tif",), None) for number, name in enumerate(names)}
    assert list(found) == sorted(found)


@settings(max_examples=25)
@given(
    names=NAMES, damage=st.sampled_from(["asset", "file", "address", "id", "role"]), data=st.data()
)
def test_an_error_names_the_item(tmp_path_factory, names, damage, data):
    root = tmp_path_factory.mktemp("items")
    items = [item(name, {}) for name in names]
    for number, entry in enumerate(items):
        (root / f"{number}.tif").touch()
        entry["assets"]["visual"] = {"href": f"{number}.tif", "roles": ["data"]}
    wrong = data.draw(st.sampled_from(items))
    if damage == "asset":
        del wrong["assets"]["visual"]
    elif damage == "file":
        wrong["assets"]["visual"]["href"] = "absent.tif"
    elif damage == "address":
        wrong["assets"]["visual"]["href"] = "https://example.org/a.tif?signature=secret"
    elif damage == "role":
        wrong["assets"]["overview"] = wrong["assets"]["visual"]
    else:
        items.append(wrong)
    write_collection(root / "items.json", items)
    with pytest.raises((DataError, MissingFileError)) as caught:
        pairs(root, "items.json#{name}/" + ("role=data" if damage == "role" else "visual"))
    assert wrong["id"] in caught.value.what
    assert caught.value.remedy
    assert "secret" not in str(caught.value)


def test_catalogs_have_the_items_of_their_children(tmp_path):
    for name in "abc":
        (tmp_path / f"deep/{name}").mkdir(parents=True)
        (tmp_path / f"deep/{name}/visual.tif").touch()
    inner = catalog(
        [{"rel": "item", "href": "b/b.json"}, {"rel": "child", "href": "../catalog.json"}]
    )
    write_json(tmp_path / "deep/b/b.json", item("b", {"visual": "./visual.tif"}))
    write_catalog(
        tmp_path / "catalog.json",
        {
            "deep/a/a.json": item("a", {"visual": "visual.tif"}),
            "deep/catalog.json": inner,
            "deep/c/c.json": item("c", {"visual": "./visual.tif"}),
        },
    )
    expected = {name: ((f"deep/{name}/visual.tif",), None) for name in "abc"}
    assert pairs(tmp_path, "catalog.json#{name}/visual") == expected
    alone = pairs(tmp_path, "deep/a/a.json#{name}/visual")
    assert alone == {"a": (("deep/a/visual.tif",), None)}


@pytest.mark.filterwarnings("error")
def test_assets_are_read_as_bands_and_masks(tmp_path):
    items = []
    for number, name in enumerate("xy"):
        values = ramp(3, 40, 60) + number
        for band, key in enumerate(("B04", "B03", "B02")):
            write_tiff(tmp_path / f"{name}-{key}.tif", values[band : band + 1])
        assets = {key: f"{name}-{key}.tif" for key in ("B04", "B03", "B02")}
        if name == "x":
            write_tiff(tmp_path / "x-labels.tif", np.ones((1, 40, 60), np.uint8))
            assets["labels"] = "x-labels.tif labels"
        items.append(item(name, assets))
    write_collection(tmp_path / "items.json", items)
    manifest = stac_manifest(
        [f"items.json#{{name}}/{key}" for key in ("B04", "B03", "B02")],
        "items.json#{name}/labels",
        bands={"indices": [1, 2, 3], "scale": [0, 4000]},
    )
    dataset = find_scenes(manifest, tmp_path)
    x, y = dataset.splits["train"]
    assert x.files == ("x-B04.tif", "x-B03.tif", "x-B02.tif")
    reader = SceneReader(dataset)
    expected = ramp(3, 40, 60).transpose(1, 2, 0) / 4000 * 255
    np.testing.assert_allclose(reader.image(x), expected, atol=1)
    assert (reader.mask(x) == 0).all()  # the first class
    assert y.mask is None
    check = check_dataset(manifest, tmp_path)
    assert not check.problems
    (train,) = check.splits
    assert (train.scenes, train.labeled) == (2, 1)


def test_a_root_may_be_relative_or_a_link(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.tif").touch()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    write_collection(tmp_path / "data/items.json", [item("a", {"visual": "a.tif"})])
    monkeypatch.chdir(tmp_path)
    for root in (Path("data"), Path("link"), tmp_path / "link", Path("data/../link")):
        assert pairs(root) == {"a": (("a.tif",), None)}


def test_ids_repeat_in_several_collections(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.tif").touch()
    items = [item("1", {"visual": f"{name}.tif"}, collection=name) for name in ("a", "b")]
    write_collection(tmp_path / "items.json", items)
    with pytest.raises(DataError, match="two items have the id 1") as caught:
        pairs(tmp_path)
    assert "{collection}/{name}" in caught.value.remedy
    found = pairs(tmp_path, "items.json#{collection}/{name}/visual")
    assert found == {"a/1": (("a.tif",), None), "b/1": (("b.tif",), None)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "cannot be read"),
        ("[1]", "not STAC"),
        ("[" * 100_000, "cannot be read"),
        ('{"type": "FeatureCollection"}', "not STAC"),
        ('{"type": "FeatureCollection", "features": []}', "no item"),
        ('{"images": [], "annotations": [], "categories": []}', "not STAC"),
        (
            json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature"}]}),
            "feature 1 is",
        ),
        (json.dumps({"type": "FeatureCollection", "features": [None]}), "feature 1 is"),
        (json.dumps(catalog([])), "no item"),
        (json.dumps(catalog([{"rel": "item", "href": "absent.json"}])), "document is missing"),
        (json.dumps(catalog([{"rel": "item", "href": "https://a.org/b.json"}])), "at an address"),
        (json.dumps(item("a/b", {})), "cannot name a scene"),
        (json.dumps(item("a", {}, properties={})), r"feature 1 \(a\) is not"),
        (json.dumps(item("a", {"visual": {}})), r"feature 1 \(a\) is not"),
    ],
)
def test_other_documents_are_refused(tmp_path, content, expected):
    (tmp_path / "items.json").write_text(content)
    with pytest.raises(RsmtdfError, match=expected) as caught:
        pairs(tmp_path)
    assert caught.value.where.endswith("json")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://a.org/b.tif", "https://a.org/b.tif"),
        ("b.tif", "https://a.org/found/b.tif"),
        ("/vsicurl/https://a.org/b.tif", "https://a.org/b.tif"),
        ("/vsis3/bucket/b.tif", "s3://bucket/b.tif"),
        ("s3://bucket/b.tif", "s3://bucket/b.tif"),
        ("gs://bucket/b.tif", None),
        ("/vsizip/b.zip/b.tif", None),
    ],
)
def test_assets_at_addresses_have_their_whole_address(href, expected):
    content = json.dumps({"type": "FeatureCollection", "features": [item("a", {"visual": href})]})
    address = "https://a.org/found/items.json"
    (found,) = read_items(RemoteFile(address), {address: content.encode()}.__getitem__)
    if expected is None:
        with pytest.raises(DataError, match="the asset visual of the item a is at an address"):
            found.file_of("visual")
    else:
        assert found.file_of("visual") == RemoteFile(expected)


@pytest.mark.parametrize(
    "pattern",
    ["items.json#visual", "items.json#{name}", "items.json#{name}/", "a.json#{x}/{name}/b"],
)
def test_malformed_patterns_are_refused(pattern):
    with pytest.raises(ConfigError, match="expected a pattern of assets"):
        validate(Manifest, manifest_values(images=pattern, masks=None), "manifest")
