"""Whatever is wrong with what a user has is refused before anything is written, and the file is named."""

import shutil
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.prepare import BENCHMARKS, PrepareSettings, prepare
from pipeline.prepare.archives import file_md5, unpack_all
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError, RsmtdfError

SIZE = 600  # px: four crops, three of them padded
IMAGE, MASK = "train/{}_sat.jpg", "train/{}_mask.png"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, counts in (("deepglobe", {"": 2}), ("loveda", {"Train": 1, "Val": 1})):
        changed = replace(BENCHMARKS[name], size=(SIZE, SIZE), counts=counts)
        monkeypatch.setitem(BENCHMARKS, name, changed)


@pytest.fixture
def root(tmp_path) -> Path:
    """DeepGlobe with two images."""
    (tmp_path / "data" / "train").mkdir(parents=True)
    for number in (1, 2):
        Image.new("RGB", (SIZE, SIZE), "#205080").save(tmp_path / "data" / IMAGE.format(number))
        Image.new("RGB", (SIZE, SIZE), "#00FF00").save(tmp_path / "data" / MASK.format(number))
    return tmp_path / "data"


@pytest.fixture
def loveda_root(tmp_path) -> Path:
    for part in ("Train", "Val"):
        for kind in ("images_png", "masks_png"):
            (tmp_path / "data" / part / "Rural" / kind).mkdir(parents=True)
            path = tmp_path / "data" / part / "Rural" / kind / "7.png"
            Image.new("RGB" if kind == "images_png" else "L", (SIZE, SIZE), 1).save(path)
    return tmp_path / "data"


def run(name, source, to, **settings):
    sources = source if isinstance(source, tuple) else (source,)
    return prepare(PrepareSettings(benchmark=name, source=sources, to=to, **settings))


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def painted(mode, size, value):
    return lambda path: Image.new(mode, size, value).save(path)


def noisy(path):
    """So that cutting the file off loses pixels."""
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    cut_off(path)


CASES = [
    ("truncated image", IMAGE, noisy, "image"),
    ("truncated mask", MASK, noisy, "image"),
    ("empty file", MASK, lambda path: path.write_bytes(b""), "cannot be read"),
    ("text for an image", IMAGE, lambda path: path.write_text("404"), "cannot be read"),
    ("mask of ids", MASK, painted("L", (SIZE, SIZE), 1), "say so with --masks ids"),
    ("image too small", IMAGE, painted("RGB", (500, SIZE), 1), "expected 600 x 600 px, found 500"),
    ("mask too small", MASK, painted("RGB", (SIZE, 500), 1), "found 600 x 500 px"),
    ("mask missing", MASK, Path.unlink, "its mask train/1_mask.png is missing"),
    ("image missing", IMAGE, Path.unlink, "its image train/1_sat.jpg is missing"),
]


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
@pytest.mark.parametrize(
    ("file", "spoil", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_wrong_file_is_named(root, tmp_path, file, spoil, message, crops):
    spoil(root / file.format(1))
    with pytest.raises(RsmtdfError) as caught:
        run("deepglobe", root, tmp_path / "to", crops=crops)
    assert message in str(caught.value)
    assert file.format(1) in str(caught.value)
    assert not list((tmp_path / "to").glob("*.yaml"))


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (painted("RGB", (SIZE, SIZE), "#00FF00"), "expects a mask with one band of class indices"),
        (painted("L", (SIZE, SIZE), 8), "no class has 8 (360000 px)"),
    ],
    ids=["RGB where ids are declared", "id out of range"],
)
def test_a_wrong_mask_of_ids_is_named(loveda_root, tmp_path, spoil, message, crops):
    mask = loveda_root / "Val/Rural/masks_png/7.png"
    spoil(mask)
    with pytest.raises(DataError) as caught:
        run("loveda", loveda_root, tmp_path / "to", crops=crops)
    assert message in str(caught.value)
    assert "Val/Rural/masks_png/7.png" in str(caught.value)


def test_colours_of_no_class_are_counted_and_ignored(root, tmp_path):
    mask = Image.new("RGB", (SIZE, SIZE), "#00FF00")
    mask.paste((200, 20, 20), (0, 0, 10, 10))  # red: the one corner that is no class
    mask.save(root / MASK.format(1))
    assert run("deepglobe", root, tmp_path / "a").unmatched == 100
    report = run("deepglobe", root, tmp_path / "b", crops=True)
    assert report.unmatched == 100
    with Image.open(report.root / "data_cropped/1_mask_1.png") as crop:
        ids = np.asarray(crop)
    assert (ids[:10, :10] == 255).all()
    assert (ids == 255).sum() == 100


def test_tiles_without_a_mask_are_accepted_as_unlabeled_when_partial(root, tmp_path):
    (root / MASK.format(1)).unlink()
    report = run("deepglobe", root, tmp_path, partial=True, crops=True)
    assert "its mask train/1_mask.png is missing" in " ".join(report.notes)
    assert len(list((report.root / "data_cropped").glob("*_sat_*"))) == 8
    assert len(list((report.root / "data_cropped").glob("*_mask_*"))) == 4


