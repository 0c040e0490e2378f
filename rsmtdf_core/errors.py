"""Errors for users: the problem, its location, and how to fix it.

Each class also derives from the built-in exception that a Python caller expects, so both
`except RsmtdfError` and `except FileNotFoundError` work.
"""

from collections.abc import Sequence
from pathlib import Path

from rsmtdf_core.cache_names import repair_of
from rsmtdf_core.words import one_line


class RsmtdfError(Exception):
    """Base of all errors that a user can fix.

    Args:
        what: a sentence that names the problem, with the expected and the actual value.
        where: the file, key or row at fault.
        remedy: a command or an edit that fixes it.

    Attributes:
        status: the exit status of the process.
    """

    status: int = 1

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where: {one_line(self.where)}")
        if self.remedy is not None:
            lines.append(f"  fix:   {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling: dask returns a worker's error to the client."""
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(
    kind: type[RsmtdfError], what: str, where: str | None, remedy: str | None
) -> RsmtdfError:
    return kind(what, where=where, remedy=remedy)


class ConfigError(RsmtdfError, ValueError):
    """A config file or an override is wrong."""


class DataError(RsmtdfError, ValueError):
    """A scene, mask or manifest is wrong."""


class UnknownValuesError(DataError):
    """Labels have values that no class has.

    Args:
        what: a sentence with the values.
        values: the values.
    """

    def __init__(
        self,
        what: str,
        values: Sequence[str] = (),
        *,
        where: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.values = tuple(values)

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling, like the base class, with the values as state."""
        return *super().__reduce__(), {"values": self.values}


class IncompleteError(DataError):
    """Some of many files are wrong; the others were written.

    Args:
        what: a sentence with the number of wrong files.
        causes: the error of each wrong file.
        written: the files that are complete.
    """

    def __init__(
        self, what: str, causes: Sequence[RsmtdfError], written: Sequence[Path] = ()
    ) -> None:
        super().__init__(what)
        self.causes = tuple(causes)
        self.written = tuple(written)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.causes)])

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling, like the base class."""
        return type(self), (self.what, self.causes, self.written)


class MissingFileError(RsmtdfError, FileNotFoundError):
    """A file or folder does not exist."""


class WriteError(RsmtdfError, OSError):
    """The operating system refuses to write a file; `errno` and `strerror` are its own."""

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling, like the base class, with the attributes as state."""
        return *super().__reduce__(), {"errno": self.errno, "strerror": self.strerror}


class TeacherError(RsmtdfError, RuntimeError):
    """A teacher cannot be built, loaded or run."""


class StoreError(RsmtdfError, RuntimeError):
    """A feature store cannot be used."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """No store has the requested features."""


class StoreIncompleteError(StoreError):
    """A store exists but is not committed, or lacks requested rows."""


class StoreDamagedError(StoreError):
    """A store's bytes differ from those that were written.

    If the damaged file is in a cache and no other remedy is given, the remedy is the command that repairs its store
    or group.
    """

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        if remedy is None and where is not None:
            remedy = repair_of(Path(str(where)))
        super().__init__(what, where=where, remedy=remedy)


class StoreMismatchError(StoreError):
    """A store holds other features than the requested ones."""


class RunError(RsmtdfError, RuntimeError):
    """A run folder or checkpoint cannot be used."""
