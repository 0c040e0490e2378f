"""Remedies run as printed restore the state before the damage and lose no intact file."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cache.verify import verify
from pipeline.config import load_config
from pipeline.extract.run import extract
from pipeline.pixel_store import find_pixels
from pipeline.plan import plan_experiment
from pipeline.runs.record import read_run
from pipeline.train.run import train
from rsmtdf_core.cache.catalogue import SET_ASIDE, read_catalogue
from rsmtdf_core.cache_names import MASKS
from rsmtdf_core.errors import RunError, StoreError
from rsmtdf_core.store.group import CROPS, SCENES
from rsmtdf_core.store.metadata import ZARR
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.tables import read_table, write_table
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.views.records import PIXELS
from tests.caches import tree
from tests.damages import FILE_DAMAGES, run_remedy
from tests.pipeline.conftest import CONFIG

SETTINGS = (
    ("unlabeled_views: 2, labeled_views: 2", "unlabeled_views: 1, labeled_views: 1"),
    ("\n  - {name: cnn, family: timm, model: test_efficientnet, weights: random, block: 2}", ""),
    ("runtime: {", "runtime: {cache_pixels: true, "),
)


@dataclass(frozen=True)
class Project:
    """Scenes, a cache with a teacher's store and one of pixels, and the config that names both."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def config(self) -> Path:
        return self.folder / "tiny.yaml"

    def write_config(self) -> None:
        text = CONFIG
        for before, after in SETTINGS:
            assert before in text
            text = text.replace(before, after)
        text = text.replace("SCENES", str(self.folder / "scenes")).replace("CACHE", str(self.cache))
        self.config.write_text(text.replace("RUNS", str(self.folder / "runs")))

    def store(self, teacher: str) -> FeatureStore:
        [store] = [
            entry.store for entry in read_catalogue(self.cache).stores if entry.teacher == teacher
        ]
        assert store is not None
        return store

    def files(self) -> dict[str, bytes]:
        """Of the stores and the group, without ledgers and commits, which name when records were made."""
        return {
            name: content
            for name, content in tree(self.cache).items()
            if not name.startswith(SET_ASIDE) and not name.endswith(("ledger.jsonl", "commit.json"))
        }


@pytest.fixture(scope="module")
def whole(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("whole"))
    shutil.copytree(scenes, project.folder / "scenes")
    project.write_config()
    extract(load_config(str(project.config), ()))
    return project.folder


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Project:
    copy = Project(shutil.copytree(whole, tmp_path / "copy"))
    copy.write_config()
    return copy


