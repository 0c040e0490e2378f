"""Batches hold the rendered views of their step, whichever process rendered them."""

from multiprocessing import active_children
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.training.ahead import ahead
from rsmtdf_core.training.data import StepDataset, batches, weak_view
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.sources import RenderedPixels
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.render import ViewRenderer, crop_crc
from rsmtdf_core.views.settings import ViewSettings

CROP, BATCH = 32, 4


class Noise:
    """Stands in for a SceneReader: noise drawn from the scene's digest."""

    dataset = SimpleNamespace(manifest=SimpleNamespace(ignore_id=255))

    def image(self, scene):
        draws = np.random.default_rng(int(scene.sha256, 16))
        image = draws.integers(0, 256, (scene.height, scene.width, 3), np.uint8)
        image.setflags(write=False)
        return image

    def mask(self, scene):
        return self.image(scene)[..., 0] % 5


@pytest.fixture(scope="module")
def renderer():
    scenes = [Scene(f"s{i}", f"{i}.png", "m", 60, 40, sha256=f"{i:064x}") for i in range(12)]
    plan = make_plan(scenes[:4], scenes[4:], ViewSettings(crop=CROP), seed=0)
    return ViewRenderer(Noise(), plan)


@pytest.fixture(scope="module")
def crops(renderer):
    rows = range(len(renderer.plan))
    return np.array([crop_crc(renderer.weak(row)) for row in rows], np.uint32)


def make_dataset(renderer, crops=None, strong_views=2):
    schedule = BatchSchedule(renderer.plan, BATCH, seed=0)
    return StepDataset(renderer, schedule, crops, strong_views)


def same(first, second):
    return first[:3] == second[:3] and all(map(torch.equal, first[3:], second[3:]))


def test_a_batch_has_the_views_of_its_steps_rows(renderer, crops):
    dataset = make_dataset(renderer, crops)
    batch, rows = dataset[1], dataset.schedule.rows(1)
    assert (batch.step, batch.first, batch.total) == (1, 0, BATCH)
    for views, numbers in ((batch.images, rows.labeled), (batch.weak, rows.unlabeled)):
        assert views.shape == (BATCH, 3, CROP, CROP)
        assert views.is_contiguous()
        for view, row in zip(views, numbers.tolist(), strict=True):
            assert np.array_equal(view.permute(1, 2, 0), renderer.weak(row))
    for mask, row in zip(batch.masks, rows.labeled.tolist(), strict=True):
        assert np.array_equal(mask, renderer.mask(row))
    assert batch.mixed.shape == (2, BATCH, 3, CROP, CROP)
    assert batch.pasted.shape == (2, BATCH, CROP, CROP)
    assert batch.valid.shape == (2 * BATCH, CROP, CROP)
    assert list(batch.tensors) == ["images", "masks", "weak", "mixed", "pasted", "valid"]


def test_without_strong_views_unlabeled_samples_are_left_out(renderer):
    batch = make_dataset(renderer, strong_views=0)[0]
    assert len(batch.images) == BATCH
    assert len(batch.weak) == batch.mixed.numel() == batch.pasted.numel() == 0
    assert len(batch.valid) == BATCH


def test_a_part_of_a_batch_is_those_samples_of_each_kind(renderer):
    batch = make_dataset(renderer)[0]
    parts = [batch.part(slice(0, 2)), batch.part(slice(2, 4))]
    for name in ("images", "masks", "weak"):
        whole = torch.cat([part.tensors[name] for part in parts])
        assert torch.equal(whole, batch.tensors[name])
    for name in ("mixed", "pasted"):
        whole = torch.cat([part.tensors[name] for part in parts], dim=1)
        assert torch.equal(whole, batch.tensors[name])
    assert torch.equal(parts[1].valid, torch.cat([batch.valid[2:4], batch.valid[6:8]]))
    assert [part.first for part in parts] == [0, 2]
    assert parts[1].total == BATCH


def test_a_crop_that_the_teachers_did_not_see_is_refused_with_its_scene(renderer, crops):
    changed = crops.copy()
    row = int(make_dataset(renderer).schedule.rows(0).unlabeled[0])
    changed[row] ^= 1
    scene = renderer.plan.scenes[renderer.plan[row].scene]
    with pytest.raises(StoreMismatchError) as caught:
        make_dataset(renderer, changed)[0]
    assert f"scene {scene.id}," in caught.value.where
    assert np.array_equal(weak_view(renderer, row, None), renderer.weak(row))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_in_order_and_the_same_from_any_process(renderer, workers):
    dataset = make_dataset(renderer)
    with batches(dataset, 1, 4, workers, pin=False) as opened:
        loaded = list(opened)
    assert [batch.step for batch in loaded] == [1, 2, 3]
    assert all(same(batch, dataset[batch.step]) for batch in loaded)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_whole_from_any_process(renderer, crops, workers):
    dataset = make_dataset(renderer, crops ^ 1)
    with (
        batches(dataset, 0, 1, workers, pin=False) as opened,
        pytest.raises(StoreMismatchError) as caught,
    ):
        next(opened)
    assert caught.value.where.startswith("scene ")
    assert caught.value.remedy


def test_workers_whose_batches_another_thread_requests_exit_without_an_error(renderer):
    source, before = RenderedPixels(make_dataset(renderer), 2, pin=False), set(active_children())
    with source.opened(0, 3) as rendered, ahead(rendered) as loaded:
        assert next(loaded).step == 0
        workers = set(active_children()) - before
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_loading_leaves_the_global_generator_alone(renderer):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with batches(make_dataset(renderer), 0, 2, 0, pin=False) as opened:
        list(opened)
    assert torch.equal(torch.get_rng_state(), before)
