"""A second copy of each small file that no other file determines, so that a damaged file can be restored.

The copy of `<name>` is `<name>.copy` in the same folder, with the same bytes. If the order matters, the copy is
written first: after a kill it may be newer than its original, never older.
"""

import os
from contextlib import suppress
from pathlib import Path

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file, read_file

COPY = ".copy"


def copy_of(path: Path) -> Path:
    """Return the path of the copy of `path`."""
    return path.with_name(path.name + COPY)


def is_there(path: Path) -> bool:
    """Return whether the path exists; a broken link counts."""
    return os.path.lexists(path)


def same_bytes(first: Path, second: Path) -> bool:
    """Return whether both are regular files with the same content."""
    with suppress(StoreDamagedError):
        return read_file(first, StoreDamagedError) == read_file(second, StoreDamagedError)
    return False


def keep_copy(path: Path) -> None:
    """Update the copy of a file.

    Raises:
        StoreDamagedError: If the file is missing or not a regular file.
    """
    content = read_file(path, StoreDamagedError)
    if not same_bytes(path, copy_of(path)):
        with atomic_file(copy_of(path)) as file:
            file.write(content)
