"""Who needs what of a cache: pins that people set, and the runs that read stores.

<cache>/pins/<group>[+<store>].json   keeps one store or a whole group from `rsmtdf cache gc`
<cache>/runs/<key>.json               a run, the stores it reads, and whether it has ended

Each is a small sealed file of its own, so that nobody ever rewrites what another user wrote.
"""

import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rsmtdf_core.cache_names import GROUP_NAME, STORE_NAME, repair_command
from rsmtdf_core.errors import StoreDamagedError, StoreError, StoreNotFoundError
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.store.copies import is_there

PINS = "pins"
RUNS = "runs"
PIN_FORMAT = FileFormat("pin")
RUN_FORMAT = FileFormat("entry of a run")

_RUN_MARKER = "run.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """What is kept until it is unpinned.

    Attributes:
        target: `<group>` or `<group>/<store>`.
        note: why, in the words of who set it.
        time: when, seconds since the epoch.
    """

    target: str
    note: str
    time: float

    def covers(self, store: str) -> bool:
        """Whether it keeps `<group>/<store>`."""
        return store == self.target or store.startswith(f"{self.target}/")


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run that reads stores of the cache.

    Attributes:
        run: absolute path of the run's folder.
        host: the machine that path is on.
        inode: of the run's folder: another run that later takes the same path, or has it on another
            machine, is not this one.
        stores: `<group>/<store>` of each store it reads.
        finished: whether it came to its end.
        began: when it was last begun or resumed, seconds since the epoch.
        ended: when it came to its end; None before.
    """

    run: str
    host: str
    inode: int
    stores: tuple[str, ...]
    finished: bool
    began: float
    ended: float | None

    @property
    def key(self) -> str:
        """Names its file."""
        return _run_key(self.run, self.inode)

    @property
    def last_used(self) -> float:
        """The last time at which it is known to have read the stores, seconds since the epoch."""
        return self.began if self.ended is None else self.ended

    @property
    def gone(self) -> bool:
        """Whether the run was deleted; never said of a run that only another machine can see."""
        folder = Path(self.run)
        if (folder / _RUN_MARKER).is_file() and folder.stat().st_ino == self.inode:
            return False
        return self.host == socket.gethostname()

    @property
    def locks(self) -> bool:
        """Whether its stores must stay: it has not ended, and may go on."""
        return not self.finished and not self.gone


def _run_key(run: str, inode: int) -> str:
    return fingerprint([run, inode])[:16]


def store_key(store: Path) -> str:
    """`<group>/<store>` of a store's folder: how pins and runs name it wherever the cache is."""
    return f"{store.parent.name}/{store.name}"


def pin(cache: Path, target: str, note: str = "") -> Pin:
    """Keep `<group>` or `<group>/<store>`; a pin that is there takes the new note.

    Raises:
        StoreNotFoundError: where the cache has nothing of that name.
    """
    if not is_target(target) or not (cache / target).is_dir():
        raise StoreNotFoundError(f"nothing to pin: {target}", where=cache)
    made = Pin(target, note, time.time())
    write_json(pin_path(cache, target), PIN_FORMAT.sealed(asdict(made)))
    return made


def unpin(cache: Path, target: str) -> None:
    """Take a pin away.

    Raises:
        StoreNotFoundError: where there is none.
    """
    try:
        pin_path(cache, target).unlink()
    except FileNotFoundError:
        raise StoreNotFoundError(f"{target} is not pinned", where=cache) from None


def pins(cache: Path) -> tuple[Pin, ...]:
    """All pins, by target.

    A damaged file keeps what its name says: a pin that cannot be read must not cost a store.

    Raises:
        StoreDamagedError: where something else is in the place of their folder.
    """
    found = []
    for path in usage_files(cache / PINS):
        target = pin_target(path)
        if not is_target(target):
            continue
        try:
            found.append(read_pin(path, target))
        except StoreError:
            found.append(Pin(target, "(the pin's file is damaged)", 0.0))
    return tuple(found)


