"""The images of STAC items, as inputs of a prediction."""

import pytest

from pipeline.predict.inputs import find_jobs
from pipeline.predict.items import assets_of
from pipeline.predict.settings import PredictSettings
from rsmtdf_core.errors import DataError, RsmtdfError
from rsmtdf_core.scenes.images.source import RemoteFile, Stack
from tests.stac import item, write_catalog, write_collection
from tests.web import serve

PLAIN = PredictSettings()


def maps(document, out, assets=()):
    jobs = find_jobs([document], out, PLAIN, assets=assets)
    return {job.files["map"].relative_to(out).as_posix(): job.source for job in jobs}


def test_each_item_becomes_a_map_with_its_id(tmp_path):
    assets = {"visual": "a.tif", "red": "r.tif", "nir": "n.tif"}
    document = write_collection(
        tmp_path / "items.json", [item("x", assets), item("y.1", {**assets, "visual": "b.jp2"})]
    )
    out = tmp_path / "out"
    assert maps(document, out) == {"x.tif": tmp_path / "a.tif", "y.1.tif": tmp_path / "b.jp2"}
    stack = Stack((tmp_path / "n.tif", tmp_path / "r.tif"))
    assert maps(document, out, ["nir", "red"])["x.tif"] == stack
    with pytest.raises(DataError, match="the item x has no asset 'swir'; it has visual, red, nir"):
        maps(document, out, ["swir"])


def test_items_of_several_collections_are_in_their_folders(tmp_path):
    items = [item("i", {"visual": f"{name}.tif"}, collection=name) for name in ("x", "y")]
    document = write_collection(tmp_path / "items.json", items)
    assert list(maps(document, tmp_path / "out")) == ["x/i.tif", "y/i.tif"]


def test_documents_at_addresses_name_rasters_at_addresses(tmp_path):
    pytest.importorskip("aiohttp")
    write_catalog(tmp_path / "catalog.json", {"a/a.json": item("a", {"visual": "./image.tif"})})
    with serve(tmp_path) as server:
        found = maps(RemoteFile(f"{server.address}/catalog.json"), tmp_path / "out")
        assert found == {"a.tif": RemoteFile(f"{server.address}/a/image.tif")}
        with pytest.raises(RsmtdfError, match="document") as caught:
            maps(RemoteFile(f"{server.address}/absent.json"), tmp_path / "out")
    assert caught.value.where.endswith("absent.json")


def test_a_document_of_another_kind_is_refused(tmp_path):
    (tmp_path / "coco.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="the document is not STAC"):
        maps(tmp_path / "coco.json", tmp_path / "out")


def test_assets_of_a_manifest():
    assert assets_of(["items.json#{name}/B04", "a/items.json#{collection}/{name}/role=data"]) == (
        "B04",
        "role=data",
    )
    assert assets_of(["{name}.tif"]) == ()
