"""Every kind of file damaged in every way: after a repair and an extraction the same bytes, or a named loss."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.cache.repair import repair
from pipeline.pixel_store import FORMAT
from rsmtdf_core.cache.catalogue import SET_ASIDE, read_catalogue
from rsmtdf_core.cache.usage import PINS, RUNS, begin_run, pin, pins, store_key
from rsmtdf_core.cache_names import MASKS
from rsmtdf_core.errors import RsmtdfError, StoreError
from rsmtdf_core.files import write_json
from rsmtdf_core.store.locks import reading
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.records import PIXELS
from tests.damages import FILE_DAMAGES, FOLDER_DAMAGES, Damage, flip, run_remedy
from tests.reliability import harness

QUICK = ("a bit in the middle", "deleted")
LATER = harness.Job(views=2, codec="transform")
# A group that grew: rows of the second plan do not follow from it alone.
FIRST = harness.Job(views=1, codec="transform")
OTHER = harness.Job(views=1, teacher="other")
RENDERED = harness.Job(views=2, teacher=PIXELS, codec="uint8")
# What no other file tells of cannot be missed.
UNKNOWN = (PINS, RUNS)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a grown store of fitted parameters, a store of another teacher, pixels, pins and a run."""
    folder = tmp_path_factory.mktemp("sound")
    cache, run = folder / "cache", folder / "run"
    for job in (FIRST, OTHER, LATER, RENDERED):
        store = _extract(cache, job)
    run.mkdir()
    (run / "run.json").touch()
    [read] = cache.glob("*/other-*")
    assert begin_run(cache, run, [read]) is None
    pin(cache, store_key(store.path), "for the paper")
    return cache


def _extract(cache: Path, job: harness.Job) -> FeatureStore:
    """Extract, and record the masks of pixels as `pipeline.extract.run` does."""
    store = harness.extract(cache, job)
    if job is RENDERED and not (store.path / MASKS).exists():
        digests = {f"s{number:03}": f"{number:064x}" for number in range(2)}
        write_json(store.path / MASKS, FORMAT.sealed({"sha256": digests}))
    return store


def _spared(cache: Path) -> set[str]:
    """The stores that `rsmtdf cache gc` may not delete."""
    return {
        entry.key
        for entry in read_catalogue(cache).stores
        if entry.pins or any(run.locks for run in entry.runs)
    }


def _files(cache: Path, *, locks: bool = True) -> list[str]:
    """A file of each kind, relative to the cache; of shards the first and one that growth added."""
    names = [str(path.relative_to(cache)) for path in sorted(cache.rglob("*")) if path.is_file()]
    skipped = {name for name in names if "/other-" in name}
    for teacher in ("tiny", PIXELS):
        skipped.update([name for name in names if f"/{teacher}-" in name and "/c/" in name][1:-1])
    return [name for name in names if name not in skipped and (locks or Path(name).name != ".lock")]


def _try(sound: Path, folder: Path, name: str, damage: Damage) -> str:
    """Damage a file, repair, extract, and return the result."""
    cache = folder / "cache"
    shutil.copytree(sound, cache)
    before = harness.final_files(cache)
    spared = _spared(cache)
    damage(cache / name, folder / "outside")
    report = repair(cache)
    for job in (LATER, OTHER, RENDERED):
        _extract(cache, job)
        assert harness.read_all(cache, job) > 0
    assert spared <= _spared(cache)
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
            if kind == "deleted" and name.startswith(UNKNOWN):
                continue
            case = folder / str(counts.total())
            case.mkdir()
            try:
                outcome = _try(sound, case, name, FILE_DAMAGES[kind])
                # Copies heal a single damage. Of the entries of pins and runs there is none.
                assert outcome == ("named loss" if name.startswith(UNKNOWN) else "same bytes")
                counts[outcome] += 1
            except (RsmtdfError, AssertionError, OSError) as wrong:
                raise AssertionError(f"{name}, {kind}: {wrong}") from wrong
            shutil.rmtree(case)
    return counts


@pytest.mark.slow
def test_every_kind_of_file_heals_from_common_damage(sound: Path, tmp_path: Path) -> None:
    counts = _matrix(sound, tmp_path, QUICK)
    assert counts.total() == len(_files(sound)) * len(QUICK) - 2


@pytest.mark.reliability
def test_every_kind_of_file_heals_from_every_damage(sound: Path, tmp_path: Path) -> None:
    counts = _matrix(sound, tmp_path, tuple(FILE_DAMAGES))
    print(f"{counts.total()} damages: {dict(counts)}")
    assert counts.total() == len(_files(sound)) * len(FILE_DAMAGES) - 2


