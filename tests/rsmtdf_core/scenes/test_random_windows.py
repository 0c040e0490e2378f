"""Training windows at random positions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import OpenedImage, find_scenes
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import split_pairs, split_scenes
from rsmtdf_core.scenes.random_windows import free_positions
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import ScenePair, cut_scenes, image_id, region
from rsmtdf_core.validation import validate
from tests.rasters import TRANSFORM, ramp, write_tiff

from .conftest import make_manifest, manifest_values

SHARES = {"train": [0, 0.6], "val": [0.6, 0.8], "test": [0.8, 1]}
SIZES = st.lists(st.tuples(st.integers(5, 60), st.integers(5, 60)), min_size=1, max_size=3)


def windowed(window, by="crop", seed=0, **changes):
    splits = {name: {"share": share, "by": by, "seed": seed} for name, share in SHARES.items()}
    return make_manifest(**{"splits": splits, "window": window, "masks": None, **changes})


def split(manifest, sizes, masked=()):
    """Split the windows of images of these sizes; those with the numbers in `masked` have masks."""
    pairs = [
        ScenePair(f"i{n}", {"name": f"i{n}"}, f"i{n}.tif", "m.tif" if n in masked else None)
        for n in range(len(sizes))
    ]
    images = {
        pair.id: OpenedImage(
            list(cut_scenes(pair, size, manifest.window)), Frame(*size), False, None
        )
        for pair, size in zip(pairs, sizes, strict=True)
    }
    return split_scenes(manifest, split_pairs(manifest, pairs), images)


def covers(scenes, sizes):
    """Which pixels are in any of the scenes, bool [h, w] by image."""
    masks = {f"i{n}": np.zeros(size[::-1], bool) for n, size in enumerate(sizes)}
    for scene in scenes:
        top, left, height, width = region(scene)
        masks[image_id(scene.id)][top : top + height, left : left + width] = True
    return masks


@settings(max_examples=20, deadline=None)
@given(
    sizes=SIZES,
    size=st.integers(3, 20),
    gap=st.integers(0, 8),
    by=st.sampled_from(["crop", "parent", "block"]),
    buffer=st.integers(0, 6),
    seed=st.integers(0, 9),
    labeled=st.integers(0, 8),
    unlabeled=st.integers(0, 8),
)
def test_windows_stay_in_the_training_area(sizes, size, gap, by, buffer, seed, labeled, unlabeled):
    grid = {"size": size, "stride": max(1, size - gap)}
    random = {"labeled": labeled, "unlabeled": unlabeled or 1, "seed": seed}
    blocks = {"size": 24, "buffer": buffer, "unit": "px"} if by == "block" else None
    try:
        plain = split(windowed(grid, by, seed, blocks=blocks), sizes, {0})
        drawn = split(windowed({**grid, "random": random}, by, seed, blocks=blocks), sizes, {0})
    except DataError:  # no window of a split, or no place
        return
    assert drawn.grid == plain.splits
    assert drawn.left_out == plain.left_out
    assert {k: v for k, v in drawn.splits.items() if k != "train"} == {
        k: v for k, v in plain.splits.items() if k != "train"
    }
    windows = drawn.splits["train"]
    if not windows:
        assert not plain.splits["train"]
        return
    assert len({scene.id for scene in windows}) == len(windows)
    assert sum(scene.mask is not None for scene in windows) <= labeled
    assert sum(scene.mask is None for scene in windows) <= (unlabeled or 1)
    area = covers(plain.splits["train"], sizes)
    scored = covers([s for k, v in plain.splits.items() if k != "train" for s in v], sizes)
    for scene in windows:
        top, left, height, width = region(scene)
        image = image_id(scene.id)
        full = sizes[int(image[1:])]
        assert (width, height) == (min(size, full[0]), min(size, full[1]))
        assert scene.id == f"{image}@{left},{top}"
        assert (scene.mask is not None) == (image == "i0")
        part = np.s_[top : top + height, left : left + width]
        assert area[image][part].shape == (height, width)
        assert area[image][part].all()
        assert not scored[image][part].any()


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=st.tuples(st.integers(1, 14), st.integers(1, 14)))
def test_every_free_position_is_found_once(data, size):
    width, height = size
    window = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    regions = st.lists(
        st.tuples(
            st.integers(0, height - 1),
            st.integers(0, width - 1),
            st.integers(1, 14),
            st.integers(1, 14),
        ),
        max_size=4,
    ).map(
        lambda rows: np.array(
            [(y, x, min(h, height - y), min(w, width - x)) for y, x, h, w in rows], np.int64
        ).reshape(-1, 4)
    )
    inside, outside = data.draw(regions), data.draw(regions)
    labeled = inside[: data.draw(st.integers(0, 2))]
    cover = np.zeros((3, height, width), bool)
    for plane, rows in zip(cover, (inside, outside, labeled), strict=True):
        for top, left, high, wide in rows:
            plane[top : top + high, left : left + wide] = True
    expected = {}
    for top in range(height - window[1] + 1):
        for left in range(width - window[0] + 1):
            part = cover[:, top : top + window[1], left : left + window[0]]
            if part[0].all() and not part[1].any():
                expected[left, top] = bool(part[2].any())
    found = [
        ((left + x, top + y), bool(near))
        for left, top, wide, high, near in zip(
            *free_positions(size, window, inside, outside, labeled), strict=True
        )
        for y in range(high)
        for x in range(wide)
    ]
    assert len(found) == len(expected)
    assert dict(found) == expected


def draws(number, seed=0, sizes=((90, 70),)):
    grid = {"size": 8, "stride": 8, "random": {"unlabeled": number, "seed": seed}}
    scenes = split(windowed(grid, "parent"), sizes).splits["train"]
    return {scene.id for scene in scenes}


def test_windows_depend_on_the_seed_alone():
    sizes = ((90, 70),) * 8
    assert draws(40, sizes=sizes) == draws(40, sizes=sizes)
    assert draws(20, sizes=sizes) < draws(40, sizes=sizes)
    assert len(draws(40, 1, sizes) & draws(40, 2, sizes)) < 10


def test_positions_have_equal_chances():
    grid = {"size": 8, "stride": 8, "random": {"unlabeled": 4000}}
    manifest = windowed(grid, "parent", splits={"train": {}})
    lefts = [region(scene)[:2] for scene in split(manifest, [(208, 208)]).splits["train"]]
    counts = np.histogram2d(*np.array(lefts).T, bins=4, range=[[0, 201], [0, 201]])[0]
    assert np.abs(counts - 250).max() < 5 * 250**0.5


@pytest.fixture
def raster(tmp_path):
    write_tiff(tmp_path / "a.tif", ramp(3, 96, 160, np.uint8))
    mask = np.zeros((1, 96, 160), np.uint8)
    mask[:, :, 80:] = 1
    write_tiff(tmp_path / "a-mask.tif", mask)
    return tmp_path


def test_windows_are_read_and_checked(raster):
    manifest = windowed(
        {"size": 32, "stride": 32, "random": {"labeled": 6, "seed": 3}},
        images="{name}.tif",
        masks="{name}-mask.tif",
    )
    dataset = find_scenes(manifest, raster)
    reader = SceneReader(dataset)
    whole = ramp(3, 96, 160, np.uint8).transpose(1, 2, 0)
    assert len(dataset.splits["train"]) == 6
    for scene in dataset.splits["train"]:
        top, left, height, width = region(scene)
        np.testing.assert_array_equal(
            reader.image(scene), whole[top : top + height, left : left + width]
        )
        assert reader.mask(scene).shape == (32, 32)
    check = check_dataset(manifest, raster)
    assert not check.problems
    train = check.splits[0]
    assert (train.name, train.scenes, train.labeled) == ("train", 6, 6)
    assert sum(train.pixels.values()) + train.ignored == 32 * 32 * 9
    assert any(
        "6 labeled and 0 unlabeled windows at random positions (seed 3)" in n for n in check.notes
    )


def test_windows_have_the_labels_of_shapes(raster):
    vectors = pytest.importorskip("tests.vectors")
    west, north = TRANSFORM @ (70, 40)
    east, south = TRANSFORM @ (84, 50)
    box = vectors.shapely.box(west, south, east, north)
    vectors.write_vector(raster / "labels.gpkg", [box])
    manifest = make_manifest(
        images="a.{name}",
        masks="labels.gpkg",
        mask_encoding={"encoding": "shapes"},
        classes=[{"name": "roof", "color": "#FF0000"}],
        unscored=[],
        splits={"train": {}},
        window={"size": 24, "stride": 24, "random": {"labeled": 12, "unlabeled": 12}},
    )
    dataset = find_scenes(manifest, raster)
    reader = SceneReader(dataset)
    masked = [scene for scene in dataset.splits["train"] if scene.mask is not None]
    assert len(masked) == 12
    assert len(dataset.splits["train"]) == 24
    for scene in masked:
        assert (reader.mask(scene) == 0).any()
    for scene in set(dataset.splits["train"]) - set(masked):
        top, left, height, width = region(scene)
        assert top + height <= 40 or top >= 50 or left + width <= 70 or left >= 84


def test_windows_without_labels_need_a_place(raster):
    manifest = windowed(
        {"size": 32, "stride": 32, "random": {"unlabeled": 6}},
        images="{name}.tif",
        masks="{name}-mask.tif",
    )
    with pytest.raises(DataError, match="no place for an unlabeled window") as caught:
        find_scenes(manifest, raster)
    assert "unlabeled" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": {"size": 8, "stride": 8, "random": {}}}, "a number of labeled or unlabeled"),
        ({"window": {"size": 8, "stride": 8, "random": {"labeled": -1}}}, "labeled"),
        ({"splits": {"train": {"scenes": ["a@0,0"]}}}, "splits.train must be a rule"),
        ({"splits": {"test": {}}}, "splits.train must be a rule"),
    ],
)
def test_manifests_without_a_draw_are_refused(changes, message):
    window = {"size": 8, "stride": 8, "random": {"labeled": 1}}
    values = manifest_values(**{"window": window, "splits": {"train": {}}, **changes})
    with pytest.raises(ConfigError, match=message):
        validate(Manifest, values, "manifest")


def test_a_manifest_without_random_windows_is_written_as_before():
    assert make_manifest(window={"size": 8, "stride": 8}).model_dump()["window"] == {
        "size": 8,
        "stride": 8,
    }
