"""Splits by blocks of the ground or of rasters, with a buffer between them."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import OpenedImage, find_scenes
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import split_pairs, split_scenes
from rsmtdf_core.scenes.scene import ScenePair, cut_scenes, region
from rsmtdf_core.scenes.splits import split_notes
from rsmtdf_core.validation import validate
from tests.rasters import write_tiff

from .conftest import make_manifest, manifest_values

rasterio = pytest.importorskip("rasterio")

UTM = rasterio.crs.CRS.from_epsg(32640)
SHARES = {"train": [0, 0.5], "val": [0.5, 0.75], "test": [0.75, 1]}


def blocked(blocks, seed=0, window=None, shares=SHARES, **changes):
    splits = {name: {"share": share, "by": "block", "seed": seed} for name, share in shares.items()}
    return make_manifest(blocks=blocks, splits=splits, window=window, **changes)


def frame(size=(100, 100), left=0.0, top=0.0, pixel=1.0, crs=UTM):
    transform = rasterio.Affine(pixel, 0, left, 0, -pixel, top)
    return Frame(size[0], size[1], crs, transform)


def split_frames(manifest, frames, masked=True):
    """Split the windows of images that are given by their frames, in the order of the mapping."""
    pairs = [
        ScenePair(name, {"name": name}, f"{name}.tif", "m.tif" if masked else None)
        for name in frames
    ]
    images = {
        pair.id: OpenedImage(
            list(cut_scenes(pair, (size.width, size.height), manifest.window)), size, False, None
        )
        for pair, size in zip(pairs, frames.values(), strict=True)
    }
    splits, left_out, _ = split_scenes(manifest, split_pairs(manifest, pairs), images)
    return splits, left_out


def box(scene, frames):
    """West, south, east and north of a scene on the ground, or its pixels without a georeference."""
    top, left, height, width = region(scene)
    a, b, c, d, e, f = frames[scene.image.removesuffix(".tif")].transform[:6]
    assert b == d == 0
    return a * left + c, e * (top + height) + f, a * (left + width) + c, e * top + f


def least_distance(first, second):
    """Least distance of two groups of boxes; negative if two of them overlap, infinite for empty groups."""
    if not first or not second:
        return math.inf
    one, two = np.array(first)[:, None], np.array(second)[None]
    gaps = np.maximum(one[..., :2] - two[..., 2:], two[..., :2] - one[..., 2:])
    distances = np.hypot(*np.moveaxis(np.maximum(gaps, 0), 2, 0))
    return float(np.where((gaps < 0).all(axis=2), gaps.max(axis=2), distances).min())


def windows(least=6, most=20):
    """Size and stride of windows."""
    sizes = st.integers(least, most)
    return sizes.flatmap(
        lambda size: st.integers(max(2, 2 * size // 3), size).map(
            lambda stride: {"size": size, "stride": stride}
        )
    )


@given(
    window=windows(),
    block=st.integers(20, 60),
    buffer=st.integers(0, 12),
    corners=st.lists(
        st.tuples(st.integers(-150, 150), st.integers(-150, 150)), min_size=1, max_size=3
    ),
    pixel=st.sampled_from([0.5, 1.0, 0.3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30)
def test_scenes_of_different_splits_are_as_far_apart_as_the_buffer(
    window, block, buffer, corners, pixel, seed
):
    frames = {
        f"i{number}": frame((97, 64), left, top, pixel)
        for number, (left, top) in enumerate(corners)
    }
    manifest = blocked({"size": block, "buffer": buffer}, seed, window)
    try:
        splits, left_out = split_frames(manifest, frames)
    except DataError:
        assume(False)
    for first, second in combinations(splits.values(), 2):
        boxes = ([box(scene, frames) for scene in scenes] for scenes in (first, second))
        assert least_distance(*boxes) >= buffer - 1e-3 * block
    total = sum(
        len(list(cut_scenes(ScenePair(n, {}, n, None), (97, 64), manifest.window))) for n in frames
    )
    assert sum(map(len, splits.values())) + sum(left_out.values()) == total


@given(
    window=windows(),
    block=st.integers(20, 60),
    buffer=st.integers(0, 12),
    sizes=st.lists(st.tuples(st.integers(20, 120), st.integers(20, 120)), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
@settings(max_examples=30)
def test_blocks_in_pixels_keep_the_buffer_in_each_image(window, block, buffer, sizes, seed):
    frames = {f"i{number}": Frame(*size) for number, size in enumerate(sizes)}
    manifest = blocked({"size": block, "buffer": buffer, "unit": "px"}, seed, window)
    try:
        splits, _ = split_frames(manifest, frames)
    except DataError:
        assume(False)
    for first, second in combinations(splits.values(), 2):
        for image in frames:
            boxes = (
                [
                    (left, top, left + width, top + height)
                    for top, left, height, width in map(region, scenes)
                ]
                for scenes in (
                    [scene for scene in scenes if scene.image == f"{image}.tif"]
                    for scenes in (first, second)
                )
            )
            assert least_distance(*boxes) >= buffer


@given(st.permutations(range(5)), st.integers(0, 50))
@settings(max_examples=30)
def test_the_order_of_files_makes_no_difference(order, seed):
    frames = {f"i{number}": frame((80, 80), 70.0 * number, 5.0 * number) for number in range(5)}
    manifest = blocked({"size": 40, "buffer": 4}, seed, {"size": 10, "stride": 10})
    expected, left_out = split_frames(manifest, frames)
    shuffled, others = split_frames(
        manifest, {f"i{number}": frames[f"i{number}"] for number in order}
    )
    assert left_out == others
    for split, scenes in expected.items():
        assert set(scenes) == set(shuffled[split])


def test_blocks_are_squares_of_one_grid_across_images():
    frames = {"west": frame((100, 200)), "east": frame((100, 200), 100.0)}
    manifest = blocked(
        {"size": 100}, 3, {"size": 20, "stride": 20}, {"train": [0, 0.5], "test": [0.5, 1]}
    )
    splits, left_out = split_frames(manifest, frames)
    assert left_out == {"train": 0, "test": 0}
    blocks = [
        {(math.floor(b[0] / 100), math.floor(b[1] / 100)) for b in (box(s, frames) for s in scenes)}
        for scenes in splits.values()
    ]
    assert [len(scenes) for scenes in splits.values()] == [50, 50]
    assert len(blocks[0]) == len(blocks[1]) == 2
    assert not blocks[0] & blocks[1]


def test_scenes_within_the_buffer_are_left_out_and_others_are_not():
    frames = {"a": frame((100, 50), 0.0, 50.0)}
    manifest = blocked(
        {"size": 50, "buffer": 15},
        0,
        {"size": 10, "stride": 10},
        {"train": [0, 0.5], "test": [0.5, 1]},
    )
    splits, left_out = split_frames(manifest, frames)
    # Of ten columns, the two next to the middle of each block are nearer than 15 to the other block.
    assert left_out == {"train": 10, "test": 10}
    columns = {split: {scene.window.left for scene in scenes} for split, scenes in splits.items()}
    assert sorted(columns.values(), key=min) == [{0, 10, 20}, {70, 80, 90}]


def test_the_share_is_that_of_scenes_and_seeds_differ():
    frames = {"a": frame((1000, 1000), 3.0, 7.0)}
    shares = set()
    for seed in range(5):
        splits, left_out = split_frames(
            blocked({"size": 100}, seed, {"size": 20, "stride": 20}), frames
        )
        counts = {split: len(scenes) + left_out[split] for split, scenes in splits.items()}
        assert sum(counts.values()) == 2500
        assert counts["train"] == pytest.approx(1250, abs=26)
        assert counts["test"] == pytest.approx(625, abs=26)
        shares.add(frozenset(scene.id for scene in splits["test"]))
    assert len(shares) == 5


def test_images_of_two_zones_share_the_grid_of_a_named_crs():
    shapely = pytest.importorskip("shapely")
    from rasterio.warp import transform

    # Around 12 degrees east, the border of the zones 32 and 33.
    zones = {"a": 32632, "b": 32633}
    frames = {}
    for name, epsg in zones.items():
        crs = rasterio.crs.CRS.from_epsg(epsg)
        (x,), (y,) = transform("EPSG:4326", crs, [11.99 if name == "a" else 12.0], [48.0])
        frames[name] = frame((300, 300), x, y, 5.0, crs)
    with pytest.raises(DataError, match=r'different coordinate[^$]*crs: "EPSG:32632"'):
        split_frames(blocked({"size": 300, "buffer": 60}, 1, {"size": 30, "stride": 30}), frames)
    manifest = blocked(
        {"size": 300, "buffer": 60, "crs": "EPSG:32632"}, 1, {"size": 30, "stride": 30}
    )
    splits, left_out = split_frames(manifest, frames)
    assert {scene.image for scene in splits["test"]} | {scene.image for scene in splits["val"]} == {
        "a.tif",
        "b.tif",
    }

    def shape(scene):
        west, south, east, north = box(scene, frames)
        crs = frames[scene.image[0]].crs
        xs, ys = transform(
            crs, "EPSG:32632", [west, east, east, west], [south, south, north, north]
        )
        return shapely.Polygon(zip(xs, ys, strict=True))

    shapes = {split: [shape(scene) for scene in scenes] for split, scenes in splits.items()}
    nearest = min(
        np.min(shapely.distance(np.array(first)[:, None], np.array(second)[None]))
        for first, second in combinations(shapes.values(), 2)
    )
    assert 60 <= nearest < 200
    assert sum(left_out.values()) > 0


@pytest.mark.parametrize(
    ("frames", "blocks", "message"),
    [
        ({"a": Frame(100, 100)}, {"size": 40}, "no place on a grid.*no georeference"),
        (
            {"a": frame((100, 100), 9.0, 48.0, 1e-4, rasterio.crs.CRS.from_epsg(4326))},
            {"size": 40},
            'need a projected.*EPSG:4326(.|\n)*crs: "EPSG:32632"',
        ),
        ({"a": frame()}, {"size": 40, "crs": "EPSG:4326"}, "need a projected"),
        ({"a": frame()}, {"size": 40, "crs": "EPSG:nothing"}, "is no coordinate reference system"),
        ({"a": frame()}, {"size": 8}, "smaller than the scenes of this image, 10 m"),
        ({"a": frame()}, {"size": 1000}, "too few blocks: none is drawn for split"),
        ({"a": frame()}, {"size": 25, "buffer": 20}, "every scene of split .* is too near"),
    ],
)
def test_blocks_that_do_not_fit_the_images_are_refused(frames, blocks, message):
    with pytest.raises((DataError, ConfigError), match=f"(?s){message}"):
        split_frames(blocked(blocks, 0, {"size": 10, "stride": 10}), frames)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"train": {"by": "block"}}}, "so `blocks` must be set"),
        ({"blocks": {"size": 10}}, "no split has `by: block`"),
        ({"blocks": {"size": 10, "buffer": 10}}, "leaves no scene in blocks"),
        ({"blocks": {"size": 10, "unit": "px", "crs": "EPSG:32640"}}, "a grid in px has no crs"),
        ({"blocks": {"size": 0}}, "blocks.size"),
    ],
)
def test_incoherent_blocks_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(Manifest, manifest_values(**changes), "tiny.yaml")


def test_images_without_a_mask_are_for_training_only(tmp_path):
    values = np.arange(3 * 64 * 64).reshape(3, 64, 64).astype(np.uint8)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for name in "ab":
        write_tiff(tmp_path / "images" / f"{name}.tif", values + ord(name))
    write_tiff(tmp_path / "masks" / "a.tif", np.ones((1, 64, 64), np.uint8))
    window = {"size": 8, "stride": 8}
    manifest = blocked(
        {"size": 16, "buffer": 4, "unit": "px"}, 2, window, {"train": [0, 0.5], "test": [0.5, 1]}
    )
    dataset = find_scenes(manifest, tmp_path)
    assert {scene.image for scene in dataset.splits["test"]} == {"images/a.tif"}
    unlabeled = [scene for scene in dataset.splits["train"] if scene.mask is None]
    assert len(unlabeled) == 64
    check = check_dataset(manifest, tmp_path)
    assert not check.problems
    assert {split.name: split.left_out for split in check.splits} == dataset.left_out
    (note,) = [note for note in check.notes if note.startswith("by block")]
    assert note.startswith("by block: blocks of 16 px with a buffer of 4 px; scenes too near")
    assert note in split_notes(dataset)
    assert not any("by crop" in sentence for sentence in split_notes(dataset))