def change_records(store: FeatureStore, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write records as `change` makes them of those that are there; all checksums are right."""
    rows = np.flatnonzero(store.group.table["scene"] >= 0)
    reader = FeatureReader(store, np.arange(store.metadata.rows))
    records = np.empty((len(rows), *store.codec.stored_shape), store.codec.dtype)
    reader.gather(rows, records)
    if store.shape.teacher != PIXELS:
        records = np.stack([reader.tokens(row) for row in rows.tolist()])
    changed = dict(zip(rows.tolist(), change(records), strict=True))
    for block in store.blocks(rows):
        store.append(write_block(store.path, block, (changed.get(row) for row in block)))
    store.commit(rows, 0.0)


def turn_upside_down(path: Path) -> None:
    with Image.open(path) as image:
        pixels, mode, palette = np.array(image), image.mode, image.getpalette()
    turned = Image.fromarray(pixels[::-1, ::-1].copy(), mode)
    if palette is not None:
        turned.putpalette(palette)
    turned.save(path)


def edit_image(project: Project) -> None:
    plan = plan_experiment(load_config(str(project.config), ())).plan
    turn_upside_down(project.folder / "scenes" / plan.scenes[0].image)


def edit_mask(project: Project) -> None:
    plan = plan_experiment(load_config(str(project.config), ())).plan
    turn_upside_down(project.folder / "scenes" / plan.scenes[plan.labeled_scenes[0]].mask)


def forget_crops(project: Project) -> None:
    path = project.store("vit").group.path / CROPS
    crops = np.array(read_table(path, np.dtype(np.uint32)))
    crops[3:6] = 0
    write_table(path, crops)


def move_rows(project: Project) -> None:
    change_records(project.store("vit"), lambda tokens: np.roll(tokens, 1, axis=0))


def scale_tokens(project: Project) -> None:
    change_records(project.store("vit"), lambda tokens: tokens * 1.05)


def change_pixels(project: Project) -> None:
    change_records(project.store(PIXELS), lambda pixels: pixels ^ 1)


@dataclass(frozen=True)
class Fault:
    """A fault that a check finds, and the state after its remedy.

    Attributes:
        damage: damages the project.
        check: the first check that fails.
        sentence: part of its message.
        choice: which alternative of the remedy is run.
        same: whether the cache then has the same bytes; else inputs were changed, and what was there stays.
    """

    damage: Callable[[Project], None]
    check: str
    sentence: str
    choice: int = 0
    same: bool = True


FAULTS = {
    "records of other views": Fault(move_rows, "features", "differ by more than the codec"),
    "records of another scale": Fault(scale_tokens, "features", "differ by more than the codec"),
    "other pixels": Fault(change_pixels, "replay", "records are rendered differently now", 1),
    "crops without checksum": Fault(forget_crops, "structure", "lack the checksum of their crop"),
    "another mask": Fault(edit_mask, "replay", "records are rendered differently now", 1, False),
    "another image": Fault(edit_image, "replay", "the images of 1 scenes", 1, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_remedies_of_verify_heal_its_faults(project: Project, fault: Fault) -> None:
    before = project.files()
    config = load_config(str(project.config), ())
    fault.damage(project)
    report = verify(project.cache, config=config)
    failed = [
        check for store in report.stores for check in store.checks if check.status == "failed"
    ]
    [first, *_] = [check for check in failed if check.name == fault.check]
    assert fault.sentence in first.sentence
    run_remedy(first.remedy, {"CONFIG": str(project.config)}, fault.choice)
    report = verify(project.cache, config=config)
    assert report.failed == 0, report
    after = project.files()
    if fault.same:
        assert after == before
    else:
        assert after.keys() >= before.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILE_DAMAGES)
def test_the_remedy_of_a_damaged_masks_json_heals_it(project: Project, kind: str) -> None:
    masks = project.store(PIXELS).path / MASKS
    before = project.files()
    experiment = plan_experiment(load_config(str(project.config), ()))
    FILE_DAMAGES[kind](masks, project.folder / "outside")
    if kind != "deleted":
        with pytest.raises(StoreError) as refused:
            find_pixels(experiment)
        run_remedy(refused.value.remedy, {"CONFIG": str(project.config)})
    find_pixels(experiment)  # without the file, the masks themselves are compared with the pixels
    assert masks.exists() == (kind != "deleted")
    extract(experiment.config)
    assert project.files() == before, "the file is back, so that later starts compare digests only"


@pytest.mark.slow
def test_the_remedy_of_a_runs_damaged_list_of_stores_heals_it(project: Project) -> None:
    text = project.config.read_text().replace("epochs: 2", "epochs: 2, max_steps: 1")
    project.config.write_text(text)
    run = train(load_config(str(project.config), ())).run
    lock = run / "cache.lock.json"
    whole = lock.read_bytes()
    for kind in ("a bit in the middle", "cut in half", "empty", "a link"):
        FILE_DAMAGES[kind](lock, project.folder / "outside")
        with pytest.raises(RunError) as refused:
            read_run(run)
        assert refused.value.where == str(lock)
        run_remedy(refused.value.remedy, {"CONFIG": str(project.config)})
        assert lock.read_bytes() == whole
        assert not lock.is_symlink()
        read_run(run)


@pytest.mark.slow
def test_a_config_restores_a_group_whose_copies_are_damaged_too(project: Project) -> None:
    before = tree(project.cache)
    group = project.store("vit").group.path
    for name in (ZARR, SCENES):
        for path in (group / name, group / f"{name}.copy"):
            path.write_bytes(path.read_bytes()[:-9])
    command = f"rsmtdf cache repair --config {project.config}"
    run_remedy(f"{command} --dry-run", {"CONFIG": str(project.config)})
    output = run_remedy(command, {"CONFIG": str(project.config)})
    assert len(re.findall("^rebuilt .*the config determines it", output, re.MULTILINE)) == 2
    assert "lost" not in output
    after = tree(project.cache)
    assert {name: after[name] for name in before} == before
