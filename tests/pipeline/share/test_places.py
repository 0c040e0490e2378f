"""Files at each kind of address come back as they were; the hub is a stand-in, a server on this machine."""

import base64
import http.server
import json
import re
import threading
import urllib.parse

import pytest
from huggingface_hub import constants

from pipeline.share.places import open_place
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError


class _Hub(http.server.BaseHTTPRequestHandler):
    """The parts of the hub's interface that its client uses for regular files."""

    repositories: dict[str, dict[str, bytes]]

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        path = urllib.parse.urlparse(self.path).path
        if path == "/api/repos/create":
            fields = json.loads(body)
            name = f"{fields['organization']}/{fields['name']}"
            self.repositories.setdefault(name, {})
            assert fields["visibility"] == "private"
            self._answer({"url": f"{self.server.address}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            answer = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": answer})
        else:
            name = re.fullmatch(r"/api/models/(.+)/commit/main", path)[1]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.repositories[name][line["value"]["path"]] = content
            url = f"{self.server.address}/{name}/commit/{'0' * 40}"
            self._answer({"commitOid": "0" * 40, "commitUrl": url, "success": True})

    def do_HEAD(self):
        self._file(send=False)

    def do_GET(self):
        path = urllib.parse.urlparse(self.path).path
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/main)?", path):
            self._answer({"id": match[1], "sha": "0" * 40, "siblings": []})
        else:
            self._file(send=True)

    def _file(self, *, send):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        content = self.repositories.get(match[1], {}).get(match[2]) if match else None
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hash(content):x}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if send:
            self.wfile.write(content)

    def _answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch):
    """The files of each repository of a stand-in for the hub."""
    repositories: dict[str, dict[str, bytes]] = {}
    handler = type("_Here", (_Hub,), {"repositories": repositories})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_none")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield repositories
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path):
    """Three files to share."""
    folder = tmp_path / "folder"
    (folder / "best").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "best" / "ema.safetensors").write_bytes(bytes(range(256)))
    (folder / "share.json").write_text("{}\n")
    return folder


PATHS = ["README.md", "best/ema.safetensors", "share.json"]


def round_trip(address, folder, tmp_path):
    """Put the files, and get each of them with its size as the limit."""
    place = open_place(address)
    assert not place.address.endswith("/")
    place.put(folder, PATHS)
    for path in PATHS:
        place.get(path, tmp_path / "file", (folder / path).stat().st_size)
        assert (tmp_path / "file").read_bytes() == (folder / path).read_bytes()
    with pytest.raises(RunError, match="larger than its limit of 255 bytes"):
        place.get("best/ema.safetensors", tmp_path / "other", 255)
    with pytest.raises(MissingFileError, match="does not exist"):
        place.get("none.json", tmp_path / "other", 255)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_hugging_face_hub(folder, tmp_path, hub):
    round_trip("hf://someone/roads/", folder, tmp_path)
    assert list(hub["someone/roads"]) == PATHS
    with pytest.raises(MissingFileError):
        open_place("hf://someone/else").get("share.json", tmp_path / "other", 255)


def test_an_address_of_fsspec(folder, tmp_path):
    round_trip("memory://shared/roads/", folder, tmp_path)


def test_a_folder(folder, tmp_path):
    round_trip(str(tmp_path / "shared"), folder, tmp_path)


def test_a_bucket(folder, tmp_path, monkeypatch):
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        s3fs.S3FileSystem.clear_instance_cache()  # the endpoint is read when one is made
        s3fs.S3FileSystem().mkdir("models")
        round_trip("s3://models/roads", folder, tmp_path)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


@pytest.mark.parametrize("address", ["hf://name", "hf://a/b/c", "nonsense://host/folder"])
def test_unknown_addresses_are_refused(address):
    with pytest.raises(ConfigError):
        open_place(address)


def test_a_server_that_does_not_answer_is_reported(tmp_path):
    pytest.importorskip("aiohttp")
    with pytest.raises(MissingFileError, match="or its server does not answer") as caught:
        open_place("http://127.0.0.1:9/shared").get("share.json", tmp_path / "file", 9)
    assert "rsmtdf push" in caught.value.remedy
