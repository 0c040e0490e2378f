"""Change the files of a cache in a repair: restore them from copies or move them aside; delete none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from rsmtdf_core.cache.catalogue import SET_ASIDE
from rsmtdf_core.errors import StoreDamagedError, StoreError
from rsmtdf_core.files import atomic_file, make_folder, read_file, sync_folder
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.copies import copy_of, is_there, keep_copy, same_bytes

ChangeKind = Literal["restored", "rebuilt", "copied", "set aside", "missing"]
ValueT = TypeVar("ValueT")


class Action(Settings):
    """A step of a repair.

    Attributes:
        kind: "restored" from a copy, "rebuilt" from other files, "copied" if the copy was damaged, "set aside", or
            "missing": left to the next extraction.
        path: the file or folder.
        why: the damage.
        loss: the data that is lost or must be extracted again; empty if there is no loss.
    """

    kind: ChangeKind
    path: Path
    why: str
    loss: str = ""


class RepairReport(Settings):
    """The report of a repair.

    Attributes:
        cache: the cache's folder.
        actions: the steps, in order.
        aside: the folder of the damaged files that were moved; None if no file was moved.
        dry: whether the repair was a dry run.
    """

    cache: Path
    actions: tuple[Action, ...]
    aside: Path | None
    dry: bool

    @property
    def losses(self) -> tuple[Action, ...]:
        """The actions that lose data or require an extraction."""
        return tuple(action for action in self.actions if action.loss)


@dataclass
class Changes:
    """The changes to the files of one cache; a dry run only lists them.

    Attributes:
        cache: the cache's folder.
        dry: whether to leave all files unchanged.
        actions: the steps so far.
    """

    cache: Path
    dry: bool
    actions: list[Action] = field(default_factory=list)
    _aside: Path | None = None

    @property
    def aside(self) -> Path | None:
        """The folder to which this repair moves damaged files; None before the first move."""
        return self._aside

    def set_aside(self, path: Path, why: str, loss: str = "") -> None:
        """Move a file or folder into the folder of damaged files."""
        self.actions.append(Action(kind="set aside", path=path, why=why, loss=loss))
        self._move(path)

    def missing(self, path: Path, why: str, loss: str) -> None:
        """Record data that the next extraction restores."""
        self.actions.append(Action(kind="missing", path=path, why=why, loss=loss))

    def restore(self, path: Path, why: str) -> None:
        """Replace a damaged file by its copy."""
        self.actions.append(Action(kind="restored", path=path, why=why))
        if not self.dry:
            content = read_file(copy_of(path), StoreDamagedError)
            self._write(path, content)

    def rebuild(self, path: Path, content: bytes, why: str, loss: str = "") -> None:
        """Replace a damaged file by new content and update its copy."""
        self.actions.append(Action(kind="rebuilt", path=path, why=why, loss=loss))
        if not self.dry:
            self._write(path, content)
            if is_there(copy_of(path)) and not same_bytes(path, copy_of(path)):
                self._move(copy_of(path))
            keep_copy(path)

    def copy(self, path: Path) -> None:
        """Update the copy of a sound file."""
        copy = copy_of(path)
        if same_bytes(path, copy):
            return
        why = "it differs from its original" if is_there(copy) else "the copy was missing"
        self.actions.append(Action(kind="copied", path=copy, why=why))
        if not self.dry:
            if is_there(copy):
                self._move(copy)
            keep_copy(path)

    def _write(self, path: Path, content: bytes) -> None:
        if is_there(path):
            self._move(path)
        with atomic_file(path) as file:
            file.write(content)

    def _move(self, path: Path) -> None:
        if self.dry:
            return
        if self._aside is None:
            self._aside = _new_folder(self.cache / SET_ASIDE)
        target = self._aside / path.relative_to(self.cache)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        sync_folder(path.parent)


def first_sound(path: Path, read: Callable[[Path], ValueT], changes: Changes) -> ValueT | None:
    """Read a file, or restore and read its copy; return None if both are damaged.

    Args:
        path: the file.
        read: reads a file; raises `StoreDamagedError` if it is damaged.
        changes: records and takes the steps.
    """
    try:
        value = read(path)
    except StoreDamagedError as damage:
        try:
            value = read(copy_of(path))
        except StoreDamagedError:
            return None
        changes.restore(path, damage.what)
        return value
    changes.copy(path)
    return value


def _new_folder(folder: Path) -> Path:
    """Create a folder named by the next free number."""
    make_folder(folder, StoreError, "move the file at this path away")
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    numbered = folder / str(max(numbers, default=0) + 1)
    numbered.mkdir()
    return numbered
