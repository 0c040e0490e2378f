"""Where folders are shared: a local folder, an address of fsspec, or the Hugging Face hub."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pipeline.remote import open_address
from rsmtdf_core.errors import ConfigError, MissingFileError, RsmtdfError, RunError
from rsmtdf_core.files import copy_file, make_folder, require_writable_folder

_HUB = re.compile(r"hf://(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)/?")


class Place(Protocol):
    """A shared folder at an address."""

    address: str

    def put(self, folder: Path, paths: list[str]) -> None:
        """Upload files of a local folder, the last one after all others."""
        ...

    def get(self, path: str, target: Path, most: int) -> None:
        """Download a file to `target`; a file larger than `most` bytes is an error.

        Raises:
            MissingFileError: If the file does not exist.
        """
        ...


def open_place(address: str) -> Place:
    """Return the place at an address.

    Raises:
        ConfigError: If the address is unknown, or needs a package that is not installed.
    """
    if match := _HUB.fullmatch(address):
        return _Hub(address, match["repository"])
    if address.startswith("hf://"):
        raise ConfigError(
            "the address does not name a repository of the hub",
            where=address,
            remedy="use hf://OWNER/NAME",
        )
    if "://" in address:
        return _Remote(address)
    return _Folder(address)


class _Folder:
    """A folder of this machine."""

    def __init__(self, address: str) -> None:
        self.address = str(Path(address))
        self._path = Path(address)

    def put(self, folder: Path, paths: list[str]) -> None:
        require_writable_folder(self._path)
        for path in paths:
            make_folder((self._path / path).parent, RunError, "name another folder")
            copy_file(folder / path, self._path / path)

    def get(self, path: str, target: Path, most: int) -> None:
        source = self._path / path
        if not source.is_file():
            raise _missing(self.address, path)
        _require_size(source.stat().st_size, most, self.address, path)
        copy_file(source, target)


class _Remote:
    """A folder at an address that fsspec knows; fsspec finds the credentials."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._files, self._root = open_address(address)

    def put(self, folder: Path, paths: list[str]) -> None:
        for path in paths:
            with _explained(self.address, path):
                self._files.put_file(str(folder / path), f"{self._root}/{path}")

    def get(self, path: str, target: Path, most: int) -> None:
        with _explained(self.address, path):
            source = f"{self._root}/{path}"
            size = self._files.info(source)["size"]
            if size is not None:  # some servers do not tell
                _require_size(size, most, self.address, path)
            with self._files.open(source, "rb") as remote, target.open("wb") as file:
                _copy_at_most(remote, file, most, self.address, path)


class _Hub:
    """A repository of models on the Hugging Face hub; its client finds the token and the endpoint."""

    def __init__(self, address: str, repository: str) -> None:
        from huggingface_hub import HfApi

        self.address = address.rstrip("/")
        self._repository = repository
        self._api = HfApi()

    def put(self, folder: Path, paths: list[str]) -> None:
        """Upload all files in one commit; a new repository is private."""
        with _explained(self.address, ""):
            self._api.create_repo(self._repository, private=True, exist_ok=True)
            self._api.upload_folder(
                repo_id=self._repository,
                folder_path=folder,
                allow_patterns=paths,
                commit_message="rsmtdf push",
            )

    def get(self, path: str, target: Path, most: int) -> None:
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        with _explained(self.address, path):
            try:
                url = self._url(path)
                size = self._api.get_hf_file_metadata(url=url).size
                _require_size(size or 0, most, self.address, path)
                cached = self._api.hf_hub_download(
                    self._repository, path, local_dir=target.parent / f".{target.name}"
                )
            except (EntryNotFoundError, RepositoryNotFoundError):
                raise _missing(self.address, path) from None
            Path(cached).replace(target)
            shutil.rmtree(target.parent / f".{target.name}")

    def _url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self._repository, path, endpoint=self._api.endpoint)


def _copy_at_most(remote: Any, file: Any, most: int, address: str, path: str) -> None:  # noqa: ANN401 - files of fsspec
    """Copy a file in parts, and stop when it is larger than announced, before it fills the disk."""
    total = 0
    while chunk := remote.read(8 * 2**20):
        total += len(chunk)
        _require_size(total, most, address, path)
        file.write(chunk)


def _require_size(size: int, most: int, address: str, path: str) -> None:
    if size > most:
        raise RunError(
            f"the file is larger than its limit of {most} bytes",
            where=f"{address}/{path}",
            remedy="push the run again",
        )


def _missing(address: str, path: str, otherwise: str = "") -> MissingFileError:
    return MissingFileError(
        f"the shared file does not exist{otherwise}",
        where=f"{address}/{path}",
        remedy="name the address that `rsmtdf push` printed, or push the run again",
    )


@contextmanager
def _explained(address: str, path: str) -> Iterator[None]:
    """Turn the exceptions of clients into errors that name the file; each client raises its own."""
    try:
        yield
    except RsmtdfError:
        raise
    except FileNotFoundError:  # also raised for a web server that does not answer
        raise _missing(address, path, ", or its server does not answer") from None
    except Exception as failure:
        raise RunError(
            f"the address cannot be read or written: {type(failure).__name__}: {failure}",
            where=f"{address}/{path}".rstrip("/"),
            remedy="check the address, the network and the credentials, then run the command again",
        ) from failure
