"""Exports over HTTP and on S3, and addresses that cannot be used."""

import functools
import http.server
import threading
import uuid

import pytest

from pipeline.cache.transfer.importing import import_stores
from pipeline.cache.transfer.remote import Remote
from rsmtdf_core.errors import (
    ConfigError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
)
from tests.caches import make_store, tree
from tests.pipeline.cache.transfer.helpers import (
    exported,
    numbered,
    served,
    states,
)


def test_addresses_that_cannot_be_used_are_reported(cache, tmp_path):
    with pytest.raises(ConfigError, match="nonsense"):
        Remote("nonsense://host/folder")
    with pytest.raises(ConfigError, match="cannot be written to an http address"):
        exported(make_store(cache), to="http://127.0.0.1:9/folder")


def test_a_package_that_is_not_installed_is_named_with_its_remedy(monkeypatch):
    import fsspec

    def absent(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(ConfigError, match="Install s3fs") as caught:
        Remote("s3://bucket/folder")
    assert "rsmtdf[remote]" in caught.value.remedy


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
    with pytest.raises(StoreDamagedError, match="exceeds its limit"):
        import_stores(web, copy)
    path.write_bytes(data[:-1])
    with pytest.raises(StoreDamagedError, match="differs from the exported one"):
        import_stores(web, copy)
    path.unlink()
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        import_stores(web, copy)
    path.write_bytes(data)
    import_stores(web, copy)
    assert tree(copy) == tree(cache)


def test_a_missing_server_is_reported_with_the_remedy(copy):
    pytest.importorskip("aiohttp")
    with pytest.raises(StoreError, match="cannot be read or written") as caught:
        import_stores("http://127.0.0.1:9/shelf", copy)
    assert "again" in caught.value.remedy


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
    with pytest.raises(StoreDamagedError, match="differs from the exported one"):
        import_stores(bucket, copy)
    assert exported(store, to=bucket).files == 1
    import_stores(bucket, copy)
    assert tree(copy) == tree(cache)
