"""Each benchmark in its original layout, prepared as windows and as crops."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.data.prepare import BENCHMARKS, PrepareSettings, crops, prepare
from rsmtdf_core.errors import ConfigError, DataError, MissingFileError, WriteError
from rsmtdf_core.scenes.find import find_pairs, find_scenes
from rsmtdf_core.scenes.labeled import draw_labeled
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.members import split_pairs
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.validation import validate
from tests.refusals import largest_file

from .conftest import opened, run

pytestmark = pytest.mark.shared


def dataset_of(report, index=0):
    return find_scenes(load_manifest(str(report.manifests[index].path)), report.root)


def everything(dataset):
    return [scene for scenes in dataset.splits.values() for scene in scenes]


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("name", "palette", "unscored"),
    [
        (
            "loveda",
            "255,255,255 255,0,0 255,255,0 0,0,255 159,129,183 0,255,0 255,195,128",
            (),
        ),
        ("potsdam", "255,255,255 0,0,255 0,255,255 0,255,0 255,255,0 255,0,0", ("clutter",)),
        (
            "deepglobe",
            "0,255,255 255,255,0 255,0,255 0,255,0 0,0,255 255,255,255 0,0,0",
            ("unknown",),
        ),
    ],
)
def test_palettes_and_scored_classes_are_the_published_ones(name, palette, unscored):
    for manifest in map(load_manifest, BENCHMARKS[name].manifests):
        assert " ".join(",".join(map(str, color)) for color in manifest.palette) == palette
        assert manifest.unscored == unscored


def test_loveda_windows_have_raw_ids_less_one(loveda, tmp_path):
    report = run("loveda", loveda, tmp_path)
    assert report.root == loveda
    assert [manifest.path.stem for manifest in report.manifests] == [
        "loveda",
        "loveda-published",
        "loveda-areas",
    ]
    assert report.manifests[1].scenes == {"train": 8, "val": 2, "test": 2}
    assert files(tmp_path) == ["loveda-areas.yaml", "loveda-published.yaml", "loveda.yaml"]
    dataset = dataset_of(report, 1)
    reader = SceneReader(dataset)
    for scene in everything(dataset):
        left, top = scene.window.left, scene.window.top
        raw = opened(loveda / scene.mask)[top : top + 512, left : left + 512]
        assert np.array_equal(reader.mask(scene), np.where(raw == 0, 255, raw - 1))
        assert (scene.width, scene.height) == (512, 512)


def test_loveda_crops_are_the_windows_of_the_same_split(loveda, tmp_path):
    windows = run("loveda", loveda, tmp_path / "windows")
    crops = run("loveda", loveda, tmp_path / "crops", crops=True)
    assert len(files(crops.root / "Train")) == 2 * 2 * 4
    assert "Val/Rural/images_png/2_4.png" in files(crops.root)
    seen = dataset_of(windows, 1), dataset_of(crops, 1)
    readers = [SceneReader(dataset) for dataset in seen]
    for split in ("train", "val", "test"):
        window_scenes, crop_scenes = (dataset.splits[split] for dataset in seen)
        assert len(window_scenes) == len(crop_scenes)
        for window, crop in zip(window_scenes, crop_scenes, strict=True):
            assert np.array_equal(readers[0].image(window), readers[1].image(crop))
            assert np.array_equal(readers[0].mask(window), readers[1].mask(crop))
    assert set(np.unique(readers[1].mask(seen[1].splits["train"][0]))) <= {*range(7), 255}


def test_deepglobe_has_25_windows_an_image_and_thresholded_classes(deepglobe, tmp_path):
    report = run("deepglobe", deepglobe, tmp_path)
    assert report.images == 2  # valid/ has images without masks, which are not counted
    assert report.unmatched == 0
    assert sum(report.manifests[0].scenes.values()) == 50
    dataset = dataset_of(report)
    reader = SceneReader(dataset)
    present = set()
    for scene in everything(dataset):
        present |= set(np.unique(reader.mask(scene)).tolist())
    assert present == {0, 1, 2, 4, 5}  # urban, agriculture; water, rangeland, agriculture, barren
    sizes = sorted({(scene.width, scene.height) for scene in everything(dataset)})
    assert sizes == [(400, 400), (400, 512), (512, 400), (512, 512)]


@pytest.mark.parametrize(("label", "padding"), [("ignore", 255), ("dwl", 0)])
def test_deepglobe_crops_are_padded_at_the_right_and_bottom(deepglobe, tmp_path, label, padding):
    report = run("deepglobe", deepglobe, tmp_path, crops=True, padding_label=label)
    folder = report.root / "data_cropped"
    assert len(list(folder.glob("*_sat_*.jpg"))) == len(list(folder.glob("*_mask_*.png"))) == 50
    colors = opened(deepglobe / "train" / "606_mask.png")
    # Crop 12 is the second of the third row, counted from 1.
    expected = ((colors[1024:1536, 512:1024] >= 128) * [4, 2, 1]).sum(axis=2)
    classes = {3: 0, 6: 1, 5: 2, 2: 3, 1: 4, 7: 5, 0: 6}
    mask = opened(folder / "606_mask_12.png")
    assert np.array_equal(mask, np.vectorize(classes.get)(expected))
    last = opened(folder / "606_mask_25.png")
    assert last.shape == (512, 512)
    assert (last[400:] == padding).all()
    assert (last[:, 400:] == padding).all()
    assert 255 not in last[:400, :400]
    image = opened(folder / "606_sat_25.jpg").astype(int)
    assert image[408:].max() <= 2  # JPEG blocks beyond the border
    original = opened(deepglobe / "train" / "606_sat.jpg")[2048:, 2048:].astype(int)
    assert np.abs(image[:392, :392] - original[:392, :392]).mean() < 2
    notes = " ".join(report.manifests[0].notes)
    assert ("padding is labeled urban" in notes) == (label == "dwl")
    assert ("padding is ignored, and urban in the published crops" in notes) == (label == "ignore")
    assert ("--crops --padding-label dwl" in notes) == (label == "ignore")


def test_potsdam_has_144_windows_a_tile_and_off_colors_find_their_class(
    potsdam, potsdam_ids, tmp_path
):
    report = run("potsdam", potsdam, tmp_path)
    assert sum(report.manifests[0].scenes.values()) == 144
    assert report.unmatched == (potsdam_ids == 255).sum()
    assert "partial data: expected 38 images, found 1" in report.manifests[0].notes
    dataset = dataset_of(report)
    reader = SceneReader(dataset)
    scenes = everything(dataset)
    assert {scene.id for scene in scenes} >= {"2/10@0,0", "2/10@5632,5632"}
    for scene in (scenes[0], scenes[-1]):
        left, top = scene.window.left, scene.window.top
        expected = potsdam_ids[top : top + scene.height, left : left + scene.width]
        assert np.array_equal(reader.mask(scene), expected)
    assert (scenes[-1].width, scenes[-1].height) == (368, 368)


def test_potsdam_crops_have_the_official_names_and_the_published_padding(
    potsdam, potsdam_ids, tmp_path
):
    report = run("potsdam", potsdam, tmp_path, crops=True, padding_label="dwl")
    names = files(report.root)
    assert len(names) == 2 * 144 + 1
    assert "image/top_potsdam_2_10_144_RGB.tif" in names
    assert "label/top_potsdam_2_10_1_label.tif" in names
    assert sum(report.manifests[0].scenes.values()) == 144
    last = opened(report.root / "label/top_potsdam_2_10_144_label.tif")
    assert np.array_equal(last[:368, :368], potsdam_ids[5632:, 5632:])
    assert (last[368:] == 5).all()
    image = opened(report.root / "image/top_potsdam_2_10_13_RGB.tif")
    assert np.array_equal(
        image, opened(potsdam / "2_Ortho_RGB/top_potsdam_2_10_RGB.tif")[512:1024, :512]
    )


def test_masks_with_ids_from_1_and_0_on_boundaries_are_one_more_encoding(
    shared, tmp_path, monkeypatch
):
    # The sample is a window of a tile, so the benchmark gets its size.
    monkeypatch.setitem(BENCHMARKS, "potsdam", replace(BENCHMARKS["potsdam"], size=(512, 512)))
    sample, root = shared / "data" / "potsdam_sample", tmp_path / "data"
    root.mkdir()
    for kind, name in (("images", "RGB"), ("masks", "label")):
        path = root / kind / f"top_potsdam_2_10_{name}.tif"
        path.parent.mkdir()
        Image.fromarray(opened(next((sample / kind).iterdir()))).save(path)
    with pytest.raises(DataError, match="expects a mask with colors") as caught:
        run("potsdam", root, tmp_path / "a")
    assert "masks/top_potsdam_2_10_label.tif" in str(caught.value)
    assert "--masks ids-from-1" in str(caught.value)
    report = run("potsdam", root, tmp_path / "a", masks="ids-from-1")
    dataset = dataset_of(report)
    (scene,) = everything(dataset)
    raw = opened(root / scene.mask)
    assert 0 in raw
    assert np.array_equal(SceneReader(dataset).mask(scene), np.where(raw == 0, 255, raw - 1))


def test_cutting_resumes(loveda, tmp_path):
    report = run("loveda", loveda, tmp_path, crops=True)
    ledger = report.root / "crops.jsonl"
    settings, first, *rest = ledger.read_bytes().splitlines(keepends=True)
    done = json.loads(first)["id"]
    # The state after an interruption: the second tile's line is cut short and one of its crops is missing.
    ledger.write_bytes(settings + first + rest[0][:-9])
    other = json.loads(rest[0])["id"].rpartition("/")
    (report.root / f"{other[0]}/images_png/{other[2]}_3.png").unlink()
    before = {p: p.stat().st_mtime_ns for p in report.root.rglob("*.png")}
    again = run("loveda", loveda, tmp_path, crops=True)
    assert again == report
    kept, name = done.rpartition("/")[::2]
    for crop in range(1, 5):
        path = report.root / f"{kept}/images_png/{name}_{crop}.png"
        assert path.stat().st_mtime_ns == before[path]
    assert (report.root / f"{other[0]}/images_png/{other[2]}_3.png").is_file()
    assert len(ledger.read_text().splitlines()) == 4
    assert not list(report.root.rglob("*.tmp-*"))


def test_a_tile_counts_as_cut_when_its_crops_are_on_disk(loveda, tmp_path, monkeypatch):
    def failing(paths):
        assert all(path.is_file() for path in paths)
        raise OSError("power cut")

    monkeypatch.setattr(crops, "sync_files", failing)
    with pytest.raises(OSError, match="power cut"):
        run("loveda", loveda, tmp_path, crops=True)
    assert len((tmp_path / "crops" / "crops.jsonl").read_text().splitlines()) == 1
    monkeypatch.undo()
    report = run("loveda", loveda, tmp_path, crops=True)
    assert len((report.root / "crops.jsonl").read_text().splitlines()) == 4


def test_a_disk_that_is_full_names_the_crop_and_cutting_goes_on(loveda, tmp_path):
    with (
        largest_file(20_000),
        pytest.raises(WriteError, match="the file cannot be written: ") as caught,
    ):
        run("loveda", loveda, tmp_path, crops=True)
    assert "images_png" in caught.value.where
    assert "run the same command again" in caught.value.remedy
    left = files(tmp_path)
    assert not [name for name in left if ".tmp" in name]
    kept = {name: (tmp_path / name).read_bytes() for name in left if name.endswith(".png")}
    assert run("loveda", loveda, tmp_path, crops=True).images == 3
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept


def test_crops_cut_in_another_way_are_not_mixed(deepglobe, tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    encoding = load_manifest("deepglobe").mask_encoding.model_dump(mode="json")
    settings = {"benchmark": "deepglobe", "padding": 0, "masks": encoding}
    (crops / "crops.jsonl").write_text(json.dumps(settings) + "\n")
    with pytest.raises(DataError, match="padding: expected 0, found 255"):
        run("deepglobe", deepglobe, tmp_path, crops=True)


def test_the_whole_of_loveda_gives_the_published_counts(loveda, tmp_path):
    root = tmp_path / "data"
    sources = {"Train": loveda / "Train/Rural", "Val": loveda / "Val/Rural"}
    number = 0
    for part, count in BENCHMARKS["loveda"].counts.items():
        for kind in ("images_png", "masks_png"):
            (root / part / "Rural" / kind).mkdir(parents=True)
        for _ in range(count):
            for kind in ("images_png", "masks_png"):
                source = next((sources[part] / kind).iterdir())
                (root / part / "Rural" / kind / f"{number}.png").hardlink_to(source)
            number += 1
    splits = find_scenes(load_manifest("loveda-published"), root).splits
    assert [len(splits[name]) for name in ("train", "val", "test")] == [10088, 3338, 3338]
    labeled = [len(draw_labeled(splits["train"], share, 0)[0]) for share in (0.01, 0.05, 0.1)]
    assert labeled == [100, 504, 1008]
    areas = load_manifest("loveda-areas")
    by_area = split_pairs(areas, find_pairs(areas, root))
    assert [len(by_area[name]) for name in ("train", "val", "test")] == [2270, 252, 1669]


def test_fewer_tiles_than_published_are_refused_and_named(deepglobe, tmp_path):
    with pytest.raises(DataError, match="expected 803 images, found 2") as caught:
        run("deepglobe", deepglobe, tmp_path / "to", partial=False)
    assert "--partial" in str(caught.value)
    assert not (tmp_path / "to").exists()


def test_options_that_do_not_go_together_are_refused(tmp_path):
    values = {"benchmark": "potsdam", "source": [tmp_path], "to": tmp_path}
    with pytest.raises(ConfigError, match="--padding-label needs --crops"):
        validate(PrepareSettings, {**values, "padding_label": "dwl"}, "options")
    with pytest.raises(ConfigError, match="did you mean 'loveda'"):
        validate(PrepareSettings, {**values, "benchmark": "lovda"}, "options")


def test_a_folder_without_the_benchmark_is_refused_with_the_expected_names(tmp_path):
    for source in (tmp_path, tmp_path / "nowhere"):
        settings = PrepareSettings(benchmark="potsdam", source=(source,), to=tmp_path / "to")
        with pytest.raises(MissingFileError) as caught:
            prepare(settings)
        assert str(source) in str(caught.value)
        assert "isprs.org" in str(caught.value)
