"""Every kind of file damaged in every way: after a repair and an extraction the same bytes, or a named loss."""

import os
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from pipeline.cache.repair import repair
from rsmtdf_core.cache.catalogue import SET_ASIDE
from rsmtdf_core.errors import RsmtdfError, StoreError
from rsmtdf_core.store.locks import reading
from tests.reliability import harness

Damage = Callable[[Path, Path], object]


def _flip(place: float) -> Damage:
    def damage(path: Path, outside: Path) -> None:
        data = bytearray(path.read_bytes())
        if data:
            data[min(int(place * len(data)), len(data) - 1)] ^= 4
            path.write_bytes(data)

    return damage


def _zero_page(path: Path, outside: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes(min(4096, len(data))) + data[4096:])


def _folder(path: Path, outside: Path) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path, outside: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path, outside: Path) -> None:
    shutil.move(path, outside)
    path.symlink_to(outside)


DAMAGES: dict[str, Damage] = {
    "a bit at the start": _flip(0.02),
    "a bit in the middle": _flip(0.5),
    "the last bit": _flip(1.0),
    "cut in half": lambda path, outside: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ),
    "empty": lambda path, outside: path.write_bytes(b""),
    "deleted": lambda path, outside: path.unlink(),
    "a zero page": _zero_page,
    "a folder": _folder,
    "a pipe": _fifo,
    "a link": _link,
}
QUICK = ("a bit in the middle", "cut in half", "deleted", "a pipe")
LATER = harness.Job(views=2, codec="transform")
# A group that grew: rows of the second plan do not follow from it alone.
FIRST = harness.Job(views=1, codec="transform")
OTHER = harness.Job(views=1, teacher="other")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a grown store of fitted parameters and a store of another teacher."""
    cache = tmp_path_factory.mktemp("sound") / "cache"
    for job in (FIRST, OTHER, LATER):
        harness.extract(cache, job)
    return cache


def _files(cache: Path, *, locks: bool = True) -> list[str]:
    """A file of each kind, relative to the cache; of shards the first and one that growth added."""
    names = [str(path.relative_to(cache)) for path in sorted(cache.rglob("*")) if path.is_file()]
    shards = [name for name in names if "/c/" in name and "/tiny-" in name]
    skipped = {*shards[1:-1], *(name for name in names if "/other-" in name)}
    return [name for name in names if name not in skipped and (locks or Path(name).name != ".lock")]


def _try(sound: Path, folder: Path, name: str, damage: Damage) -> str:
    """Damage a file, repair and extract; what came of it."""
    cache = folder / "cache"
    shutil.copytree(sound, cache)
    before = harness.final_files(cache)
    damage(cache / name, folder / "outside")
    report = repair(cache)
    for job in (LATER, OTHER):
        harness.extract(cache, job)
        assert harness.read_all(cache, job) > 0
    after = {
        path: data
        for path, data in harness.final_files(cache).items()
        if not path.startswith(SET_ASIDE)
    }
    if after == before:
        return "same bytes"
    assert report.losses, (name, report)
    return "named loss"


def _matrix(sound: Path, folder: Path, damages: tuple[str, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name in _files(sound):
        for kind in damages:
            case = folder / str(counts.total())
            case.mkdir()
            try:
                counts[_try(sound, case, name, DAMAGES[kind])] += 1
            except (RsmtdfError, AssertionError, OSError) as wrong:
                raise AssertionError(f"{name}, {kind}: {wrong}") from wrong
            shutil.rmtree(case)
    return counts


@pytest.mark.slow
def test_every_kind_of_file_heals_from_common_damage(sound: Path, tmp_path: Path) -> None:
    counts = _matrix(sound, tmp_path, QUICK)
    assert counts.total() == len(_files(sound)) * len(QUICK)
    # Copies heal whatever a single damage leaves.
    assert set(counts) == {"same bytes"}


@pytest.mark.reliability
def test_every_kind_of_file_heals_from_every_damage(sound: Path, tmp_path: Path) -> None:
    counts = _matrix(sound, tmp_path, tuple(DAMAGES))
    print(f"{counts.total()} damages: {dict(counts)}")
    assert counts["same bytes"] == len(_files(sound)) * len(DAMAGES)


@pytest.mark.reliability
def test_damage_to_a_file_and_its_copy_heals_or_is_a_named_loss(
    sound: Path, tmp_path: Path
) -> None:
    counts: Counter[str] = Counter()
    for name in _files(sound, locks=False):
        if not (sound / f"{name}.copy").exists():
            continue
        for kind in ("a bit in the middle", "cut in half", "empty", "deleted", "a folder"):
            case = tmp_path / str(counts.total())
            case.mkdir()

            def both(path: Path, outside: Path, kind: str = kind) -> None:
                DAMAGES[kind](path, outside)
                DAMAGES[kind](path.with_name(f"{path.name}.copy"), outside)

            counts[_try(sound, case, name, both)] += 1
            shutil.rmtree(case)
    print(f"{counts.total()} double damages: {dict(counts)}")
    assert counts.total() >= 40


def test_the_printed_command_heals_a_flipped_bit_in_the_metadata(
    sound: Path, tmp_path: Path
) -> None:
    cache = shutil.copytree(sound, tmp_path / "cache")
    before = harness.tree(cache)
    [path] = cache.glob("*/tiny-*/zarr.json")
    _flip(0.5)(path, tmp_path)
    with pytest.raises(StoreError) as refused:
        harness.extract(cache, LATER)
    program, *arguments = shlex.split(refused.value.remedy or "")
    assert program == "rsmtdf"
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    after = harness.tree(cache)
    assert {name: after[name] for name in before} == before
    assert harness.read_all(cache, LATER) > 0


def test_records_are_never_given_new_parameters(sound: Path, tmp_path: Path) -> None:
    """Fitted again, a codec decodes the records that are there into other tokens."""
    cache = shutil.copytree(sound, tmp_path / "cache")
    [store] = cache.glob("*/tiny-*")
    for name in ("zarr.json", "zarr.json.copy"):
        (store / name).unlink()
    with pytest.raises(StoreError, match="there are records"):
        harness.extract(cache, LATER)
    report = repair(store)
    assert [(one.kind, one.path) for one in report.losses] == [("set aside", store)]
    harness.extract(cache, LATER)
    assert harness.read_all(cache, LATER) > 0


def test_a_dry_run_lists_the_steps_and_changes_nothing(sound: Path, tmp_path: Path) -> None:
    cache = shutil.copytree(sound, tmp_path / "cache")
    for pattern in ("*/tiny-*/zarr.json", "*/views.npy", "*/tiny-*/c/0/0"):
        [path] = cache.glob(pattern)
        _flip(0.5)(path, tmp_path)
    before = harness.tree(cache)
    planned = repair(cache, dry=True)
    assert harness.tree(cache) == before
    done = repair(cache)
    assert [(one.kind, one.path) for one in planned.actions] == [
        (one.kind, one.path) for one in done.actions
    ]
    assert len(done.actions) == 3
    assert repair(cache).actions[:-1] == ()  # the shard that was moved is still missing


def test_a_store_in_use_is_not_repaired(sound: Path, tmp_path: Path) -> None:
    cache = shutil.copytree(sound, tmp_path / "cache")
    [store] = cache.glob("*/tiny-*")
    with reading([store]), pytest.raises(StoreError, match="training"):
        repair(store)
    locked = harness.extract(cache, LATER)
    with locked.writing(), pytest.raises(StoreError, match="another process"):
        repair(cache)
    assert repair(cache).actions == ()


def test_a_store_of_an_earlier_version_is_read_and_gains_copies(
    sound: Path, tmp_path: Path
) -> None:
    cache = shutil.copytree(sound, tmp_path / "cache")
    for path in list(cache.rglob("*.copy")):
        path.unlink()
    assert harness.read_all(cache, LATER) > 0
    assert {one.kind for one in repair(cache).actions} == {"copied"}
    assert repair(cache).actions == ()
    assert np.any([path.name == "zarr.json.copy" for path in cache.rglob("*")])
