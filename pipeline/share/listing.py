"""`share.json`: the sealed list of a shared folder's files with sizes and digests, written last (tests: test_run.py).

It comes from outside and is not trusted: paths are checked before a file is written.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import json_bytes
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.formats import FileFormat, seal
from rsmtdf_core.runs.seals import read_sealed_json
from rsmtdf_core.settings import Settings

LISTING = "share.json"
CARD = "README.md"
FORMAT = FileFormat("list of shared files")
MOST_BYTES = 2**20
"""Size limit of the listing."""
_MOST_FILES = 1000

# Plain names, none of which starts with a dot, in at most four folders.
_PATH = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){0,4}"
Kind = Literal["run", "export"]


class FileEntry(Settings):
    """A shared file.

    Attributes:
        path: path in the folder, with "/" as separator.
        bytes: size.
        sha256: digest of its bytes.
    """

    path: Annotated[str, StringConstraints(pattern=rf"^{_PATH}$")]
    bytes: int = Field(ge=0, le=2**42)
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Listing(Settings):
    """The files of a shared folder.

    Attributes:
        kind: a run, or an export.
        name: name of the run.
        files: the files, without the listing.
    """

    kind: Kind
    name: str
    files: tuple[FileEntry, ...] = Field(min_length=1, max_length=_MOST_FILES)

    @property
    def size(self) -> int:
        """Size of all files, bytes."""
        return sum(entry.bytes for entry in self.files)

    def content(self) -> bytes:
        """Return the content of the listing's file."""
        return json_bytes(seal(FORMAT.stamped(self.model_dump(mode="json"))))


def list_files(folder: Path, paths: Iterable[str], kind: Kind, name: str) -> Listing:
    """List files of a folder.

    Raises:
        RunError: If a file has a name that cannot be shared.
    """
    entries = []
    for path in sorted(paths):
        if not re.fullmatch(_PATH, path):
            raise RunError(
                "the name of this file cannot be shared: expected letters, digits, dots, dashes and underscores",
                where=folder / path,
                remedy="rename the file",
            )
        file = folder / path
        entries.append(FileEntry(path=path, bytes=file.stat().st_size, sha256=file_sha256(file)))
    return Listing(kind=kind, name=name, files=tuple(entries))


def read_listing(path: Path, address: str) -> Listing:
    """Read the listing of the shared folder at `address`.

    Raises:
        RunError: If it is damaged or lists a path that leads out of the folder.
    """
    remedy = "push the run again"
    try:
        values = FORMAT.current(read_sealed_json(path, ()), path, RunError)
        return Listing.model_validate(
            {key: value for key, value in values.items() if key != "format"}
        )
    except RunError as damage:
        raise RunError(damage.what, where=f"{address}/{LISTING}", remedy=remedy) from None
    except ValidationError as problems:
        first = problems.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RunError(
            f"not a list of shared files: {key}: {first['msg']}",
            where=f"{address}/{LISTING}",
            remedy=remedy,
        ) from None
