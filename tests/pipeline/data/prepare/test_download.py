"""Downloads from a local server that supports ranges or not, breaks off, or sends other bytes."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from pipeline.data.prepare.download import download
from rsmtdf_core.errors import DataError

CONTENT = np.random.default_rng(0).bytes(3 * 2**20 + 12345)
MD5 = {"a.zip": hashlib.md5(CONTENT).hexdigest()}


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every path.

    Attributes:
        ranges: whether it knows about ranges.
        breaks_after: bytes after which it breaks off; None sends all.
        asked: the Range header of each request.
    """

    daemon_threads = True
    ranges = True
    breaks_after: int | None = None

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def urls(self) -> dict[str, str]:
        return {"a.zip": f"http://127.0.0.1:{self.server_port}/a.zip?download=1"}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = len(CONTENT) if self.server.breaks_after is None else self.server.breaks_after
        self.wfile.write(CONTENT[start : max(start, stop)])

    def log_message(self, *arguments: object) -> None:
        """Log no request."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield http_server
        http_server.shutdown()
        thread.join()


def test_a_file_is_fetched_checked_and_not_fetched_again(server, tmp_path):
    (path,) = download(server.urls, MD5, tmp_path / "to")
    assert path.read_bytes() == CONTENT
    assert download(server.urls, MD5, tmp_path / "to") == (path,)
    assert server.asked == [None]
    assert [file.name for file in path.parent.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(server, tmp_path, ranges):
    server.breaks_after, server.ranges = 2**20 + 77, ranges
    with pytest.raises(DataError, match=r"broke off .*1,048,653 of 3,158,073 bytes") as caught:
        download(server.urls, MD5, tmp_path)
    assert "to resume" in str(caught.value)
    assert not (tmp_path / "a.zip").exists()
    server.breaks_after = None
    (path,) = download(server.urls, MD5, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1048653-"]


def test_a_download_stopped_before_its_last_rename_is_whole(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    (path,) = download(server.urls, MD5, tmp_path)
    assert path.read_bytes() == CONTENT


def test_other_bytes_than_the_published_ones_are_refused(server, tmp_path):
    wrong = {"a.zip": "0" * 32}
    with pytest.raises(DataError, match=f"expected the md5 {'0' * 32}, found {MD5['a.zip']}"):
        download(server.urls, wrong, tmp_path)
    assert not (tmp_path / "a.zip").exists()
    (tmp_path / "a.zip").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"a\.zip"):
        download(server.urls, MD5, tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:{port}/missing", "the server answers 404"),
        ("http://127.0.0.1:1/a.zip", "broke off"),
        ("file:///etc/passwd", "http or https"),
    ],
)
def test_unreachable_addresses_are_named(server, tmp_path, url, message):
    url = url.format(port=server.server_port)
    with pytest.raises(DataError, match=message) as caught:
        download({"a.zip": url}, MD5, tmp_path)
    assert url in str(caught.value)
