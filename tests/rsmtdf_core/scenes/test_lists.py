import pytest

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.lists import read_pair_list, read_scene_list


def pairs(path):
    return [(pair.image, pair.mask) for pair in read_pair_list(path)]


@pytest.mark.parametrize(
    "content",
    [
        b"a/x_1.tif b/x_1.tif\na/x_2.tif b/x_2.tif\n",
        b"a/x_1.tif b/x_1.tif\r\na/x_2.tif b/x_2.tif\r\n",
        b"\xef\xbb\xbfa/x_1.tif b/x_1.tif\na/x_2.tif b/x_2.tif",
        b"\n  a/x_1.tif b/x_1.tif  \n\n a/x_2.tif\tb/x_2.tif \n\n",
        b"a\\x_1.tif b\\x_1.tif\na\\x_2.tif b\\x_2.tif\n",
    ],
    ids=["plain", "CRLF", "BOM", "spaces", "backslashes"],
)
def test_lists_of_every_system_are_read_equally(tmp_path, content):
    path = tmp_path / "labeled.txt"
    path.write_bytes(content)
    assert pairs(path) == [("a/x_1.tif", "b/x_1.tif"), ("a/x_2.tif", "b/x_2.tif")]


def test_names_may_have_spaces(tmp_path):
    path = tmp_path / "labeled.txt"
    path.write_text("my images/x 1.JPG my labels/x 1.png\n")
    assert pairs(path) == [("my images/x 1.JPG", "my labels/x 1.png")]


def test_places_are_files_and_lines(tmp_path):
    path = tmp_path / "labeled.txt"
    path.write_text("\na_1.tif b_1.tif\n")
    assert read_pair_list(path)[0].line == f"{path}, line 2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a_1.tif\n", "expected an image and a mask"),
        (b"a_1.tif b_1.txt\n", "expected an image and a mask"),
        (b"a_1.tif b_1.tif\na_1.tif b_1.tif\n", "already in line 1"),
        (b"../a_1.tif b_1.tif\n", "leads out of the folder"),
        (b"a_1.tif x/../../b_1.tif\n", "leads out of the folder"),
        (b"/data/a_1.tif b_1.tif\n", "leads out of the folder"),
        (b"C:/data/a_1.tif b_1.tif\n", "leads out of the folder"),
        (b"\n\n", "empty"),
        (b"\xff\xfe\x00", "cannot be read as text"),
    ],
    ids=[
        "one name",
        "no image",
        "duplicate",
        "escape",
        "inner escape",
        "absolute",
        "drive",
        "empty",
        "binary",
    ],
)
def test_wrong_lists_are_refused_with_their_name(tmp_path, content, message):
    path = tmp_path / "labeled.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_pair_list(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_a_missing_list_is_named(tmp_path):
    for reading in (
        lambda: read_pair_list(tmp_path / "val.txt"),
        lambda: read_scene_list(tmp_path, "val.txt"),
    ):
        with pytest.raises(MissingFileError) as caught:
            reading()
        assert caught.value.where == str(tmp_path / "val.txt")
        assert caught.value.remedy


def test_a_manifests_list_must_be_in_its_folder(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "val.txt").write_bytes(b"\xef\xbb\xbfs1\r\ns 2@0,512 \r\n")
    assert read_scene_list(tmp_path, "lists/val.txt") == ["s1", "s 2@0,512"]
    with pytest.raises(DataError, match="leads out"):
        read_scene_list(tmp_path / "lists", "../lists/val.txt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("val.txt", b"s1\ns2\r\n s1 \n", "'s1' is already in line 1"),
        ("val.txt", "s1\n".encode("utf-16"), "cannot be read as text"),
        ("../val.txt", b"", "leads out of the folder"),
        ("/val.txt", b"", "leads out of the folder"),
    ],
    ids=["duplicate", "UTF-16", "escape", "absolute"],
)
def test_wrong_lists_of_scenes_are_refused_with_their_name(tmp_path, name, content, message):
    (tmp_path / "val.txt").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_scene_list(tmp_path, name)
    assert name in str(caught.value)
    assert caught.value.remedy
