"""A listing that was changed, by accident or to do harm, is refused before anything is fetched."""

import json

import pytest

from pipeline.cache.transfer.importing import import_stores
from pipeline.cache.transfer.listing import parse_listing
from pipeline.cache.transfer.remote import Remote
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreMismatchError,
)
from rsmtdf_core.formats import seal
from tests.caches import make_store
from tests.pipeline.cache.transfer.helpers import exported

GROUP = "views-0123456789abcdef"
STORE = f"{GROUP}/dino-0123456789ab-fp16"


def rewrite(shelf, change):
    path = shelf / "export.json"
    content = json.loads(path.read_text())
    del content["fingerprint"]
    change(content)
    path.write_text(json.dumps(seal(content)))


@pytest.mark.parametrize(
    "path",
    [
        "../out",
        f"{GROUP}/../../out",
        f"{STORE}/../../../out",
        "/etc/out",
        "C:/out",
        "C:\\out",
        f"{GROUP}\\zarr.json",
        f"{GROUP}/.lock",
        f"{GROUP}/zarr.json/",
        f"{GROUP}//zarr.json",
        f"{GROUP}/./zarr.json",
        f"{GROUP}/zarr.json\n",
        f"{STORE}/.lock",
        f"{STORE}/c/0/0/1",
        f"{STORE}/c/-1/0/0/0",
        f"{STORE}/c/01/0/0/0",
        f"{STORE}/c/0/0/0/0/0",
        f"{STORE}/run.py",
        "pins/x.json",
        "export.json",
        "",
        7,
        None,
    ],
)
def test_a_path_that_no_cache_has_is_refused_before_anything_is_fetched(
    cache, shelf, copy, path, monkeypatch
):
    exported(make_store(cache), to=shelf)
    rewrite(shelf, lambda content: content["files"][0].update(path=path))
    asked = []
    get = Remote.get
    monkeypatch.setattr(Remote, "get", lambda *a: (asked.append(a[1]), get(*a))[1])
    with pytest.raises(StoreDamagedError, match=r"export\.json cannot be used"):
        import_stores(str(shelf), copy)
    assert asked == ["export.json"]
    assert not copy.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["files"].append(content["files"][0]),
        lambda content: content["files"].pop(0),
        lambda content: content["files"][3].update(bytes=-1),
        lambda content: content["files"][3].update(bytes=True),
        lambda content: content["files"][3].update(bytes=2**64),
        lambda content: content["files"][3].update(sha256="A" * 64),
        lambda content: content["files"][3].update(more=1),
        lambda content: content["files"][3].pop("sha256"),
        lambda content: content.update(files=None),
        lambda content: content.update(files=[1]),
        lambda content: content.pop("files"),
    ],
)
def test_a_malformed_listing_is_refused(cache, shelf, copy, change):
    exported(make_store(cache), to=shelf)
    rewrite(shelf, change)
    with pytest.raises(StoreDamagedError, match=r"export\.json cannot be used"):
        import_stores(str(shelf), copy)
    assert not copy.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 5000, b'{"files": []}'])
def test_invalid_listings_are_refused(content):
    with pytest.raises(StoreDamagedError, match=r"export\.json cannot be used"):
        parse_listing(content, "here")


def test_every_flipped_bit_of_a_small_listing_is_found(cache, shelf):
    exported(make_store(cache), to=shelf)
    data = (shelf / "export.json").read_bytes()
    whole = parse_listing(data, "here")
    refusals = 0
    for position in range(0, len(data), 17):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            assert parse_listing(flipped, "here") == whole  # white space alone may change
            assert data[position : position + 1].isspace()
        except StoreDamagedError:
            refusals += 1
    assert refusals > 100


def test_a_listing_of_another_format_asks_for_an_upgrade(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    rewrite(shelf, lambda content: content.update(format=99))
    with pytest.raises(StoreMismatchError, match="found 99") as caught:
        import_stores(str(shelf), copy)
    assert caught.value.remedy == "upgrade rsmtdf"


def test_a_ledger_that_names_other_shards_than_the_listing_is_refused(cache, shelf, copy):
    store = make_store(cache)
    exported(store, to=shelf)
    shard = str(store.shard_path(1).relative_to(cache))
    rewrite(
        shelf,
        lambda content: content.update(files=[f for f in content["files"] if f["path"] != shard]),
    )
    with pytest.raises(StoreDamagedError, match="disagree on shard 1"):
        import_stores(str(shelf), copy)
    assert not copy.exists()
