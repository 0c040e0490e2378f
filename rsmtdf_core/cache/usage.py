"""The users of a cache: pins that people set, and runs that read stores.

<cache>/pins/<group>[+<store>].json   protects a store or a whole group from `rsmtdf cache gc`
<cache>/runs/<key>.json               a run, the stores it reads, and whether it has finished

Each pin and run has its own small sealed file, so no user rewrites the file of another.
"""

import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

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
    """The protection of a store or group from deletion.

    Attributes:
        target: `<group>` or `<group>/<store>`.
        note: the user's reason.
        time: when it was set, seconds since the epoch.
    """

    target: str
    note: str
    time: float

    def covers(self, store: str) -> bool:
        """Return whether the pin protects `<group>/<store>`."""
        return store == self.target or store.startswith(f"{self.target}/")


@dataclass(frozen=True, slots=True)
class Use:
    """A run's use of stores of the cache.

    Attributes:
        run: absolute path of the run's folder.
        host: the machine of this path.
        inode: inode of the run's folder; it distinguishes the run from another one that later has the
            same path, or has it on another machine.
        stores: `<group>/<store>` of each store it reads.
        finished: whether the run has finished.
        began: when it was last started or resumed, seconds since the epoch.
        ended: when it finished; None before.
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
        """The name of its file."""
        return _run_key(self.run, self.inode)

    @property
    def last_used(self) -> float:
        """The last known time at which it read the stores, seconds since the epoch."""
        return self.began if self.ended is None else self.ended

    @property
    def gone(self) -> bool:
        """Whether the run was deleted; always False for a run that only another machine can see."""
        folder = Path(self.run)
        if (folder / _RUN_MARKER).is_file() and folder.stat().st_ino == self.inode:
            return False
        return self.host == socket.gethostname()

    @property
    def locks(self) -> bool:
        """Whether its stores must stay: the run has not finished and may be resumed."""
        return not self.finished and not self.gone


def _run_key(run: str, inode: int) -> str:
    return fingerprint([run, inode])[:16]


def store_key(store: Path) -> str:
    """Return `<group>/<store>` of a store's folder, its name in pins and runs wherever the cache is."""
    return f"{store.parent.name}/{store.name}"


def pin(cache: Path, target: str, note: str = "") -> Pin:
    """Protect `<group>` or `<group>/<store>`; an existing pin gets the new note.

    Raises:
        StoreNotFoundError: If the cache has no such group or store.
    """
    if not is_target(target) or not (cache / target).is_dir():
        raise StoreNotFoundError(f"no such group or store to pin: {target}", where=cache)
    new_pin = Pin(target, note, time.time())
    write_json(pin_path(cache, target), PIN_FORMAT.sealed(asdict(new_pin)))
    return new_pin


def unpin(cache: Path, target: str) -> None:
    """Remove a pin.

    Raises:
        StoreNotFoundError: If the target is not pinned.
    """
    try:
        pin_path(cache, target).unlink()
    except FileNotFoundError:
        raise StoreNotFoundError(f"{target} is not pinned", where=cache) from None


def pins(cache: Path) -> tuple[Pin, ...]:
    """Read all pins, sorted by target.

    A damaged file still pins the target in its name, so that damage never loses a store.

    Raises:
        StoreDamagedError: If the folder of pins is not a folder.
    """
    readable = []
    for path in usage_files(cache / PINS):
        target = pin_target(path)
        if not is_target(target):
            continue
        try:
            readable.append(read_pin(path, target))
        except StoreError:
            readable.append(Pin(target, "(the pin's file is damaged)", 0.0))
    return tuple(readable)


def read_pin(path: Path, target: str) -> Pin:
    """Read the pin in a file.

    Raises:
        StoreDamagedError: If the file is damaged.
    """
    document = PIN_FORMAT.unsealed(read_json(path, StoreDamagedError), path)
    try:
        return Pin(target, str(document["note"]), float(document["time"]))
    except (KeyError, TypeError, ValueError) as wrong:
        raise StoreDamagedError(f"the pin cannot be read: {wrong!r}", where=path) from None


def begin_run(cache: Path, run_folder: Path, stores: Iterable[Path]) -> str | None:
    """Register a run before it reads its first store, and again when it is resumed.

    Args:
        cache: the cache's folder.
        run_folder: the run's existing folder.
        stores: folders of the stores it reads.

    Returns:
        A warning for the user if the cache cannot be written to; the run may continue.
    """
    keys = tuple(sorted({store_key(store) for store in stores}))
    entry = Use(
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
    """Mark a registered run as finished.

    Returns:
        A warning for the user if the cache cannot be written to or the entry is damaged.
    """
    key = _run_key(str(run_folder.absolute()), run_folder.stat().st_ino)
    path = cache / RUNS / f"{key}.json"
    if not path.exists():
        return None
    try:
        entry = read_run(path)
    except StoreDamagedError as damage:
        return f"the cache cannot record that this run has finished: {damage.what} ({path}); {damage.remedy}"
    return _write_run(cache, replace(entry, finished=True, ended=time.time()))


def runs(cache: Path) -> tuple[Use, ...]:
    """Read all registered runs, including deleted ones, the latest first.

    Raises:
        StoreDamagedError: If a file is damaged: it may refer to stores in use.
    """
    entries = [read_run(path) for path in usage_files(cache / RUNS)]
    return tuple(sorted(entries, key=lambda entry: (-entry.last_used, entry.run)))


def usage_files(folder: Path) -> list[Path]:
    """Return the files in a cache's folder of pins or runs, by name; empty without the folder.

    Raises:
        StoreDamagedError: If the path is not a folder, so its pins or runs are unknown.
    """
    if is_there(folder) and not folder.is_dir():
        raise StoreDamagedError(
            f"this is not a folder of {folder.name}, so the stores in use are unknown",
            where=folder,
            remedy=repair_command(folder.parent),
        )
    return sorted(folder.glob("*.json"))


def run_path(cache: Path, entry: Use) -> Path:
    """Return the file of a registered run."""
    return cache / RUNS / f"{entry.key}.json"


def _write_run(cache: Path, entry: Use) -> str | None:
    path = run_path(cache, entry)
    try:
        write_json(path, RUN_FORMAT.sealed(asdict(entry)))
    except OSError as refused:
        return (
            f"the cache cannot record this run ({refused.strerror}: {path.parent}): "
            "`rsmtdf cache gc` by another user may delete its stores; pin them to keep them"
        )
    return None


def read_run(path: Path) -> Use:
    """Read the entry of a run in a file.

    Raises:
        StoreDamagedError: If the file is damaged.
    """
    try:
        document = RUN_FORMAT.unsealed(read_json(path, StoreDamagedError), path)
        fields = {key: value for key, value in document.items() if key != "format"}
        return Use(**{**fields, "stores": tuple(document["stores"])})
    except (StoreDamagedError, KeyError, TypeError):
        raise StoreDamagedError(
            "the entry of a run is damaged, so the stores it uses are unknown",
            where=path,
            remedy=repair_command(path.parent.parent),
        ) from None


def pin_target(path: Path) -> str:
    """Return the target in the name of a pin's file."""
    return path.stem.replace("+", "/")


def is_target(target: str) -> bool:
    """Return whether the text is a pin's target: `<group>` or `<group>/<store>`."""
    group, separator, store = target.partition("/")
    if not GROUP_NAME.fullmatch(group):
        return False
    return STORE_NAME.fullmatch(store) is not None if separator else True


def pin_path(cache: Path, target: str) -> Path:
    """Return the file of a pin."""
    return cache / PINS / f"{target.replace('/', '+')}.json"
