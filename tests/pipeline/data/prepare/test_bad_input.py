"""Whatever is wrong with what a user has is refused before anything is written, and the file is named."""

import shutil
import stat
import warnings
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.prepare import BENCHMARKS, PrepareSettings, archives, prepare
from pipeline.data.prepare.archives import file_md5, unpack, unpack_all
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError, RsmtdfError
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest

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


def truncated(*bands):
    """Noise, so that cutting the file off loses pixels."""

    def spoil(path):
        pixels = np.random.default_rng(0).integers(0, 8, (SIZE, SIZE, *bands)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        cut_off(path)

    return spoil


def sixteen_bits(path):
    Image.fromarray(np.full((SIZE, SIZE), 3000, np.uint16)).save(path)


def refused(name, source, to, *words, **settings):
    """Refused with all words and a way to mend it; nothing half-written is left."""
    with pytest.raises(RsmtdfError) as caught:
        run(name, source, to, **settings)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.where
    assert caught.value.remedy
    assert not list(to.glob("*.yaml"))
    assert not list(to.rglob("*.tmp-*"))


CASES = [
    ("truncated image", IMAGE, truncated(3), "image"),
    ("truncated mask", MASK, truncated(3), "image"),
    ("empty file", MASK, lambda path: path.write_bytes(b""), "cannot be read"),
    ("text for an image", IMAGE, lambda path: path.write_text("404"), "cannot be read"),
    ("mask of ids", MASK, painted("L", (SIZE, SIZE), 1), "say so with --masks ids"),
    ("mask of two bands", MASK, painted("LA", (SIZE, SIZE), (1, 1)), "expects a mask with colours"),
    ("folder for an image", IMAGE, lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
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
    refused("deepglobe", root, tmp_path / "to", message, file.format(1), crops=crops)


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
@pytest.mark.parametrize(
    ("kind", "spoil", "message"),
    [
        ("masks", painted("RGB", (SIZE, SIZE), "#00FF00"), "one band of class indices"),
        ("masks", painted("LA", (SIZE, SIZE), (1, 1)), "one band of class indices"),
        ("masks", painted("L", (SIZE, SIZE), 8), "no class has 8 (360000 px)"),
        ("masks", truncated(), "cannot be read"),
        ("images", truncated(3), "cannot be read"),
        ("images", sixteen_bits, "expected bands of 8 bits"),
    ],
    ids=[
        "RGB where ids are declared",
        "two bands where ids are declared",
        "id out of range",
        "truncated PNG mask",
        "truncated PNG image",
        "16 bits",
    ],
)
def test_a_wrong_png_is_named(loveda_root, tmp_path, kind, spoil, message, crops):
    file = f"Val/Rural/{kind}_png/7.png"
    spoil(loveda_root / file)
    refused("loveda", loveda_root, tmp_path / "to", message, file, crops=crops)


def test_a_mask_of_nodata_alone_is_one_without_classes(loveda_root, tmp_path):
    painted("L", (SIZE, SIZE), 0)(loveda_root / "Val/Rural/masks_png/7.png")
    assert run("loveda", loveda_root, tmp_path / "to").unmatched == 0
    report = run("loveda", loveda_root, tmp_path / "crops", crops=True)
    with Image.open(report.root / "Val/Rural/masks_png/7_1.png") as crop:
        assert (np.asarray(crop) == 255).all()


def test_folders_may_have_spaces_but_no_sign_of_a_pattern(root, tmp_path):
    spaced = tmp_path / "my data" / "Deep Globe"
    spaced.mkdir(parents=True)
    root.joinpath("train").rename(spaced / "train 1")
    report = run("deepglobe", spaced.parent, tmp_path / "to")
    manifest = load_manifest(str(report.manifests[0].path))
    assert manifest.images == "Deep Globe/train 1/{tile}_sat.jpg"
    assert sum(map(len, find_scenes(manifest, report.root).splits.values())) == 8
    (spaced / "train 1").rename(spaced / "train{1}")
    refused("deepglobe", spaced.parent, tmp_path / "b", "{ } * ?", str(spaced / "train{1}"))


@pytest.mark.parametrize("crops", [False, True], ids=["windows", "crops"])
def test_a_file_where_the_folder_should_be_is_told_before_any_work(root, tmp_path, crops):
    (tmp_path / "to").write_text("mine")
    refused(
        "deepglobe", root, tmp_path / "to", "cannot be written", str(tmp_path / "to"), crops=crops
    )
    archive = zipped(root, tmp_path / "land-cover.zip")
    refused("deepglobe", archive, tmp_path / "to", "cannot be written", str(tmp_path / "to"))
    assert (tmp_path / "to").read_text() == "mine"


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


@pytest.mark.parametrize("content", [b"", b"{}\n{}\n", b"[1]\n", b"\0\0\0\n", b"{\n"])
def test_a_damaged_list_of_crops_is_named(root, tmp_path, content):
    report = run("deepglobe", root, tmp_path / "to", crops=True)
    for manifest in report.manifests:
        manifest.path.unlink()
    ledger = report.root / "crops.jsonl"
    ledger.write_bytes(content)
    refused("deepglobe", root, tmp_path / "to", "is damaged", str(ledger), crops=True)
    ledger.unlink()
    assert run("deepglobe", root, tmp_path / "to", crops=True).images == 2


def test_tiles_without_a_mask_are_accepted_as_unlabeled_when_partial(root, tmp_path):
    (root / MASK.format(1)).unlink()
    report = run("deepglobe", root, tmp_path, partial=True, crops=True)
    assert "its mask train/1_mask.png is missing" in " ".join(report.notes)
    assert len(list((report.root / "data_cropped").glob("*_sat_*"))) == 8
    assert len(list((report.root / "data_cropped").glob("*_mask_*"))) == 4


def test_a_part_that_is_missing_as_a_whole_is_refused_even_when_partial(loveda_root, tmp_path):
    shutil.rmtree(loveda_root / "Val")
    words = "expected 1 images of part Val, found 0", str(loveda_root)
    refused("loveda", loveda_root, tmp_path / "to", *words, partial=True)


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


def test_unpacking_that_was_killed_inside_of_an_archive_goes_on(root, tmp_path, monkeypatch):
    (tmp_path / "outer").mkdir()
    zipped(root / "train", tmp_path / "outer" / "inner.zip")
    outer = zipped(tmp_path / "outer", tmp_path / "x.zip")
    unpack = archives.unpack

    def killed(archive, *arguments):
        if archive.name == "inner.zip":
            raise KeyboardInterrupt
        return unpack(archive, *arguments)

    monkeypatch.setattr(archives, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        run("deepglobe", outer, tmp_path / "to")
    monkeypatch.setattr(archives, "unpack", unpack)
    assert run("deepglobe", outer, tmp_path / "to").images == 2


def test_a_full_disk_is_told_before_and_only_what_is_missing_counts(root, tmp_path, monkeypatch):
    archive, to = zipped(root, tmp_path / "land-cover.zip"), tmp_path / "to"
    unpack_all(BENCHMARKS["deepglobe"], [archive], to / "original", Silent(), partial=False)
    shutil.rmtree(to / "original" / ".unpacked")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert run("deepglobe", archive, to).images == 2
    refused("deepglobe", archive, tmp_path / "b", "10 are free", str(archive), "--to")
    assert not list((tmp_path / "b").rglob("*.jpg"))


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
        (member("/evil.txt"), "/evil.txt"),
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
    refused("deepglobe", archive, tmp_path / "to", "outside of the folder", str(archive), name)
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list((tmp_path / "to").rglob("*.jpg"))


def of_kind(name, kind):
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    return info


@pytest.mark.parametrize(
    ("infos", "problem"),
    [
        ([zipfile.ZipInfo(".")], "'.' is neither a file nor a folder"),
        ([of_kind("train/pipe.jpg", stat.S_IFIFO)], "neither a file nor a folder"),
        ([of_kind("train/disk.jpg", stat.S_IFBLK)], "neither a file nor a folder"),
        ([zipfile.ZipInfo("train/" + "a" * 300 + ".jpg")], "longer than file systems take"),
        ([zipfile.ZipInfo("a/" * 3000 + "a.jpg")], "longer than file systems take"),
        ([member("train"), member("train/1.jpg")], "inside of another member, which is a file"),
        ([member("a/b"), member("a/b/c/d")], "inside of another member, which is a file"),
        ([member("train/1.jpg"), member("train//1.jpg")], "two members are named 'train/1.jpg'"),
    ],
    ids=["dot", "pipe", "device", "long name", "long path", "file and folder", "deeper", "twice"],
)
def test_members_that_no_folder_can_hold_are_refused_before_any_is_written(
    tmp_path, infos, problem
):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(member("first/2_sat.jpg"), b"x")
        for info in infos:
            opened.writestr(info, b"y")
    refused("deepglobe", archive, tmp_path / "to", problem, str(archive))
    assert not list((tmp_path / "to").rglob("*.jpg"))


# `small` changes nothing that an archive is read by.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text("ab./\\\0\x1b:~é ", min_size=1, max_size=8) | st.text(max_size=8), max_size=5
    ),
    kind=st.sampled_from([0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR]),
    compression=st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    position=st.none() | st.integers(0, 2**16),
)
def test_any_archive_is_unpacked_inside_of_its_folder_or_refused(
    tmp_path_factory, names, kind, compression, position
):
    folder = tmp_path_factory.mktemp("archive")
    archive = folder / "a.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "w", compression) as opened:
        warnings.simplefilter("ignore")  # two members of one name
        for name in names:
            opened.writestr(of_kind(name, kind), b"some text " * 9)
    content = bytearray(archive.read_bytes())
    if position is not None:
        content[position % len(content)] ^= 0x55
    archive.write_bytes(content)
    with suppress(DataError):  # and nothing else
        unpack(archive, folder / "to", Silent())
    assert set(folder.iterdir()) <= {archive, folder / "to"}


def test_archives_inside_of_each_other_without_an_end_are_refused(tmp_path):
    archive = tmp_path / "a.zip"
    content = b""
    for _ in range(8):
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("a.zip", content)
        content = archive.read_bytes()
    refused("deepglobe", archive, tmp_path / "to", "inside of each other")


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
    refused("deepglobe", archive, tmp_path / "to", "whole zip archive", str(archive))


def test_published_checksums_are_compared(loveda_root, tmp_path):
    archive = zipped(loveda_root, tmp_path / "Train.zip")
    words = BENCHMARKS["loveda"].md5["Train.zip"], file_md5(archive), str(archive)
    refused("loveda", archive, tmp_path / "to", *words)
    assert run("loveda", archive, tmp_path / "to", partial=True).images == 2


@pytest.mark.parametrize("name", ["a", "a.zip"])
def test_missing_sources_are_named(tmp_path, name):
    words = "the source is missing", str(tmp_path / name), "isprs.org"
    refused("potsdam", tmp_path / name, tmp_path / "to", *words)


def test_several_folders_are_refused(root, tmp_path):
    words = "one folder, or archives", str(root), str(tmp_path)
    refused("deepglobe", (root, tmp_path), tmp_path / "to", *words)


def test_an_archive_of_something_else_says_what_was_expected(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.txt").write_text("hello")
    archive = zipped(tmp_path / "x", tmp_path / "other.zip")
    refused("deepglobe", archive, tmp_path / "to", "{tile}_sat.jpg", str(archive))
