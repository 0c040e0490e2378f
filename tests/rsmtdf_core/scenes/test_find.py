import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import find_scenes, in_threads, with_digests
from rsmtdf_core.scenes.labeled import draw_labeled
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.scene import Scene, Window

from .conftest import make_manifest


def numbered(count: int, masked: int | None = None) -> list[Scene]:
    masked = count if masked is None else masked
    return [Scene(f"s{i}", "i", "m" if i < masked else None, 8, 6) for i in range(count)]


def test_shares_divide_the_scenes_without_rest(root):
    dataset = find_scenes(make_manifest(), root)
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(train), len(test)) == (2, 2)
    assert {scene.id for scene in (*train, *test)} == {"s0", "s1", "s2", "s3"}
    assert [scene.id for scene in train] == sorted(scene.id for scene in train)
    assert train[0].image == f"images/{train[0].id}.png"
    assert train[0].mask == f"masks/{train[0].id}.png"
    assert (train[0].width, train[0].height) == (8, 6)


def test_another_seed_deals_other_scenes(root):
    splits = {
        find_scenes(
            make_manifest(splits={"train": {"share": [0, 0.5], "seed": seed}}), root
        ).splits["train"]
        for seed in range(8)
    }
    assert len(splits) > 1


def test_windows_cover_the_raster_and_stop_at_its_border(root):
    manifest = make_manifest(window={"size": 5, "stride": 5}, splits={"train": {}})
    scenes = find_scenes(manifest, root).splits["train"]
    assert [scene.id for scene in scenes[:4]] == ["s0@0,0", "s0@5,0", "s0@0,5", "s0@5,5"]
    assert Window(5, 5, 3, 1) in [scene.window for scene in scenes]
    assert sum(scene.width * scene.height for scene in scenes) == 4 * 8 * 6


@pytest.mark.parametrize(("size", "windows"), [(6000, 144), (2448, 25), (1024, 4), (300, 1)])
def test_window_counts_are_those_of_the_published_crops(tmp_path, size, windows):
    from PIL import Image

    Image.new("L", (size, size)).save(tmp_path / "a.png")
    manifest = make_manifest(
        images="{name}.png",
        masks=None,
        window={"size": 512, "stride": 512},
        splits={"train": {}},
    )
    assert len(find_scenes(manifest, tmp_path).splits["train"]) == windows


def test_windows_of_one_raster_stay_in_one_split(root):
    splits = find_scenes(make_manifest(window={"size": 4, "stride": 4}), root).splits
    rasters = [{scene.image for scene in scenes} for scenes in splits.values()]
    assert not rasters[0] & rasters[1]


def test_a_scene_without_mask_is_found_without_one(root):
    (root / "masks" / "s1.png").unlink()
    scenes = find_scenes(make_manifest(splits={"train": {}}), root).splits["train"]
    assert [scene.mask is None for scene in scenes] == [False, True, False, False]


def test_a_value_that_no_scene_has_is_refused_with_a_suggestion(root):
    manifest = make_manifest(splits={"train": {"where": {"name": ["s0", "s33"]}}})
    with pytest.raises(DataError, match="no scene has name 's33', did you mean 's3'"):
        find_scenes(manifest, root)


def test_training_scenes_in_another_split_are_refused(root):
    manifest = make_manifest(splits={"train": {}, "val": {"where": {"name": ["s2"]}}})
    with pytest.raises(DataError, match="1 scenes are in both train and val, the first is s2"):
        find_scenes(manifest, root)


def test_no_image_and_a_damaged_image_are_refused(root, tmp_path):
    with pytest.raises(MissingFileError, match="no image matches"):
        find_scenes(make_manifest(images="nowhere/{name}.png"), root)
    (root / "images" / "s0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read") as caught:
        find_scenes(make_manifest(), root)
    assert caught.value.where.endswith("images/s0.png")


@given(st.integers(1, 60), st.integers(0, 3))
def test_smaller_shares_are_inside_larger_ones(count, seed):
    scenes = numbered(count)
    smaller, _ = draw_labeled(scenes, 1 / 8, seed)
    larger, rest = draw_labeled(scenes[::-1], 1 / 4, seed)
    assert set(smaller) <= set(larger)
    assert set(larger) | set(rest) == set(scenes)
    assert not set(larger) & set(rest)


@pytest.mark.parametrize(
    ("count", "share", "labeled"),
    [(3283, 0.01, 32), (3283, 0.1, 328), (100, 0.29, 29), (5, 0.1, 1)],
)
def test_the_labeled_count_is_rounded_down_but_is_one_at_least(count, share, labeled):
    assert len(draw_labeled(numbered(count), share, 0)[0]) == labeled


def test_scenes_without_mask_are_never_labeled():
    labeled, unlabeled = draw_labeled(numbered(10, masked=4), 1.0, 0)
    assert {scene.id for scene in labeled} == {"s0", "s1", "s2", "s3"}
    assert len(unlabeled) == 6
    with pytest.raises(DataError, match="none of 3"):
        draw_labeled(numbered(3, masked=0), 0.5, 0)


def test_the_draw_is_the_same_for_ever():
    labeled, _ = draw_labeled(numbered(8), 0.5, 7)
    order = sorted(range(8), key=lambda i: hashlib.sha256(f'[7,"s{i}"]'.encode()).digest())
    assert [scene.id for scene in labeled] == [f"s{i}" for i in order[:4]]


def test_digests_are_of_the_image_file(root):
    dataset = find_scenes(make_manifest(window={"size": 4, "stride": 4}), root)
    scenes = with_digests(dataset, dataset.splits["train"])
    for scene in scenes:
        assert scene.sha256 == hashlib.sha256((root / scene.image).read_bytes()).hexdigest()
    (root / scenes[0].image).unlink()
    with pytest.raises(MissingFileError):
        with_digests(dataset, scenes)


def test_the_dubai_split_keeps_areas_apart_and_has_every_scene(shared):
    splits = find_scenes(load_manifest("dubai"), shared / "data" / "dubai").splits
    assert {name: len(scenes) for name, scenes in splits.items()} == {
        "train": 45,
        "val": 9,
        "test": 18,
    }
    areas = [{scene.id.split("/")[0] for scene in scenes} for scenes in splits.values()]
    assert len(set.union(*areas)) == sum(map(len, areas)) == 8


@pytest.mark.parametrize("most", [1, 3])
def test_as_many_threads_work_at_a_time_as_are_asked_for(most):
    lock, together, working, counts = threading.Lock(), threading.Barrier(most), set(), []

    def work(item):
        with lock:
            working.add(item)
            counts.append(len(working))
        together.wait()
        with lock:
            working.discard(item)
        return -item

    assert list(in_threads(work, range(12), most)) == [-item for item in range(12)]
    assert max(counts) <= most
