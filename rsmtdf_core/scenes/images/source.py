"""The place of an image: a file, an address, or several files stacked to its bands (tests: test_stack.py)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from rsmtdf_core.errors import ConfigError

SCHEMES = ("http", "https", "s3")
"""The kinds of addresses that GDAL reads by ranges."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A raster at an address http://, https:// or s3://; its text leaves out passwords and signatures.

    Attributes:
        address: the whole address.
        gdal_path: GDAL's name of it.
    """

    address: str = field(repr=False)

    @property
    def gdal_path(self) -> str:
        """GDAL's name of the file: /vsicurl/https://..., or /vsis3/bucket/key."""
        if self.address.startswith("s3://"):
            return f"/vsis3/{self.address.removeprefix('s3://')}"
        return f"/vsicurl/{self.address}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The suffix of its name, with the dot."""
        return self._path.suffix

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(urlsplit(self.address).path)

    def __str__(self) -> str:
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


File = Path | RemoteFile


@dataclass(frozen=True, slots=True)
class Stack:
    """Files of one area whose bands, one file after the other, are the bands of one image.

    Attributes:
        files: the files; the first has the image's grid, see `stack`.
    """

    files: tuple[File, ...]

    def __str__(self) -> str:
        return f"{self.files[0]} and {len(self.files) - 1} more"


Source = File | Stack


def source_files(source: Source) -> tuple[File, ...]:
    """Return the files of an image, in the order of its bands."""
    return source.files if isinstance(source, Stack) else (source,)


def source_of(root: Path, files: Sequence[str]) -> Source:
    """Return where an image is read from, given the posix paths of its files relative to `root`."""
    return stacked([root / file for file in files])


def stacked(files: Sequence[File]) -> Source:
    """Return where an image is read from, given its files."""
    return files[0] if len(files) == 1 else Stack(tuple(files))


def parse_file(text: str) -> File:
    """Return the path or address that a user names.

    Raises:
        ConfigError: If it is an address that GDAL does not read.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme.lower() not in SCHEMES or not rest:
        raise ConfigError(
            f"expected a path, or an address that starts with {', '.join(f'{name}://' for name in SCHEMES)}",
            where=text,
            remedy="download the file first",
        )
    return RemoteFile(text)
