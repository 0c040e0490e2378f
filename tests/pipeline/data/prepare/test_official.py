"""Official lists select the crops that the official loader reads, by each dataset's path convention."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.prepare import BENCHMARKS
from pipeline.data.prepare.official import read_official
from pipeline.plan import training_scenes
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.reader import SceneReader

from .conftest import opened, run

SIZE = 1200  # px: 3 x 3 crops, the last of a row or column of 176 px
LINES = {
    "potsdam": "image/top_potsdam_2_10_{0}_RGB.tif label/top_potsdam_2_10_{0}_label.tif",
    "deepglobe": "data_cropped/266_sat_{0}.jpg data_cropped/266_mask_{0}.png",
    "loveda": "loveda/Train/Rural/images_png/0_{0}.png loveda/Train/Rural/masks_png/0_{0}.png",
}
NAMES = {
    "potsdam": ("RGB/top_potsdam_2_10_RGB.tif", "labels/top_potsdam_2_10_label.tif"),
    "deepglobe": ("266_sat.jpg", "266_mask.png"),
    "loveda": ("Train/Rural/images_png/0.png", "Train/Rural/masks_png/0.png"),
}
CROPS = {"labeled": [3, 1], "unlabeled": [9, 2], "val": [5, 4], "test": [8, 6]}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, benchmark in list(BENCHMARKS.items()):
        counts = {"Train": 1, "Val": 1} if name == "loveda" else {"": 1}
        monkeypatch.setitem(BENCHMARKS, name, replace(benchmark, size=(SIZE, SIZE), counts=counts))


@pytest.fixture(params=["potsdam", "deepglobe", "loveda"])
def name(request):
    return request.param


@pytest.fixture
def tile(name, tmp_path):
    """A tile in the original layout; return the folder."""
    rng = np.random.default_rng(0)
    image, mask = (tmp_path / "tiles" / path for path in NAMES[name])
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    grid = rng.integers(0, 255, (30, 30, 3)).astype(np.uint8)
    Image.fromarray(grid.repeat(40, 0).repeat(40, 1)).save(image)
    if name == "loveda":
        ids = rng.integers(0, 8, (30, 30)).astype(np.uint8)
    else:
        palette = load_manifest(name).palette
        ids = palette[rng.integers(0, len(palette), (30, 30))]
    Image.fromarray(ids.repeat(40, 0).repeat(40, 1)).save(mask)
    if name == "loveda":  # its own splits need an image of Val too
        shutil.copytree(tmp_path / "tiles" / "Train", tmp_path / "tiles" / "Val")
    return tmp_path / "tiles"


def write_lists(folder, name, crops=CROPS):
    share = folder / "splits" / "1"
    share.mkdir(parents=True)
    for split, numbers in crops.items():
        list_folder = share if split.endswith("labeled") else share.parent
        lines = [LINES[name].format(number) for number in numbers]
        (list_folder / f"{split}.txt").write_bytes("\r\n".join(lines).encode() + b"\r\n")
    return share


def officially_cut(name, tile, folder):
    """The crops as the official script writes them, at the paths in the lists."""
    image, mask = (opened(tile / path) for path in NAMES[name])
    if name != "loveda":
        palette = load_manifest(name).palette
        mask = (mask[:, :, None] == palette).all(axis=3).argmax(axis=2).astype(np.uint8)
    for number in range(1, 10):
        top, left = (number - 1) // 3 * 512, (number - 1) % 3 * 512
        for whole, path in zip((image, mask), LINES[name].format(number).split(), strict=True):
            part = whole[top : top + 512, left : left + 512]
            crop = np.zeros((512, 512, *whole.shape[2:]), np.uint8)
            crop[: part.shape[0], : part.shape[1]] = part
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(folder / path)
    return folder


def load_plainly(name, line, folder):
    """Image and mask of a line of a list, read as the official code does."""
    image, mask = line.split(" ")
    pixels = np.asarray(Image.open(folder / image).convert("RGB"))
    ids = np.asarray(Image.open(folder / mask))
    return pixels, (ids - 1 if name == "loveda" else ids)


def scenes_of(report):
    manifest = load_manifest(str(report.manifests[0].path))
    dataset = find_scenes(manifest, report.root)
    labeled = set(manifest.labeled)
    train = dataset.splits["train"]
    return dataset, {
        "labeled": [scene for scene in train if scene.id in labeled],
        "unlabeled": [scene for scene in train if scene.id not in labeled],
        "val": dataset.splits["val"],
        "test": dataset.splits["test"],
    }


def test_crops_on_disk_are_read_as_the_official_loader_reads_them(name, tile, tmp_path):
    folder = officially_cut(name, tile, tmp_path / "crops")
    lists = write_lists(tmp_path, name)
    report = run(name, folder, tmp_path / "to", splits=(lists,), partial=False)
    dataset, split_scenes = scenes_of(report)
    reader = SceneReader(dataset)
    for split, numbers in CROPS.items():
        assert len(split_scenes[split]) == len(numbers)
        for number, scene in zip(sorted(numbers), split_scenes[split], strict=True):
            image, mask = load_plainly(name, LINES[name].format(number), folder)
            assert np.array_equal(reader.image(scene), image)
            assert np.array_equal(reader.mask(scene), mask)
    assert "(2 of 2)" in " ".join(report.manifests[0].notes)
    assert f"{name}-official-1" in report.manifests[0].notes[0]


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
def test_originals_are_split_by_the_lists_too(name, tile, tmp_path, crops):
    folder = officially_cut(name, tile, tmp_path / "crops")
    lists = write_lists(tmp_path, name)
    report = run(name, tile, tmp_path / "to", splits=(lists,), crops=crops, padding_label="ignore")
    dataset, split_scenes = scenes_of(report)
    reader = SceneReader(dataset)
    for split, numbers in CROPS.items():
        for number, scene in zip(sorted(numbers), split_scenes[split], strict=True):
            image, mask = load_plainly(name, LINES[name].format(number), folder)
            mine = reader.mask(scene)
            width, height = min(512, SIZE - (number - 1) % 3 * 512), SIZE - (number - 1) // 3 * 512
            if crops:
                assert mine.shape == (512, 512)
                assert (mine[height:] == 255).all()
            else:
                assert mine.shape == (min(512, height), width)
            assert np.array_equal(mine[:height, :width], mask[:height, :width])
            if name != "deepglobe":
                assert np.array_equal(reader.image(scene)[:height, :width], image[:height, :width])


def test_a_config_with_an_official_manifest_trains_on_the_listed_labels(tmp_path):
    """Potsdam's paths are relative to the data root; labeled scenes are those of the list."""
    from pipeline.config import load_config

    name = "potsdam"
    tiles = tmp_path / "tiles"
    for path in NAMES[name]:
        (tiles / path).parent.mkdir(parents=True)
        Image.new("RGB", (SIZE, SIZE), "#00FF00").save(tiles / path)
    report = run(name, tiles, tmp_path / "to", splits=(write_lists(tmp_path, name),))
    manifest = report.manifests[0].path
    config = load_config("folder", [f"data.manifest={manifest}", f"data.root={report.root}"])
    labeled, unlabeled = training_scenes(scenes_of(report)[0], config)
    assert {scene.id for scene in labeled} == {"2/10@0,0", "2/10@1024,0"}
    assert {scene.id for scene in unlabeled} == {"2/10@512,0", "2/10@1024,1024"}


