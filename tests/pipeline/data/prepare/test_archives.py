"""Archives are unpacked inside their folder, once, or refused before anything is written."""

import shutil
import stat
import warnings
import zipfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data.prepare import BENCHMARKS, archives
from pipeline.data.prepare.archives import file_md5, unpack, unpack_all
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError
from tests.pipeline.data.prepare.refusals import cut_off, refused, run, zipped

pytestmark = pytest.mark.usefixtures("small_benchmarks")


def test_archives_are_unpacked_once_and_prepared(root, tmp_path):
    archive = zipped(root, tmp_path / "land-cover.zip")
    shutil.rmtree(root)
    report = run("deepglobe", archive, tmp_path / "to")
    assert report.images == 2
    unpacked = tmp_path / "to/original/train/1_sat.jpg"
    before = unpacked.stat().st_mtime_ns
    # A folder with archives works too; unpacked files are not written again.
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


def test_a_full_disk_is_refused_early_and_only_missing_files_count(root, tmp_path, monkeypatch):
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
    refused("deepglobe", archive, tmp_path / "to", "outside the folder", str(archive), name)
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
        ([zipfile.ZipInfo("train/" + "a" * 300 + ".jpg")], "longer than file systems allow"),
        ([zipfile.ZipInfo("a/" * 3000 + "a.jpg")], "longer than file systems allow"),
        ([member("train"), member("train/1.jpg")], "inside another member, which is a file"),
        ([member("a/b"), member("a/b/c/d")], "inside another member, which is a file"),
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


# Archives are read in the same way for all benchmarks.
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
    refused("deepglobe", archive, tmp_path / "to", "nested more than")


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
    refused("deepglobe", archive, tmp_path / "to", "complete zip archive", str(archive))


def test_published_checksums_are_compared(loveda_root, tmp_path):
    archive = zipped(loveda_root, tmp_path / "Train.zip")
    words = BENCHMARKS["loveda"].md5["Train.zip"], file_md5(archive), str(archive)
    refused("loveda", archive, tmp_path / "to", *words)
    assert run("loveda", archive, tmp_path / "to", partial=True).images == 2


def test_an_archive_of_other_data_is_refused_with_the_expected_names(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.txt").write_text("hello")
    archive = zipped(tmp_path / "x", tmp_path / "other.zip")
    refused("deepglobe", archive, tmp_path / "to", "{tile}_sat.jpg", str(archive))
