import functools
import http.server
import json
import runpy
import shutil
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.transfer.exporting import export_stores
from pipeline.transfer.importing import import_stores
from pipeline.transfer.listing import parse_listing
from pipeline.transfer.parts import parse_views
from pipeline.transfer.remote import Remote
from rsmtdf_core.errors import (
    ConfigError,
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.store.catalogue import read_catalogue
from rsmtdf_core.store.codecs import CODECS
from rsmtdf_core.store.metadata import sealed, write_metadata
from rsmtdf_core.store.tables import write_table

_caches = runpy.run_path(str(Path(__file__).parents[1] / "caches.py"))
make_store, tree = _caches["make_store"], _caches["tree"]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "shelf"


@pytest.fixture
def copy(tmp_path):
    return tmp_path / "copy"


def exported(*stores, to, views=None):
    return export_stores(stores, str(to), views)


def without_listing(folder):
    return {path: data for path, data in tree(folder).items() if path != "export.json"}


def states(cache):
    return {entry.teacher: entry.state for entry in read_catalogue(cache).stores}


def served(cache):
    """Which store rows a committed store serves, and that all of its records are sound."""
    (entry,) = read_catalogue(cache).stores
    assert entry.state == "committed"
    assert entry.store.verify() == ()
    rows = np.flatnonzero(entry.store.group.table["scene"] >= 0)
    here = np.setdiff1d(rows, entry.store.missing_rows(rows))
    entry.store.require_rows(here)
    assert entry.views == len(here)
    return set(here.tolist())


def numbered(store, views):
    table = store.group.table
    return set(np.flatnonzero((table["scene"] >= 0) & np.isin(table["number"], views)).tolist())


def stopping(call, after, counts=lambda *arguments: True):
    """`call`, but the one after so many raises, in whatever thread."""
    done, lock = [], threading.Lock()

    def stopped(*arguments):
        if counts(*arguments):
            with lock:
                done.append(arguments)
                if len(done) > after:
                    raise RuntimeError("killed")
        return call(*arguments)

    return stopped


def test_an_exported_and_imported_cache_is_equal_byte_for_byte(cache, shelf, copy):
    stores = make_store(cache), make_store(cache, "other"), make_store(cache, seed=1)
    sent = exported(*stores, to=shelf)
    assert without_listing(shelf) == tree(cache)
    assert (sent.files, sent.there, sent.views) == (len(tree(cache)), 0, 54)
    got = import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)
    assert (got.views, got.files, got.there) == (54, 15, 0)


@pytest.mark.parametrize("codec", sorted(CODECS.keys() - {"uint8"}))
def test_stores_of_every_codec_come_whole(cache, shelf, copy, codec):
    store = make_store(cache, codec=codec, views=3)
    exported(store, to=shelf)
    import_stores(str(shelf), copy, views=range(1))
    import_stores(str(shelf), copy)
    assert served(copy) == numbered(store, range(3))


def test_an_export_is_itself_a_cache(cache, shelf):
    exported(make_store(cache), to=shelf)
    assert states(shelf) == {"tiny": "committed"}


def test_the_listing_is_written_last(cache, shelf, monkeypatch):
    order = []
    put = Remote.put
    monkeypatch.setattr(Remote, "put", lambda *a: (order.append(a[2]), put(*a))[1])
    exported(make_store(cache), to=shelf)
    assert order[-1] == "export.json"
    assert order.count("export.json") == 1


def test_only_committed_stores_are_exported(cache, shelf):
    with pytest.raises(StoreIncompleteError, match="only committed"):
        exported(make_store(cache, commit=False), to=shelf)
    assert not shelf.exists()


def test_a_damaged_record_is_not_exported(cache, shelf):
    store = make_store(cache)
    path = store.shard_path(2)
    path.write_bytes(path.read_bytes()[:5] + b"\xff" + path.read_bytes()[6:])
    with pytest.raises(StoreDamagedError):
        exported(store, to=shelf)
    assert not (shelf / "export.json").exists()