def read_pin(path: Path, target: str) -> Pin:
    """The pin in a file.

    Raises:
        StoreDamagedError: where the file is not what was written.
    """
    own = PIN_FORMAT.unsealed(read_json(path, StoreDamagedError), path)
    try:
        return Pin(target, str(own["note"]), float(own["time"]))
    except (KeyError, TypeError, ValueError) as wrong:
        raise StoreDamagedError(f"the pin cannot be read: {wrong!r}", where=path) from None


def begin_run(cache: Path, run_folder: Path, stores: Iterable[Path]) -> str | None:
    """Register a run before it reads its first store, or again when it is resumed.

    Args:
        cache: the cache's folder.
        run_folder: the run's folder, which exists.
        stores: folders of the stores it reads.

    Returns:
        A warning for the user where the cache cannot be written; the run may go on.
    """
    keys = tuple(sorted({store_key(store) for store in stores}))
    entry = RunEntry(
        run=str(run_folder.absolute()),
        host=socket.gethostname(),
        inode=run_folder.stat().st_ino,
        stores=keys,
        finished=False,
        began=time.time(),
        ended=None,
    )
    return _write_run(cache, entry)


def end_run(cache: Path, run_folder: Path) -> str | None:
    """Say that a run has come to its end; one that was never registered stays so.

    Returns:
        A warning for the user where the cache cannot be written, or the entry is damaged.
    """
    key = _run_key(str(run_folder.absolute()), run_folder.stat().st_ino)
    path = cache / RUNS / f"{key}.json"
    if not path.exists():
        return None
    try:
        entry = read_run(path)
    except StoreDamagedError as damage:
        return f"the cache does not know that this run has ended: {damage.what} ({path}); {damage.remedy}"
    return _write_run(cache, replace(entry, finished=True, ended=time.time()))


def runs(cache: Path) -> tuple[RunEntry, ...]:
    """All registered runs, those that are gone included, the latest first.

    Raises:
        StoreDamagedError: where a file is not what was written: it may name stores that are in use.
    """
    found = [read_run(path) for path in usage_files(cache / RUNS)]
    return tuple(sorted(found, key=lambda entry: (-entry.last_used, entry.run)))


def usage_files(folder: Path) -> list[Path]:
    """The files in a cache's folder of pins or of runs, by name; none where there is no folder.

    Raises:
        StoreDamagedError: where something else is in its place: what it kept is unknown.
    """
    if is_there(folder) and not folder.is_dir():
        raise StoreDamagedError(
            f"this is not a folder of {folder.name}; which stores they keep is unknown",
            where=folder,
            remedy=repair_command(folder.parent),
        )
    return sorted(folder.glob("*.json"))


def run_path(cache: Path, entry: RunEntry) -> Path:
    """The file of a registered run."""
    return cache / RUNS / f"{entry.key}.json"


def _write_run(cache: Path, entry: RunEntry) -> str | None:
    path = run_path(cache, entry)
    try:
        write_json(path, RUN_FORMAT.sealed(asdict(entry)))
    except OSError as refused:
        return (
            f"the cache does not know of this run ({refused.strerror}: {path.parent}): "
            "`rsmtdf cache gc` elsewhere would not spare its stores; pin them there"
        )
    return None


def read_run(path: Path) -> RunEntry:
    """The entry of a run in a file.

    Raises:
        StoreDamagedError: where the file is not what was written.
    """
    try:
        own = RUN_FORMAT.unsealed(read_json(path, StoreDamagedError), path)
        return RunEntry(**{**_without_format(own), "stores": tuple(own["stores"])})
    except (StoreDamagedError, KeyError, TypeError):
        raise StoreDamagedError(
            "the entry of a run is not what was written; which stores it uses is unknown",
            where=path,
            remedy=repair_command(path.parent.parent),
        ) from None


def _without_format(own: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in own.items() if key != "format"}


def pin_target(path: Path) -> str:
    """What a pin's file keeps, by its name."""
    return path.stem.replace("+", "/")


def is_target(target: str) -> bool:
    """Whether a pin can keep this: `<group>` or `<group>/<store>`."""
    group, separator, store = target.partition("/")
    if not GROUP_NAME.fullmatch(group):
        return False
    return STORE_NAME.fullmatch(store) is not None if separator else True


def pin_path(cache: Path, target: str) -> Path:
    """The file of a pin."""
    return cache / PINS / f"{target.replace('/', '+')}.json"
