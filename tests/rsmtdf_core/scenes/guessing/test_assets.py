"""The assets of STAC items that are images and masks."""

import numpy as np
import pytest

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import guess_layout
from tests.rasters import write_tiff
from tests.stac import item, write_collection

DATA = "a.tif data"


def layout(root, *assets, **changes):
    write_tiff(root / "a.tif", np.ones((1, 64, 64), np.uint8))
    items = [item(f"i{number}", keys, **changes) for number, keys in enumerate(assets)]
    write_collection(root / "items.json", items)
    return guess_layout(root, ["items.json"])


@pytest.mark.parametrize(
    ("assets", "chosen"),
    [
        (({"visual": "a.tif", "red": DATA}, {"red": DATA, "visual": "a.tif"}), ["visual"]),
        (({"rgb": "a.tif visual", "red": DATA}, {"tci": "a.tif visual"}), ["role=visual"]),
        (({"rgb": "a.tif visual", "red": DATA},), ["rgb"]),
        (({"image": DATA, "thumbnail": "a.png thumbnail"},), ["image"]),
        (({"blue": DATA, "green": DATA, "red": DATA, "scl": DATA},), ["red", "green", "blue"]),
        (
            ({"B02": DATA, "B03": DATA, "B04": DATA, "B08": DATA},),
            ["B04", "B03", "B02", "B08"],
        ),
        (({"B02": "a.tif", "B03": "a.tif", "B04": "a.tif"},), ["B04", "B03", "B02"]),
        (({"picture": "a.tif?token=1", "info": "a.xml"},), ["picture"]),
    ],
)
def test_the_image_of_an_item_is_guessed(tmp_path, assets, chosen):
    if "?" in str(assets):
        write_tiff(tmp_path / "a.tif?token=1", np.ones((1, 64, 64), np.uint8))
    found = layout(tmp_path, *assets)
    assert found.images == tuple(f"items.json#{{name}}/{asset}" for asset in chosen)
    assert found.image_files == ((found.image_files[0][0],) * len(chosen),) * len(assets)


def test_an_image_that_is_not_clear_is_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"i0 has nir \(data\), swir \(data\), qa") as caught:
        layout(tmp_path, {"nir": DATA, "swir": DATA, "qa": "a.tif"})
    assert "--images 'items.json#{name}/KEY'" in caught.value.remedy
    with pytest.raises(DataError, match="the item i0 has no asset"):
        layout(tmp_path, {})


def test_an_asset_of_labels_is_the_mask(tmp_path):
    write_tiff(tmp_path / "m.tif", np.ones((1, 64, 64), np.uint8))
    found = layout(tmp_path, {"visual": "a.tif", "labels": "m.tif"}, {"visual": "a.tif"})
    assert found.masks == "items.json#{name}/labels"
    assert [masked for _, masked in found.pairs] == [True, False]
    assert layout(tmp_path, {"visual": "a.tif", "labels": "a.geojson"}).masks is None


def test_ids_of_several_collections_keep_their_collection(tmp_path):
    write_tiff(tmp_path / "a.tif", np.ones((1, 64, 64), np.uint8))
    items = [item("i", {"visual": "a.tif"}, collection=name) for name in ("x", "y")]
    write_collection(tmp_path / "items.json", items)
    found = guess_layout(tmp_path, ["items.json"])
    assert found.images == ("items.json#{collection}/{name}/visual",)
    assert found.fields == ("collection", "name")