def test_a_killed_export_goes_on(cache, shelf, monkeypatch):
    store = make_store(cache)
    monkeypatch.setattr(Remote, "put", stopping(Remote.put, 4))
    with pytest.raises(RuntimeError, match="killed"):
        exported(store, to=shelf)
    assert not (shelf / "export.json").exists()
    monkeypatch.undo()
    assert exported(store, to=shelf).there >= 4
    assert without_listing(shelf) == tree(cache)
    assert exported(store, to=shelf).files == 0


def test_stores_of_an_earlier_export_stay(cache, shelf, copy):
    one, other = make_store(cache), make_store(cache, seed=1)
    exported(one, to=shelf)
    exported(other, to=shelf)
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_a_grown_store_is_exported_onto_its_earlier_export(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    grown = make_store(cache, views=4)
    exported(grown, to=shelf)
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_a_group_is_not_changed_under_a_store_that_stays(cache, shelf):
    exported(make_store(cache), to=shelf)
    grown = make_store(cache, "other", views=4)
    before = tree(shelf)
    with pytest.raises(StoreMismatchError, match="has other views"):
        exported(grown, to=shelf)
    assert tree(shelf) == before


def test_a_range_of_views_is_exported_as_a_store_that_is_whole(cache, shelf, copy):
    store = make_store(cache, views=4)
    sent = exported(store, to=shelf, views=range(2))
    (entry,) = read_catalogue(shelf).stores
    assert sent.views == entry.views < 36
    assert served(shelf) >= numbered(store, [0, 1])
    assert entry.seconds == pytest.approx(1.5 * entry.views / 36)
    assert entry.certificate["records"] <= store.read_commit().certificate["records"]
    import_stores(str(shelf), copy)
    assert tree(copy) == without_listing(shelf)


def test_a_range_of_views_is_imported_and_the_rest_later(cache, shelf, copy):
    store = make_store(cache, views=4)
    exported(store, to=shelf)
    first = import_stores(str(shelf), copy, views=range(1))
    assert numbered(store, [0]) <= served(copy) < numbered(store, range(4))
    rest = import_stores(str(shelf), copy, views=range(1, 4))
    assert served(copy) == numbered(store, range(4))
    assert first.files + rest.files == len(list((store.path / "c").iterdir()))
    (entry,) = read_catalogue(copy).stores
    assert entry.seconds == pytest.approx(1.5)
    assert import_stores(str(shelf), copy).files == 0


def test_a_teachers_stores_alone_are_imported(cache, shelf, copy):
    exported(make_store(cache), make_store(cache, "other"), to=shelf)
    import_stores(str(shelf), copy, teacher="other")
    assert states(copy) == {"other": "committed"}
    with pytest.raises(StoreNotFoundError, match="other, tiny"):
        import_stores(str(shelf), copy, teacher="none")
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_views_that_are_not_there_are_told(cache, shelf, copy):
    store = make_store(cache)
    with pytest.raises(StoreNotFoundError, match="no views of these numbers"):
        exported(store, to=shelf, views=range(7, 9))
    exported(store, to=shelf)
    with pytest.raises(StoreNotFoundError, match="no views of these numbers"):
        import_stores(str(shelf), copy, views=range(7, 9))
    assert not copy.exists()


def test_an_import_killed_at_any_file_shows_no_half_store_and_goes_on(
    cache, shelf, copy, monkeypatch
):
    exported(make_store(cache), make_store(cache, "other"), to=shelf)
    get = Remote.get
    files = len(tree(shelf))
    for stop in range(files):
        folder = copy / str(stop)
        monkeypatch.setattr(Remote, "get", stopping(get, stop))
        with pytest.raises(RuntimeError, match="killed"):
            import_stores(str(shelf), folder)
        if folder.exists():
            for entry in read_catalogue(folder).stores:
                assert entry.state != "damaged"
                assert entry.state == "unfinished" or entry.store.verify() == ()
            assert not list(folder.rglob("*.tmp-*"))
        monkeypatch.undo()
        import_stores(str(shelf), folder)
        assert tree(folder) == tree(cache)


@pytest.mark.parametrize("stop", range(12))
def test_an_import_killed_at_any_write_goes_on(cache, shelf, copy, monkeypatch, stop):
    exported(make_store(cache), to=shelf)
    inside = lambda source, target: copy in Path(target).parents  # noqa: E731
    monkeypatch.setattr(Path, "replace", stopping(Path.replace, stop, inside))
    with pytest.raises(RuntimeError, match="killed"):
        import_stores(str(shelf), copy)
    assert "committed" not in states(copy).values()
    monkeypatch.undo()
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_what_was_fetched_before_a_kill_is_not_fetched_again(cache, shelf, copy, monkeypatch):
    store = make_store(cache)
    exported(store, to=shelf)
    import_stores(str(shelf), copy)
    here = copy / store.path.relative_to(cache)
    (here / "commit.json").unlink()
    (here / "ledger.jsonl").unlink()
    report = import_stores(str(shelf), copy)
    assert (report.files, report.there) == (0, 5)
    assert tree(copy) == tree(cache)


def test_a_flipped_byte_in_any_file_is_found_on_arrival(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    for name in without_listing(shelf):
        path, data = shelf / name, (shelf / name).read_bytes()
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
        with pytest.raises(StoreDamagedError, match="not the one that was exported") as told:
            import_stores(str(shelf), copy)
        assert name in told.value.where
        assert not copy.exists() or "committed" not in states(copy).values()
        path.write_bytes(data)
        import_stores(str(shelf), copy)
        assert tree(copy) == tree(cache)
        shutil.rmtree(copy)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", None])
def test_a_shard_of_another_size_or_none_is_found(cache, shelf, copy, change):
    store = make_store(cache)
    exported(store, to=shelf)
    path = shelf / store.shard_path(1).relative_to(cache)
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    with pytest.raises(StoreDamagedError if change else StoreNotFoundError):
        import_stores(str(shelf), copy)
    assert states(copy) == {"tiny": "unfinished"}


def rewrite(shelf, change):
    path = shelf / "export.json"
    own = json.loads(path.read_text())
    del own["fingerprint"]
    change(own)
    path.write_text(json.dumps(sealed(own)))


GROUP = "views-0123456789abcdef"
STORE = f"{GROUP}/dino-0123456789ab-fp16"


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
    rewrite(shelf, lambda own: own["files"][0].update(path=path))
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
        lambda own: own["files"].append(own["files"][0]),
        lambda own: own["files"].pop(0),
        lambda own: own["files"][3].update(bytes=-1),
        lambda own: own["files"][3].update(bytes=True),
        lambda own: own["files"][3].update(bytes=2**64),
        lambda own: own["files"][3].update(sha256="A" * 64),
        lambda own: own["files"][3].update(more=1),
        lambda own: own["files"][3].pop("sha256"),
        lambda own: own.update(files=None),
        lambda own: own.update(files=[1]),
        lambda own: own.pop("files"),
    ],
)
def test_a_malformed_listing_is_refused(cache, shelf, copy, change):
    exported(make_store(cache), to=shelf)
    rewrite(shelf, change)
    with pytest.raises(StoreDamagedError, match=r"export\.json cannot be used"):
        import_stores(str(shelf), copy)
    assert not copy.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 5000, b'{"files": []}'])