def replaced(split, text):
    def change(share):
        list_folder = share if split.endswith("labeled") else share.parent
        (list_folder / f"{split}.txt").write_bytes(
            text if isinstance(text, bytes) else text.encode()
        )

    return change


POTSDAM = LINES["potsdam"]


@pytest.mark.parametrize(
    ("change", "message", "file"),
    [
        (replaced("val", POTSDAM.format(3)), "listed twice", "val.txt, line 1"),
        (
            replaced("labeled", f"{POTSDAM.format(3)}\n{POTSDAM.format(3)}"),
            "already in line 1",
            "labeled.txt, line 2",
        ),
        (replaced("test", POTSDAM.format(10)), "crops 1 to 9, found 10", "test.txt, line 1"),
        (replaced("test", POTSDAM.format(0)), "crops 1 to 9, found 0", "test.txt, line 1"),
        (
            replaced("test", POTSDAM.format(7).replace("2_10", "7_13")),
            "top_potsdam_7_13_RGB.tif",
            "test.txt, line 1",
        ),
        (
            replaced("test", "image/top_potsdam_2_10_7_RGB.tif label/top_potsdam_2_10_8_label.tif"),
            "image and mask are different crops",
            "test.txt, line 1",
        ),
        (replaced("test", LINES["deepglobe"].format(1)), "lists of potsdam", "test.txt, line 1"),
        (replaced("test", "../a.tif b.tif"), "leads out", "test.txt, line 1"),
        (replaced("test", POTSDAM.format(7).encode("utf-16")), "UTF-8", "test.txt"),
        (replaced("test", "\n"), "the list is empty", "test.txt"),
        (lambda share: (share.parent / "test.txt").unlink(), "test.txt is missing", "test.txt"),
        (lambda share: (share / "labeled.txt").unlink(), "labeled.txt is missing", "labeled.txt"),
    ],
    ids=[
        "in two splits",
        "twice in one",
        "number too high",
        "number 0",
        "no such tile",
        "pair mixed up",
        "other dataset",
        "path escape",
        "UTF-16",
        "empty",
        "no test list",
        "no labeled list",
    ],
)
def test_lists_that_do_not_fit_are_refused_with_file_and_line(tmp_path, change, message, file):
    for path in NAMES["potsdam"]:
        (tmp_path / "tiles" / path).parent.mkdir(parents=True)
        Image.new("RGB", (SIZE, SIZE), "#00FF00").save(tmp_path / "tiles" / path)
    share = write_lists(tmp_path, "potsdam")
    change(share)
    with pytest.raises((DataError, MissingFileError)) as caught:
        run("potsdam", tmp_path / "tiles", tmp_path / "to", splits=(share,), partial=False)
    assert message in str(caught.value)
    assert file in str(caught.value)
    assert caught.value.remedy
    assert not (tmp_path / "to").exists()


