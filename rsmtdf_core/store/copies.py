"""A second copy of each small file that no other file determines, so that damage to one heals.

The copy of `<name>` is `<name>.copy` in the same folder, with the same bytes. Where it matters which of the two
is newer, the copy is written first: after a kill it may be ahead of its original, never behind.
"""

import os
from contextlib import suppress
from pathlib import Path

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file, read_file

COPY = ".copy"


def copy_of(path: Path) -> Path:
    """The file that holds the copy of `path`."""
    return path.with_name(path.name + COPY)


def is_there(path: Path) -> bool:
    """Whether there is anything of that name: a broken link counts too."""
    return os.path.lexists(path)


def same_bytes(first: Path, second: Path) -> bool:
    """Whether both are regular files with the same content."""
    with suppress(StoreDamagedError):
        return read_file(first, StoreDamagedError) == read_file(second, StoreDamagedError)
    return False


def keep_copy(path: Path) -> None:
    """Bring the copy of a file up to date.

    Raises:
        StoreDamagedError: If the file is missing or not a regular one.
    """
    content = read_file(path, StoreDamagedError)
    if not same_bytes(path, copy_of(path)):
        with atomic_file(copy_of(path)) as file:
            file.write(content)