def test_what_is_no_listing_is_refused(content):
    with pytest.raises(StoreDamagedError, match=r"export\.json cannot be used"):
        parse_listing(content, "here")


def test_every_flipped_bit_of_a_small_listing_is_found(cache, shelf):
    exported(make_store(cache), to=shelf)
    data = (shelf / "export.json").read_bytes()
    whole = parse_listing(data, "here")
    found = 0
    for place in range(0, len(data), 17):
        flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            assert parse_listing(flipped, "here") == whole  # white space alone may change
            assert data[place : place + 1].isspace()
        except StoreDamagedError:
            found += 1
    assert found > 100


def test_a_listing_of_another_format_asks_for_an_upgrade(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    rewrite(shelf, lambda own: own.update(format=99))
    with pytest.raises(StoreMismatchError, match="found 99") as told:
        import_stores(str(shelf), copy)
    assert told.value.remedy == "upgrade rsmtdf"


def test_a_ledger_that_names_other_shards_than_the_listing_is_refused(cache, shelf, copy):
    store = make_store(cache)
    exported(store, to=shelf)
    shard = str(store.shard_path(1).relative_to(cache))
    rewrite(shelf, lambda own: own.update(files=[f for f in own["files"] if f["path"] != shard]))
    with pytest.raises(StoreDamagedError, match="does not list shard 1"):
        import_stores(str(shelf), copy)
    assert not copy.exists()


def test_a_link_out_of_a_local_export_is_not_read(cache, shelf, copy, tmp_path):
    store = make_store(cache)
    exported(store, to=shelf)
    path = shelf / store.shard_path(0).relative_to(cache)
    shutil.move(path, tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreDamagedError, match="leads out"):
        import_stores(str(shelf), copy)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_link_in_the_cache_is_not_written_through(cache, shelf, copy, tmp_path, depth):
    store = make_store(cache)
    exported(store, to=shelf)
    outside = tmp_path / "outside"
    outside.mkdir()
    target = copy / store.group.path.name
    if depth == 2:
        import_stores(str(shelf), copy)
        target = copy / store.path.relative_to(cache)
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(outside)
    with pytest.raises(StoreMismatchError, match="symbolic link"):
        import_stores(str(shelf), copy)
    assert list(outside.iterdir()) == []


def test_a_grown_export_grows_the_store_that_is_here(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    import_stores(str(shelf), copy)
    store = make_store(cache, views=4)
    exported(store, to=shelf)
    report = import_stores(str(shelf), copy)
    assert served(copy) == numbered(store, range(4))
    assert report.there > 0
    assert report.files > 0


def test_an_older_export_takes_nothing_from_a_longer_store(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    make_store(copy)
    make_store(copy, views=4)
    before = tree(copy)
    assert import_stores(str(shelf), copy).files == 0
    assert tree(copy) == before


def test_a_damaged_shard_is_mended_from_the_export(cache, shelf, copy):
    store = make_store(cache)
    exported(store, to=shelf)
    import_stores(str(shelf), copy)
    (copy / store.shard_path(3).relative_to(cache)).write_bytes(b"")
    assert import_stores(str(shelf), copy).files == 1
    assert served(copy) == numbered(store, range(2))


def test_groups_that_have_grown_apart_are_refused(cache, shelf, copy):
    make_store(cache, views=2)
    make_store(copy, views=2)
    exported(make_store(cache, views=4), to=shelf)
    make_store(copy, views=3)
    before = tree(copy)
    with pytest.raises(StoreMismatchError, match="grown apart") as told:
        import_stores(str(shelf), copy)
    assert "--cache" in told.value.remedy
    assert tree(copy) == before


def test_crops_that_were_rendered_differently_are_refused(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy)
    crops = np.array(store.group.crops(np.arange(len(store.group.table))))
    crops[3] += 1
    write_table(store.group.path / "crops.npy", crops)
    with pytest.raises(StoreMismatchError, match="1 crops were rendered differently"):
        import_stores(str(shelf), copy)


def test_a_crop_that_only_the_export_knows_is_learned(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy)
    write_table(store.group.path / "crops.npy", np.zeros(len(store.group.table), np.uint32))
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_another_store_under_the_same_name_is_refused(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy)
    changed = replace(store.metadata, random_weights=True)
    write_metadata(store.path, replace(store.facts, metadata=changed))
    with pytest.raises(StoreMismatchError, match="random_weights"):
        import_stores(str(shelf), copy)


def test_records_that_are_here_are_kept_where_the_export_has_others(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    make_store(copy, salt=1)
    before = tree(copy)
    assert import_stores(str(shelf), copy).files == 0
    assert tree(copy) == before


def test_a_store_that_is_being_written_is_not_imported_into(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy, commit=False)
    with store.writing(), pytest.raises(StoreError, match="another process is writing"):
        import_stores(str(shelf), copy)


def test_no_export_is_told(tmp_path, copy):
    with pytest.raises(StoreNotFoundError, match="no export here"):
        import_stores(str(tmp_path), copy)


def test_addresses_that_cannot_be_used_are_told(cache, tmp_path):
    with pytest.raises(ConfigError, match="nonsense"):
        Remote("nonsense://host/folder")
    with pytest.raises(ConfigError, match="not exported to"):
        exported(make_store(cache), to="http://127.0.0.1:9/folder")


def test_a_package_that_is_not_installed_is_named_with_its_remedy(monkeypatch):
    import fsspec

    def absent(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(ConfigError, match="Install s3fs") as told:
        Remote("s3://bucket/folder")
    assert "rsmtdf[remote]" in told.value.remedy


@pytest.mark.parametrize(
    ("text", "views"),
    [("0:4", range(4)), ("4:", range(4, 2**31)), (":4", range(4)), ("3:4", range(3, 4))],
)
def test_ranges_of_views_are_read(text, views):
    assert parse_views(text) == views


@pytest.mark.parametrize("text", ["", "4", "4:4", "5:4", "-1:3", "a:b", "0:4:2", "0:0", ":0"])
def test_what_is_no_range_of_views_is_refused(text):
    with pytest.raises(ConfigError, match="no range of view numbers"):
        parse_views(text)


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(shelf):
    """The shelf behind a plain HTTP server that knows no ranges."""
    pytest.importorskip("aiohttp")
    shelf.mkdir()
    handler = functools.partial(_Files, directory=str(shelf))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_export_is_imported_over_http(cache, shelf, copy, web):
    store = make_store(cache, views=3)
    exported(store, to=shelf)
    import_stores(web, copy, views=range(1))
    assert numbered(store, [0]) <= served(copy)
    import_stores(f"{web}/", copy)
    assert served(copy) == numbered(store, range(3))


def test_a_damaged_or_absent_file_is_found_over_http(cache, shelf, copy, web):
    store = make_store(cache)
    exported(store, to=shelf)
    path = shelf / store.shard_path(1).relative_to(cache)
    data = path.read_bytes()
    path.write_bytes(data + b"x" * 2**20)
    with pytest.raises(StoreDamagedError, match="larger than"):
        import_stores(web, copy)
    path.write_bytes(data[:-1])
    with pytest.raises(StoreDamagedError, match="not the one"):
        import_stores(web, copy)
    path.unlink()
    with pytest.raises(StoreNotFoundError, match="not there"):
        import_stores(web, copy)
    path.write_bytes(data)
    import_stores(web, copy)
    assert tree(copy) == tree(cache)


def test_no_server_is_told_with_the_remedy(copy):
    pytest.importorskip("aiohttp")
    with pytest.raises(StoreError, match="cannot be had") as told:
        import_stores("http://127.0.0.1:9/shelf", copy)
    assert "again" in told.value.remedy


@pytest.fixture
def bucket(monkeypatch):
    """A bucket on a real S3 server on this machine."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    # The endpoint is read when a file system is made, and fsspec keeps these.
    s3fs.S3FileSystem.clear_instance_cache()
    name = uuid.uuid4().hex  # servers of one process share their buckets
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/features"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.slow
def test_a_cache_goes_to_s3_and_back(cache, copy, bucket):
    stores = make_store(cache), make_store(cache, "other")
    assert exported(*stores, to=bucket).there == 0
    assert exported(*stores, to=bucket).files == 0
    import_stores(bucket, copy, teacher="other")
    assert states(copy) == {"other": "committed"}
    import_stores(bucket, copy)
    assert tree(copy) == tree(cache)


@pytest.mark.slow
def test_a_damaged_object_is_found_and_mended_on_s3(cache, copy, bucket):
    import s3fs

    store = make_store(cache)
    exported(store, to=bucket)
    name = f"{bucket[5:]}/{store.shard_path(1).relative_to(cache)}"
    data = store.shard_path(1).read_bytes()
    s3fs.S3FileSystem().pipe_file(name, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreDamagedError, match="not the one"):
        import_stores(bucket, copy)
    assert exported(store, to=bucket).files == 1
    import_stores(bucket, copy)
    assert tree(copy) == tree(cache)
