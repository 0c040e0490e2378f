"""Every command that writes, on disks that refuse: one sentence, no incomplete file, and a second run completes."""

import errno
import hashlib
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from rsmtdf_core.errors import RsmtdfError
from tests.pipeline.writing_commands import AT_ONCE, COMMANDS, DOWNLOAD, WORK, make_material
from tests.refusals import CHANGES, block, files, largest_file, masked, refusing, sentence
from tests.reliability.tap import tapped

ON_THEIR_WAY = (
    "run.json",
    "crops.npy",
    "crops.npy.copy",
)  # complete at any time, and change with the work
HISTORIES = ("ledger.jsonl", "commit.json", ".copy")  # they depend on how an extraction went
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An archive at an address."""
    folder = tmp_path_factory.mktemp("server")
    content = np.random.default_rng(0).bytes(2**20 + 99)
    (folder / "a.zip").write_bytes(content)
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        DOWNLOAD["urls"] = {"a.zip": f"http://127.0.0.1:{server.server_port}/a.zip"}
        DOWNLOAD["md5"] = {"a.zip": hashlib.md5(content).hexdigest()}
        yield
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def material(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the commands."""
    folder = tmp_path_factory.mktemp("material")
    make_material(scenes, folder)
    return folder


QUICK = ("config copy", "export safetensors")
SLOW = {"import-official", "export pt2", "export onnx", "train", "evaluate"}


def _quick(*names: str):
    """All commands; those that take longer than these are left to `make reliability`."""
    slow = pytest.mark.reliability
    return [pytest.param(name, marks=() if name in names else slow) for name in COMMANDS]


@dataclass
class Reference:
    """An undisturbed run of a command.

    Attributes:
        start: the files before.
        made: names of the files that it writes.
        fixed: those of them that are the same each time, with their bytes.
        sizes: of the files that it writes.
        changes: each kind of operation on each file, once.
    """

    start: dict[str, bytes]
    written: list[str]
    fixed: dict[str, bytes]
    sizes: list[int]
    changes: list[tuple[str, str]] = field(default_factory=list)


def _raised(error: Exception | None) -> None:
    if error is not None:
        raise error


class Disk:
    """Runs one command in fresh copies of the material."""

    def __init__(self, name: str, material: Path, folder: Path) -> None:
        self._command, self._material = COMMANDS[name], material
        # The same place each time: configs name it.
        self.folder = folder / "work"
        self.reference = self._refer()

    def fresh(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._material, self.folder)

    def run(self) -> Exception | None:
        try:
            self._command(self.folder)
        except Exception as error:  # noqa: BLE001 - the tests look at it
            return error
        return None

    def _refer(self) -> Reference:
        self.fresh()
        start, changes = files(self.folder), {}

        def hook(op, path, act, _half):
            changes[op, masked(path)] = None
            return act()

        _raised(self.run())
        first = files(self.folder)
        self.fresh()
        with tapped(self.folder, hook):
            _raised(self.run())
        second = files(self.folder)
        written = [name for name in second if second[name] != start.get(name)]
        fixed = {
            name: second[name]
            for name in written
            if first.get(name) == second[name] and not name.endswith(HISTORIES)
        }
        kept = [change for change in changes if change[0] in CHANGES]
        return Reference(start, written, fixed, [len(second[name]) for name in written], kept)

    def require_nothing_incomplete(self) -> None:
        """Each file is as before, or as the command leaves it; lists may be shorter."""
        for name, content in files(self.folder).items():
            final = self.reference.fixed.get(name, content)
            if name.endswith(ON_THEIR_WAY):
                continue
            if name.endswith(".jsonl"):
                assert final.startswith(content[: content.rfind(b"\n") + 1]), name
            else:
                assert content in (self.reference.start.get(name), final), name

    def require_no_leftovers(self) -> None:
        assert not [name for name in files(self.folder) if ".tmp" in name]

    def require_completes(self) -> None:
        """The same command once the disk takes writes again."""
        _raised(self.run())
        now = files(self.folder)
        # A resumed training may have no steps left to profile.
        written = {name for name in self.reference.written if "/profile/" not in name}
        assert written <= now.keys()
        for name, content in self.reference.fixed.items():
            assert now[name] == content, name
        self.require_no_leftovers()


@pytest.fixture(scope="module")
def disks(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Disk]:
    written: dict[str, Disk] = {}

    def disk(name: str) -> Disk:
        if name not in written:
            written[name] = Disk(name, material, tmp_path_factory.mktemp("disk"))
        written[name].fresh()
        return written[name]

    return disk


@pytest.mark.parametrize("name", _quick(*(COMMANDS.keys() - SLOW)))
def test_a_limit_on_file_sizes(disks, name):
    disk = disks(name)
    largest = max(disk.reference.sizes)
    for limit in sorted({largest // 2, largest - 1}):
        disk.fresh()
        with largest_file(limit):
            error = disk.run()
        assert error is not None, limit
        sentence(error)
        disk.require_nothing_incomplete()
        disk.require_no_leftovers()
        disk.require_completes()


@pytest.mark.parametrize("name", _quick(*QUICK, "data init", "demo", "cache export"))
def test_a_refused_operation(disks, name):
    _refuse(disks(name), every=False)


@pytest.mark.reliability
@pytest.mark.parametrize("name", COMMANDS)
def test_every_refused_operation(disks, name):
    _refuse(disks(name), every=name != "import-official")


def _refuse(disk: Disk, *, every: bool) -> None:
    changes = disk.reference.changes
    cases = [(change, number) for change in changes for number in ERRORS]
    if not every:  # one of each kind, and each error
        by_kind = {change[0]: change for change in changes} | {
            change[0] + change[1].rpartition(".")[2][:5]: change for change in changes
        }
        cases = [(change, ERRORS[turn % 4]) for turn, change in enumerate(by_kind.values())]
    for (op, path), number in cases:
        disk.fresh()
        thrown: list[str] = []
        with tapped(disk.folder, refusing(op, path, number, thrown)):
            error = disk.run()
        assert thrown, (op, path)
        if error is not None:
            sentence(error)
        disk.require_nothing_incomplete()
        disk.require_completes()


@pytest.mark.parametrize("name", _quick(*(COMMANDS.keys() - {"import-official"})))
def test_a_read_only_folder_is_found_before_the_work(disks, name):
    disk = disks(name)
    if name in AT_ONCE:
        assert name not in WORK
        return
    started = AssertionError("the work has begun")

    def refuse(op, path, act, _half):
        if op in CHANGES:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return act()

    with tapped(disk.folder, refuse), mock.patch(WORK[name], side_effect=started):
        error = disk.run()
    assert isinstance(sentence(error), RsmtdfError)
    assert "cannot be written" in str(error)
    assert "Read-only file system" in str(error)
    assert files(disk.folder) == disk.reference.start
    with mock.patch(WORK[name], side_effect=started):
        assert disk.run() is started, "the command does this work"


@pytest.mark.parametrize("name", _quick(*QUICK, "compare", "report", "evaluate"))
def test_a_folder_at_the_path_of_an_output(disks, name):
    disk = disks(name)
    for output in disk.reference.written:
        if output.endswith("tfevents"):  # its name has the time
            continue
        disk.fresh()
        path = disk.folder / output
        path.unlink(missing_ok=True)
        block(path)
        error = disk.run()
        if error is None:
            assert path.is_file(), output
            continue
        sentence(error)
        disk.require_nothing_incomplete()
        disk.require_no_leftovers()
        assert (path / "note.txt").read_bytes() == b"a user's", output
