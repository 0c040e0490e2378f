"""The remote side of a transfer: a folder at any address that fsspec supports."""

import hashlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.cache.transfer.listing import export_again
from pipeline.remote import open_address
from rsmtdf_core.errors import (
    ConfigError,
    RsmtdfError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
)
from rsmtdf_core.files import copy_file, require_writable_folder
from rsmtdf_core.refusals import writing

_CHUNK = 8 * 2**20
_READ_ONLY = ("http", "https")
_TOO_LARGE = "the file exceeds its limit of {} bytes"


class Remote:
    """A folder at a path or at an address like s3://bucket/folder or https://host/folder.

    Args:
        address: the folder; fsspec finds the credentials.

    Raises:
        ConfigError: If fsspec does not know the address, or its package is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._files, self._root = open_address(address)
        self._local = isinstance(self._files, LocalFileSystem)

    def require_writable(self) -> None:
        """Refuse addresses and folders that are read-only.

        Raises:
            ConfigError: If the address is read-only.
            WriteError: If the folder refuses new files.
        """
        protocol = self._files.protocol
        names = (protocol,) if isinstance(protocol, str) else protocol
        if any(name in _READ_ONLY for name in names):
            raise ConfigError(
                "an export cannot be written to an http address",
                where=self.address,
                remedy="export to a folder or to s3://, and serve it over http",
            )
        if self._local:
            require_writable_folder(Path(self._root))

    def at(self, path: str) -> str:
        """Return the address of a file in the folder, for messages."""
        return f"{self.address}/{path}"

    def get(self, path: str, target: Path, size: int) -> None:
        """Copy a file of at most `size` bytes to `target`, without checking its content.

        Raises:
            StoreNotFoundError: If the file does not exist.
            StoreDamagedError: If it is larger.
            WriteError: If `target` cannot be written.
            StoreError: If the file cannot be read.
        """
        with self._explained(path), writing(target):
            if self._local:
                self._require_inside(path)
            source = f"{self._root}/{path}"
            self._files.get_file(
                source,
                str(target),
                callback=_Bounded(self.at(path), size, export_again(self.address)),
            )

    def read(self, path: str, most: int) -> bytes | None:
        """Read a file of at most `most` bytes; return None if it does not exist.

        Raises:
            StoreError: If it cannot be read, or is larger.
        """
        with tempfile.TemporaryDirectory(prefix="rsmtdf-") as folder:
            copy = Path(folder) / "file"
            try:
                self.get(path, copy, most)
            except StoreNotFoundError:
                return None
            if copy.stat().st_size > most:
                raise StoreDamagedError(
                    _TOO_LARGE.format(most), where=self.at(path), remedy=export_again(self.address)
                )
            return copy.read_bytes()

    def put(self, source: Path, path: str) -> None:
        """Copy a file to `path`, atomically if the file system supports it.

        Raises:
            WriteError: If a local file cannot be written.
            StoreError: If a remote file cannot be written.
        """
        target = f"{self._root}/{path}"
        with self._explained(path):
            if self._local:
                if Path(target).is_dir():
                    raise StoreError(
                        "a folder has the name of a file to write",
                        where=target,
                        remedy=f"{_remove(target)}; then run the command again",
                    )
                copy_file(source, Path(target))
            else:
                self._files.put_file(str(source), target)

    def holds(self, path: str, size: int, sha256: str) -> bool:
        """Return whether a file with these bytes exists; it is read only if its size agrees."""
        source = f"{self._root}/{path}"
        with self._explained(path):
            try:
                if self._files.info(source)["size"] != size:
                    return False
            except FileNotFoundError:
                return False
            digest = hashlib.sha256()
            with self._files.open(source, "rb", cache_type="readahead") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            return digest.hexdigest() == sha256

    def _require_inside(self, path: str) -> None:
        """Refuse a link that leads out of the folder, and anything but a regular file."""
        root = os.path.realpath(self._root)
        target = Path(os.path.realpath(f"{root}/{path}"))
        if os.path.commonpath([root, target]) != root:
            problem = "a link leads out of the export"
        elif target.exists() and not target.is_file():
            problem = "this is not a regular file"
        else:
            return
        remedy = f"{_remove(self.at(path))}; then {export_again(self.address)}"
        raise StoreDamagedError(problem, where=self.at(path), remedy=remedy)

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Turn a file system's exceptions into errors that name the file."""
        try:
            yield
        except RsmtdfError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(
                "the file does not exist", where=self.at(path), remedy=export_again(self.address)
            ) from None
        except Exception as failure:
            # Each kind of file system raises its own exceptions.
            raise StoreError(
                f"the file cannot be read or written: {type(failure).__name__}: {failure}",
                where=self.at(path),
                remedy="run the command again: it resumes",
            ) from failure


def _remove(path: str) -> str:
    return f"rm -r {shlex.quote(path)}"


class _Bounded(fsspec.Callback):  # type: ignore[misc]
    """Callback that stops a download larger than announced, before it fills the disk."""

    def __init__(self, where: str, most: int, remedy: str) -> None:
        super().__init__()
        self._remedy = remedy
        self._where = where
        self._most = most

    def relative_update(self, inc: int = 1) -> None:
        """Count the received bytes."""
        super().relative_update(inc)
        if self.value > self._most:
            raise StoreDamagedError(
                _TOO_LARGE.format(self._most), where=self._where, remedy=self._remedy
            )