@pytest.mark.slow
def test_every_kind_of_folder_heals_or_is_a_named_loss(sound: Path, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    folders = [path.relative_to(sound) for path in sorted(sound.rglob("*")) if path.is_dir()]
    for name in folders:
        for kind, damage in FOLDER_DAMAGES.items():
            # Nothing tells of a store, a group or an entry that is gone.
            gone = kind in ("deleted", "empty") and "c" not in name.parts
            if gone or "other-" in str(name) or name.parts[3:4] > ("0",):
                continue
            case = tmp_path / str(counts.total())
            case.mkdir()
            try:
                counts[_try(sound, case, str(name), damage)] += 1
            except (RsmtdfError, AssertionError, OSError) as wrong:
                raise AssertionError(f"{name}, {kind}: {wrong}") from wrong
            shutil.rmtree(case)
    print(f"{counts.total()} damages of folders: {dict(counts)}")
    assert counts["same bytes"] >= 30


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
                FILE_DAMAGES[kind](path, outside)
                FILE_DAMAGES[kind](path.with_name(f"{path.name}.copy"), outside)

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
    flip(0.5)(path, tmp_path)
    with pytest.raises(StoreError) as refused:
        harness.extract(cache, LATER)
    run_remedy(refused.value.remedy, {})
    after = harness.tree(cache)
    assert {name: after[name] for name in before} == before
    assert harness.read_all(cache, LATER) > 0


def test_records_are_never_given_new_parameters(sound: Path, tmp_path: Path) -> None:
    """Fitted again, a codec decodes the records that are there into other tokens."""
    cache = shutil.copytree(sound, tmp_path / "cache")
    [store] = cache.glob("*/tiny-*")
    for name in ("zarr.json", "zarr.json.copy"):
        (store / name).unlink()
    with pytest.raises(StoreError, match="the store has records"):
        harness.extract(cache, LATER)
    report = repair(store)
    assert [(loss.kind, loss.path) for loss in report.losses] == [("set aside", store)]
    harness.extract(cache, LATER)
    assert harness.read_all(cache, LATER) > 0


@pytest.mark.parametrize("damaged", ["the file", "its copy", "both"])
def test_parameters_of_an_unfinished_store_never_decode_wrongly(
    tmp_path: Path, damaged: str
) -> None:
    """The digest in zarr.json binds them before any commit does."""
    part = harness.Job(views=2, codec="transform", blocks=3)
    harness.extract(tmp_path / "part", part)
    [parameters] = (tmp_path / "part").glob("*/*/parameters.safetensors")
    name = parameters.relative_to(tmp_path / "part")
    assert not (parameters.parent / "commit.json").exists()
    random = np.random.default_rng(0)
    for number, changed in enumerate(harness.flips(parameters.read_bytes(), 12, random)):
        cache = shutil.copytree(tmp_path / "part", tmp_path / str(number))
        paths = {"the file": cache / name, "its copy": cache / f"{name}.copy"}
        for which, path in paths.items():
            if damaged in (which, "both"):
                path.write_bytes(changed)
        if damaged != "its copy":
            with pytest.raises(StoreError, match="does not match its digest") as refused:
                harness.extract(cache, LATER)
            run_remedy(refused.value.remedy, {}, follow=False)
        assert bool([*(cache / SET_ASIDE).rglob("c")]) == (damaged == "both")
        harness.extract(cache, LATER)
        assert harness.read_all(cache, LATER) > 0


def test_a_pin_that_is_sound_keeps_its_note(sound: Path, tmp_path: Path) -> None:
    cache = shutil.copytree(sound, tmp_path / "cache")
    [entry] = (cache / RUNS).glob("*.json")
    entry.write_bytes(b"{")
    with pytest.raises(StoreError) as refused:
        read_catalogue(cache)
    run_remedy(refused.value.remedy, {}, follow=False)
    notes = {pin.target.partition("-")[2][17:23]: pin.note for pin in pins(cache)}
    assert len(notes) == 3
    assert notes["pixels"] == "for the paper"
    assert {note for name, note in notes.items() if name != "pixels"} == {
        "the entry of a run was damaged"
    }


def test_a_dry_run_lists_the_steps_and_changes_no_file(sound: Path, tmp_path: Path) -> None:
    cache = shutil.copytree(sound, tmp_path / "cache")
    for pattern in ("*/tiny-*/zarr.json", "*/views.npy", "*/tiny-*/c/0/0"):
        [path] = cache.glob(pattern)
        flip(0.5)(path, tmp_path)
    before = harness.tree(cache)
    planned = repair(cache, dry=True)
    assert harness.tree(cache) == before
    done = repair(cache)
    assert [(action.kind, action.path) for action in planned.actions] == [
        (action.kind, action.path) for action in done.actions
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
    assert {action.kind for action in repair(cache).actions} == {"copied"}
    assert repair(cache).actions == ()
    assert np.any([path.name == "zarr.json.copy" for path in cache.rglob("*")])