def test_a_part_that_is_missing_as_a_whole_is_refused_even_when_partial(loveda_root, tmp_path):
    shutil.rmtree(loveda_root / "Val")
    with pytest.raises(DataError, match="expected 1 images of part Val, found 0"):
        run("loveda", loveda_root, tmp_path / "to", partial=True)


def zipped(root: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
    return path


def test_archives_are_unpacked_once_and_prepared(root, tmp_path):
    archive = zipped(root, tmp_path / "land-cover.zip")
    shutil.rmtree(root)
    report = run("deepglobe", archive, tmp_path / "to")
    assert report.images == 2
    unpacked = tmp_path / "to/original/train/1_sat.jpg"
    before = unpacked.stat().st_mtime_ns
    # A folder that holds archives does as well; what is unpacked is not written again.
    again = run("deepglobe", archive.parent, tmp_path / "to")
    assert again.images == 2
    assert unpacked.stat().st_mtime_ns == before


def test_an_interrupted_unpacking_goes_on(root, tmp_path):
    archive = zipped(root, tmp_path / "land-cover.zip")
    to = tmp_path / "to"
    unpack_all(BENCHMARKS["deepglobe"], [archive], to, Silent(), partial=False)
    kept, lost = to / "train/1_sat.jpg", to / "train/2_sat.jpg"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    shutil.rmtree(to / ".unpacked")  # written last
    unpack_all(BENCHMARKS["deepglobe"], [archive], to, Silent(), partial=False)
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == (root / "train/2_sat.jpg").read_bytes()


def test_archives_inside_of_archives_are_unpacked_too(root, tmp_path):
    (tmp_path / "outer").mkdir()
    zipped(root / "train", tmp_path / "outer" / "inner.zip")
    shutil.rmtree(root)
    assert run("deepglobe", zipped(tmp_path / "outer", tmp_path / "x.zip"), tmp_path / "to").images


def member(name, mode=0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFREG | mode) << 16
    return info


LINK = zipfile.ZipInfo("train/1_sat.jpg")
LINK.external_attr = (stat.S_IFLNK | 0o777) << 16


@pytest.mark.parametrize(
    ("info", "name"),
    [
        (member("../evil.txt"), "../evil.txt"),
        (member("train/../../evil.txt"), "train/../../evil.txt"),
        (member("/tmp/evil.txt"), "/tmp/evil.txt"),
        (member("train\\..\\evil.txt"), "evil.txt"),
        (LINK, "train/1_sat.jpg"),
    ],
    ids=["up", "up inside", "absolute", "backslash", "link"],
)
def test_archives_that_leave_their_folder_are_refused(tmp_path, info, name):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(member("train/2_sat.jpg"), b"x")
        opened.writestr(info, b"/etc/passwd")
    if "\\" in name:
        archive.write_bytes(archive.read_bytes().replace(b"train/..", b"train\\.."))
    with pytest.raises(DataError, match="outside of the folder") as caught:
        run("deepglobe", archive, tmp_path / "to")
    assert str(archive) in str(caught.value)
    assert name in str(caught.value)
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list((tmp_path / "to").rglob("*.jpg"))


def flipped(archive):
    content = bytearray(archive.read_bytes())
    content[200] ^= 255
    archive.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [cut_off, flipped, lambda path: path.write_text("<html>404</html>")],
    ids=["cut off", "a changed byte", "no archive"],
)
def test_damaged_archives_are_named(root, tmp_path, spoil):
    archive = zipped(root, tmp_path / "land-cover.zip")
    spoil(archive)
    with pytest.raises(DataError, match="whole zip archive") as caught:
        run("deepglobe", archive, tmp_path / "to")
    assert str(archive) in str(caught.value)
    assert not list((tmp_path / "to").rglob("*.tmp-*"))


def test_published_checksums_are_compared(loveda_root, tmp_path):
    archive = zipped(loveda_root, tmp_path / "Train.zip")
    with pytest.raises(DataError) as caught:
        run("loveda", archive, tmp_path / "to")
    assert BENCHMARKS["loveda"].md5["Train.zip"] in str(caught.value)
    assert file_md5(archive) in str(caught.value)
    assert run("loveda", archive, tmp_path / "to", partial=True).images == 2


@pytest.mark.parametrize("name", ["a", "a.zip"])
def test_missing_sources_are_named(tmp_path, name):
    with pytest.raises(RsmtdfError, match="the source is missing") as caught:
        run("potsdam", tmp_path / name, tmp_path / "to")
    assert str(tmp_path / name) in str(caught.value)


def test_several_folders_are_refused(root, tmp_path):
    with pytest.raises(DataError, match="one folder, or archives"):
        run("deepglobe", (root, tmp_path), tmp_path / "to")


def test_an_archive_of_something_else_says_what_was_expected(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.txt").write_text("hello")
    archive = zipped(tmp_path / "x", tmp_path / "other.zip")
    with pytest.raises(RsmtdfError, match=r"\{tile\}_sat\.jpg") as caught:
        run("deepglobe", archive, tmp_path / "to")
    assert str(archive) in str(caught.value)
