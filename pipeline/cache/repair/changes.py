"""What a repair does to files: it restores them from their copies or moves them aside, and deletes none."""

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
        kind: "restored" from a copy, "rebuilt" from other files, "copied" where the copy was damaged, "set aside", or
            "missing": nothing was done, and extraction makes it again.
        path: the file or folder.
        why: the damage.
        loss: what extraction has to make again, or what is lost; empty where nothing is.
    """

    kind: ChangeKind
    path: Path
    why: str
    loss: str = ""


class RepairReport(Settings):
    """What a repair did, or would do.

    Attributes:
        cache: the cache's folder.
        actions: in the order in which they were taken.
        aside: the folder that damaged files were moved to; None where there were none.
        dry: whether nothing was changed.
    """

    cache: Path
    actions: tuple[Action, ...]
    aside: Path | None
    dry: bool

    @property
    def losses(self) -> tuple[Action, ...]:
        """Actions after which an extraction is needed, or something is gone."""
        return tuple(action for action in self.actions if action.loss)


@dataclass
class Changes:
    """Changes the files of one cache, or only lists the changes.

    Attributes:
        cache: the cache's folder.
        dry: whether to change nothing.
        actions: taken so far.
    """

    cache: Path
    dry: bool
    actions: list[Action] = field(default_factory=list)
    _aside: Path | None = None

    @property
    def aside(self) -> Path | None:
        """The folder of this repair's damaged files."""
        return self._aside

    def set_aside(self, path: Path, why: str, loss: str = "") -> None:
        """Move a file or folder out of the cache's way."""
        self.actions.append(Action(kind="set aside", path=path, why=why, loss=loss))
        self._move(path)

    def missing(self, path: Path, why: str, loss: str) -> None:
        """Note what extraction makes again."""
        self.actions.append(Action(kind="missing", path=path, why=why, loss=loss))

    def restore(self, path: Path, why: str) -> None:
        """Put the copy's bytes in the place of a damaged file."""
        self.actions.append(Action(kind="restored", path=path, why=why))
        if not self.dry:
            content = read_file(copy_of(path), StoreDamagedError)
            self._write(path, content)

    def rebuild(self, path: Path, content: bytes, why: str, loss: str = "") -> None:
        """Replace a damaged file by new content."""
        self.actions.append(Action(kind="rebuilt", path=path, why=why, loss=loss))
        if not self.dry:
            self._write(path, content)
            if is_there(copy_of(path)) and not same_bytes(path, copy_of(path)):
                self._move(copy_of(path))
            keep_copy(path)

    def copy(self, path: Path) -> None:
        """Bring the copy of a sound file up to date."""
        copy = copy_of(path)
        if same_bytes(path, copy):
            return
        why = "it differs from its original" if is_there(copy) else "there was none"
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
    """The value of a file, or else of its copy, which then takes its place; None where neither is sound.

    Args:
        path: the file.
        read: reads a file; raises `StoreDamagedError` where it is not what was written.
        changes: takes the steps.
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
    """A new folder whose name is the next number."""
    make_folder(folder, StoreError, "move away what is in its place")
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    made = folder / str(max(numbers, default=0) + 1)
    made.mkdir()
    return made
