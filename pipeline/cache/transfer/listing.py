"""`export.json`: the sealed list of an export's files with sizes and digests, written last.

It comes from outside and is not trusted: each path must have exactly the form of a path in a cache.
"""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsmtdf_core.cache_names import GROUP_NAME, STORE_NAME
from rsmtdf_core.errors import StoreDamagedError, StoreMismatchError
from rsmtdf_core.formats import FileFormat

EXPORT = "export.json"
FORMAT = FileFormat("export")
GROUP_FILES = ("scenes.json", "crops.npy", "views.npy", "zarr.json")
STORE_FILES = ("parameters.safetensors", "zarr.json", "ledger.jsonl", "commit.json")
# At a hundred bytes per shard, this lists more than a petabyte of shards.
MAX_BYTES = 2**28

# One zero per axis of a record.
_SHARD = re.compile(r"c/(0|[1-9][0-9]{0,9})(/0){1,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of an export.

    Attributes:
        path: the path in the export, the same as in a cache, with "/" as separator.
        bytes: the file's size.
        sha256: the digest of its bytes.
    """

    path: str
    bytes: int
    sha256: str

    @property
    def group(self) -> str:
        """The name of its group."""
        return self.path.split("/", 1)[0]

    @property
    def store(self) -> str | None:
        """`<group>/<store>`; None for a file of the group itself."""
        parts = self.path.split("/")
        return None if len(parts) == 2 else "/".join(parts[:2])


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of an export, by path."""

    files: dict[str, FileEntry]

    @classmethod
    def of(cls, entries: Iterable[FileEntry]) -> "Listing":
        """Return the listing of these files."""
        return cls({entry.path: entry for entry in sorted(entries, key=lambda entry: entry.path)})

    @property
    def stores(self) -> tuple[str, ...]:
        """`<group>/<store>` of each store."""
        return tuple(sorted({e.store for e in self.files.values() if e.store is not None}))

    def to_bytes(self) -> bytes:
        """Return the content of `export.json`."""
        files = [asdict(entry) for entry in self.files.values()]
        document = FORMAT.sealed({"files": files})
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def parse_listing(content: bytes, where: str) -> Listing:
    """Parse the content of an `export.json`.

    Args:
        content: the file's bytes.
        where: its address, for errors.

    Raises:
        StoreDamagedError: If the content is damaged.
        StoreMismatchError: If it has a format that this version does not know.
    """
    try:
        document = FORMAT.unsealed(json.loads(content), Path(EXPORT))
        entries = [_entry(value) for value in document["files"]]
    except StoreMismatchError as unknown:
        raise StoreMismatchError(unknown.what, where=where, remedy=unknown.remedy) from None
    except (StoreDamagedError, ValueError, TypeError, KeyError, RecursionError) as wrong:
        problem = wrong.what if isinstance(wrong, StoreDamagedError) else str(wrong)
        raise _refused(problem, where) from None
    listing = Listing.of(entries)
    if len(listing.files) < len(entries):
        raise _refused("it lists a file twice", where)
    for store in listing.stores:
        group = store.partition("/")[0]
        wanted = [f"{store}/{name}" for name in STORE_FILES]
        wanted += [f"{group}/{name}" for name in GROUP_FILES]
        absent = [path for path in wanted if path not in listing.files]
        if absent:
            raise _refused(f"it lacks {absent[0]}", where)
    return listing


def _entry(value: Any) -> FileEntry:  # noqa: ANN401 - any JSON
    entry = FileEntry(**value)
    if not isinstance(entry.path, str) or not _is_ours(entry.path):
        raise ValueError(f"{entry.path!r} is not a path in a cache")
    if type(entry.bytes) is not int or not 0 <= entry.bytes < 2**63:
        raise ValueError(f"{entry.path} has no size")
    if not isinstance(entry.sha256, str) or not _SHA256.fullmatch(entry.sha256):
        raise ValueError(f"{entry.path} has no digest")
    return entry


def _is_ours(path: str) -> bool:
    group, _, rest = path.partition("/")
    if not GROUP_NAME.fullmatch(group):
        return False
    if rest in GROUP_FILES:
        return True
    store, _, name = rest.partition("/")
    if not STORE_NAME.fullmatch(store):
        return False
    return name in STORE_FILES or _SHARD.fullmatch(name) is not None


def export_again(address: str) -> str:
    """Return the command that repairs an export."""
    return f"export the stores again: rsmtdf cache export STORE... {shlex.quote(address)}"


def _refused(problem: str, where: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"{EXPORT} cannot be used: {problem}",
        where=where,
        remedy=export_again(where.removesuffix(f"/{EXPORT}")),
    )