def test_listed_crops_that_are_not_on_disk_are_named_or_left_out(tmp_path):
    folder = tmp_path / "crops"
    for number in (1, 2, 3, 4, 5, 6, 8):
        for path in POTSDAM.format(number).split():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            mode = "RGB" if path.startswith("image") else "L"
            Image.new(mode, (512, 512)).save(folder / path)
    share = write_lists(tmp_path, "potsdam")
    with pytest.raises(DataError, match="1 of 8 listed crops are missing") as caught:
        run("potsdam", folder, tmp_path / "to", splits=(share,), partial=False)
    assert "unlabeled.txt, line 1" in str(caught.value)
    assert "image/top_potsdam_2_10_9_RGB.tif" in str(caught.value)
    report = run("potsdam", folder, tmp_path / "to", splits=(share,))
    assert report.manifests[0].scenes["train"] == 3
    assert "1 of 8 listed crops are left out" in " ".join(report.manifests[0].notes)


def one_green_tile(folder):
    for path in NAMES["potsdam"]:
        (folder / path).parent.mkdir(parents=True)
        Image.new("RGB", (SIZE, SIZE), "#00FF00").save(folder / path)
    return folder


def in_another_tile(*splits):
    """Return lists whose crops of these splits are of tile 7_13, which is not on disk."""

    def change(share):
        for split in splits:
            lines = "\n".join(POTSDAM.format(number) for number in CROPS[split])
            replaced(split, lines.replace("2_10", "7_13"))(share)

    return change


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
def test_without_a_labeled_crop_on_disk_lists_are_refused_in_a_sentence(tmp_path, crops):
    tiles = one_green_tile(tmp_path / "tiles")
    share = write_lists(tmp_path, "potsdam")
    in_another_tile("labeled")(share)
    with pytest.raises(
        DataError, match="none of the 2 labeled crops of potsdam-official-1"
    ) as error:
        run("potsdam", tiles, tmp_path / "to", splits=(share,), crops=crops)
    assert "in the 1 image below" in str(error.value)
    assert "RGB/top_potsdam_7_13_RGB.tif" in str(error.value)
    assert "labeled.txt, line 1" in error.value.where
    assert "leave out --splits" in error.value.remedy
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
def test_other_lists_without_a_crop_on_disk_become_splits_without_scenes(tmp_path, crops):
    tiles = one_green_tile(tmp_path / "tiles")
    share = write_lists(tmp_path, "potsdam")
    in_another_tile("unlabeled", "val", "test")(share)
    report = run("potsdam", tiles, tmp_path / "to", splits=(share,), crops=crops)
    assert report.manifests[0].scenes == {"train": 2, "val": 0, "test": 0}
    assert "6 of 8 listed crops are left out" in " ".join(report.manifests[0].notes)


@pytest.mark.parametrize("text", [None, "", "\n  \r\n", "\ufeff"])
def test_without_unlabeled_crops_all_training_crops_are_labeled(tmp_path, text):
    share = write_lists(tmp_path, "deepglobe")
    if text is None:
        (share / "unlabeled.txt").unlink()
    else:
        (share / "unlabeled.txt").write_text(text, encoding="utf-8")
    lists = read_official(BENCHMARKS["deepglobe"], share)
    assert lists.unlabeled == ()
    assert [crop.number for crop in lists.splits["train"]] == [3, 1]


def test_lists_may_be_in_a_single_folder_and_name_crops_without_their_folder(tmp_path):
    share = tmp_path / "one"
    share.mkdir()
    for number, split in enumerate(("labeled", "unlabeled", "val", "test"), 1):
        (share / f"{split}.txt").write_text(f"266_sat_{number}.jpg 266_mask_{number}.png\n")
    lists = read_official(BENCHMARKS["deepglobe"], Path(share))
    assert [crop.id for crop in (*lists.labeled, *lists.test)] == ["266/1", "266/4"]


def test_lists_and_crops_need_the_folders_that_identify_a_tile(tmp_path):
    share = write_lists(tmp_path, "loveda")
    officially = tmp_path / "loveda" / "Train" / "Rural"
    for kind in ("images_png", "masks_png"):
        (officially / kind).mkdir(parents=True)
        Image.new("L", (512, 512)).save(officially / kind / "0_1.png")
    with pytest.raises(MissingFileError, match=r"\{part\}/\{area\}/images_png") as caught:
        run("loveda", officially.parent, tmp_path / "to", splits=(share,))
    assert str(officially.parent) in str(caught.value)
    replaced("labeled", "0_3.png 0_3.png")(share)
    with pytest.raises(DataError, match="lists of loveda") as caught:
        read_official(BENCHMARKS["loveda"], share)
    assert "labeled.txt, line 1" in str(caught.value)


def test_two_folders_of_one_name_are_not_mixed(tmp_path):
    shares = tuple(write_lists(tmp_path / list_folder, "potsdam") for list_folder in ("a", "b"))
    with pytest.raises(DataError, match="one manifest, potsdam-official-1") as caught:
        run("potsdam", tmp_path, tmp_path / "to", splits=shares)
    assert str(shares[1]) in str(caught.value)
