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
import torch
from PIL import Image

import pipeline.data.init
from cli.options import copy_file
from pipeline.cache.transcode import transcode
from pipeline.cache.transfer.exporting import export_stores
from pipeline.cache.transfer.importing import import_stores
from pipeline.config import load_config
from pipeline.data.check import check_data
from pipeline.data.init import draft, require_free, write_manifest
from pipeline.data.prepare import PrepareSettings, prepare
from pipeline.data.prepare.download import download
from pipeline.demo.scenes import draw_scenes
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.exchange.import_official import import_official
from pipeline.extract.run import extract
from pipeline.packaged import find_config
from pipeline.predict import PredictSettings, predict
from pipeline.reporter import Silent
from pipeline.runs.compare import compare
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.official import CROP
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.tokens import TokenShape
from tests.pipeline.conftest import CONFIG
from tests.pipeline.exchange.test_import_official import officially
from tests.rasters import ramp, write_tiff
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


DOWNLOAD: dict[str, dict[str, str]] = {}


@pytest.fixture(scope="module")
def material(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the commands: a scored run, a cache and its export, images and a benchmark."""
    folder = tmp_path_factory.mktemp("material")
    shutil.copytree(scenes, folder / "scenes")
    extract(_config(folder, "cache"))
    export_stores(_stores(folder), str(folder / "shelf"))
    run = train(_config(folder, "cache"), folder / "run").run
    evaluate(run, "test", root=folder / "scenes")
    write_tiff(folder / "a.tif", ramp(3, 90, 90, np.uint8) // 2 + 20)
    pixels = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8)
    Image.fromarray(pixels[:90, :70]).save(folder / "b.png")
    for kind, values in (("images", pixels), ("masks", np.ones((1024, 1024), np.uint8))):
        for name, part in enumerate(("Train", "Val")):
            images = folder / "loveda" / part / "Rural" / f"{kind}_png"
            images.mkdir(parents=True)
            Image.fromarray(values).save(images / f"{name}.png")
    return folder


def _config(folder: Path, cache: str, *overrides: str):
    text = CONFIG.replace("SCENES", str(folder / "scenes")).replace("CACHE", str(folder / cache))
    path = folder.with_name("tiny.yaml")  # no output of the command
    path.write_text(text.replace("RUNS", str(folder / "runs")))
    short = ("objective.method=supervised", "optimiser.max_steps=1")
    return load_config(str(path), [*short, *overrides])


def _stores(folder: Path):
    return [entry.store for entry in read_catalogue(folder / "cache").stores]


def _train(folder: Path) -> None:
    run = folder / "new"
    config = _config(folder, "cache", "optimiser.epochs=4", "optimiser.max_steps=7")
    train(config, run, resume=(run / "run.json").is_file(), profile=True)


def _init(folder: Path) -> None:
    path = folder / "manifest.yaml"
    if not path.is_file():  # a folder that cannot be synced has its file
        require_free(path, overwrite=False)
        looked = pipeline.data.init.look(folder / "scenes", Silent())
        write_manifest(draft(looked, path), path)


def _copy(folder: Path) -> None:
    path = folder / "out" / "mine.yaml"
    if not path.is_file():
        copy_file(find_config("folder"), path)


def _predict(folder: Path) -> None:
    settings = PredictSettings(probabilities=True, confidence=True, cog=True)
    predict(folder / "run", [folder / "a.tif", folder / "b.png"], folder / "out", settings)


def _prepare(folder: Path) -> None:
    values = {"source": (folder / "loveda",), "to": folder / "out", "partial": True}
    prepare(PrepareSettings(benchmark="loveda", crops=True, **values))


def _official(folder: Path) -> Path:
    """A checkpoint of the official code, outside of the folder because it is large."""
    path = folder.parent.parent / "official.pth"
    if not path.is_file():
        settings = StudentSettings(
            encoder="vit_small_patch14_dinov2", weights="random", head="small"
        )
        teachers = (TokenShape("dino", 37, 37, 768), TokenShape("clip", 16, 16, 1024, 224))
        classes = len(load_manifest("synthetic").classes)
        state = Student(settings, classes, CROP, teachers).state_dict()
        torch.save({"model": {officially(name): state[name] for name in state}}, path)
    return path


def _import_official(folder: Path) -> None:
    import_official(_official(folder), "synthetic", run=folder / "new", overwrite=False)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "config copy": _copy,
    "data init": _init,
    "data check": lambda folder: check_data(
        load_manifest("synthetic"), folder / "scenes", folder / "out"
    ),
    "data prepare": _prepare,
    "demo": lambda folder: draw_scenes(folder / "out", 1, 64, 0),
    "extract-features": lambda folder: extract(_config(folder, "new", "runtime.cache_pixels=true")),
    "train": _train,
    "evaluate": lambda folder: evaluate(folder / "run", "val", root=folder / "scenes"),
    "compare": lambda folder: compare([folder / "run"], folder / "out"),
    "report": lambda folder: report(
        [folder / "run"], folder / "report.html", root=folder / "scenes"
    ),
    "predict": _predict,
    "export safetensors": lambda folder: export_run(folder / "run", folder / "out", "safetensors"),
    "export pt2": lambda folder: export_run(folder / "run", folder / "out", "pt2"),
    "export onnx": lambda folder: export_run(folder / "run", folder / "out", "onnx"),
    "cache export": lambda folder: export_stores(_stores(folder), str(folder / "out")),
    "cache import": lambda folder: import_stores(str(folder / "shelf"), folder / "new"),
    "cache transcode": lambda folder: transcode(_stores(folder)[0], declare_codec("int8")),
    "data download": lambda folder: download(DOWNLOAD["urls"], DOWNLOAD["md5"], folder / "out"),
    "import-official": _import_official,
}


QUICK = ("config copy", "compare", "report", "export safetensors")


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


@pytest.mark.parametrize("name", _quick(*(COMMANDS.keys() - {"import-official"})))
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


@pytest.mark.parametrize(
    "name", _quick(*QUICK, "data init", "demo", "cache export", "cache import")
)
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


# The first step of each command that takes long; the others write at once.
WORK = {
    "data init": "pipeline.data.init.look",
    "data check": "pipeline.data.check.check_dataset",
    "data prepare": "pipeline.data.prepare.run.find_source",
    "extract-features": "pipeline.extract.run.plan_experiment",
    "train": "pipeline.train.setup.find_features",
    "evaluate": "rsmtdf_core.evaluation.crops.count_confusion",
    "compare": "pipeline.runs.compare.run.compare_groups",
    "report": "pipeline.runs.report.run.gather",
    "predict": "pipeline.predict.run._checked_size",
    "export safetensors": "pipeline.exchange.export.load_run",
    "export pt2": "pipeline.exchange.export.load_run",
    "export onnx": "pipeline.exchange.export.load_run",
    "cache export": "pipeline.cache.transfer.exporting._snapshot",
    "cache import": "pipeline.cache.transfer.importing._stage",
    "cache transcode": "pipeline.cache.transcode.create_store",
    "data download": "urllib.request.urlopen",
    "import-official": "pipeline.exchange.import_official.open_weights",
}
AT_ONCE = {"config copy", "demo"}


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


@pytest.mark.parametrize("name", _quick(*QUICK, "evaluate"))
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
