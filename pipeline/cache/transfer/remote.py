"""The other side of a transfer: a folder at any address that fsspec knows."""

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
from rsmtdf_core.errors import (
    ConfigError,
    RsmtdfError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
)
from rsmtdf_core.files import copy_file
from rsmtdf_core.refusals import writing

_CHUNK = 8 * 2**20
_READ_ONLY = ("http", "https")
_TOO_LARGE = "the file is larger than the {} bytes that it may have"


class Remote:
    """A folder at a path or at an address like s3://bucket/folder or https://host/folder.

    Args:
        address: the folder; credentials are found as fsspec finds them.

    Raises:
        ConfigError: where the address has no file system, or one that is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            self._files, root = fsspec.core.url_to_fs(self.address)
        except ImportError as absent:
            raise ConfigError(
                f"the address needs a package that is not installed: {absent}",
                where=address,
                remedy="pip install 'rsmtdf[remote]', which has what s3:// and https:// need",
            ) from None
        except ValueError as unknown:
            raise ConfigError(f"the address cannot be used: {unknown}", where=address) from None
        self._root = root.rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)
        # What another process put there since a listing was kept must be seen.
        self._files.invalidate_cache()

    def require_writable(self) -> None:
        """Refuse addresses that can only be read.

        Raises:
            ConfigError: where this is one.
        """
        protocol = self._files.protocol
        names = (protocol,) if isinstance(protocol, str) else protocol
        if any(name in _READ_ONLY for name in names):
            raise ConfigError(
                "http addresses can be imported from, not exported to",
                where=self.address,
                remedy="export to a folder or to s3://, and serve that",
            )

    def at(self, path: str) -> str:
        """The address of a file in the folder, for people."""
        return f"{self.address}/{path}"

    def get(self, path: str, target: Path, size: int) -> None:
        """Copy a file of at most `size` bytes to `target`; nothing is promised of its bytes.

        Raises:
            StoreNotFoundError: where it is not there.
            StoreDamagedError: where it is larger.
            WriteError: where `target` cannot be written.
            StoreError: where it cannot be had.
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
        """The bytes of a file of at most `most` bytes; None where it is not there.

        Raises:
            StoreError: where it cannot be had, or is larger.
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
        """Copy a file to `path`, whole or not at all where the file system can.

        Raises:
            WriteError: where it cannot be written to a folder of this machine.
            StoreError: where it cannot be written elsewhere.
        """
        target = f"{self._root}/{path}"
        with self._explained(path):
            if self._local:
                if Path(target).is_dir():
                    raise StoreError(
                        "a folder is in the file's place",
                        where=target,
                        remedy=f"{_remove(target)}; then run the command again",
                    )
                copy_file(source, Path(target))
            else:
                self._files.put_file(str(source), target)

    def holds(self, path: str, size: int, sha256: str) -> bool:
        """Whether a file is there already with these bytes; it is read only where the size agrees."""
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
        """Refuse a link that leads out of the folder, and what is no file."""
        root = os.path.realpath(self._root)
        target = Path(os.path.realpath(f"{root}/{path}"))
        if os.path.commonpath([root, target]) != root:
            what = "a link leads out of the export"
        elif target.exists() and not target.is_file():
            what = "this is not a regular file"
        else:
            return
        remedy = f"{_remove(self.at(path))}; then {export_again(self.address)}"
        raise StoreDamagedError(what, where=self.at(path), remedy=remedy)

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Turn what file systems raise into errors that say what was to be read or written."""
        try:
            yield
        except RsmtdfError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(
                "the file is not there", where=self.at(path), remedy=export_again(self.address)
            ) from None
        except Exception as failure:
            # Each kind of file system has errors of its own.
            raise StoreError(
                f"the file cannot be had or written: {type(failure).__name__}: {failure}",
                where=self.at(path),
                remedy="run the command again: it goes on where it was stopped",
            ) from failure


def _remove(path: str) -> str:
    return f"rm -r {shlex.quote(path)}"


class _Bounded(fsspec.Callback):  # type: ignore[misc]
    """Stops a download that brings more than was announced, before it fills the disk."""

    def __init__(self, where: str, most: int, remedy: str) -> None:
        super().__init__()
        self._remedy = remedy
        self._where = where
        self._most = most

    def relative_update(self, inc: int = 1) -> None:
        """Count what came."""
        super().relative_update(inc)
        if self.value > self._most:
            raise StoreDamagedError(
                _TOO_LARGE.format(self._most), where=self._where, remedy=self._remedy
            )
