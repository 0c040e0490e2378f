import pytest

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.patterns import match_files, match_pairs, pattern_fields


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_fields_are_named_in_their_order():
    assert pattern_fields("{part}/{area}/{part}_{name}.*") == ("part", "area", "name")


def test_files_are_found_by_their_fields_at_the_patterns_depth_only(tmp_path):
    touch(tmp_path, "A/im/2.png", "A/im/1.png", "B b/im/1.png", "A/im/deep/3.png", "A/x/1.png")
    files = match_files(tmp_path, "{area}/im/{name}.png", ("area", "name"))
    assert list(files.items()) == [
        (("A", "1"), "A/im/1.png"),
        (("A", "2"), "A/im/2.png"),
        (("B b", "1"), "B b/im/1.png"),
    ]


def test_keys_follow_the_fields_that_are_asked_for(tmp_path):
    touch(tmp_path, "A/1_m.png")
    assert list(match_files(tmp_path, "{area}/{name}_m.png", ("name", "area"))) == [("1", "A")]


def test_a_field_named_twice_has_one_value(tmp_path):
    touch(tmp_path, "A/A_1.png", "A/B_1.png")
    files = match_files(tmp_path, "{area}/{area}_{name}.png", ("area", "name"))
    assert list(files.values()) == ["A/A_1.png"]


def test_any_image_type_matches_but_hidden_and_other_files_do_not(tmp_path):
    touch(tmp_path, "a.TIF", "b.jpeg", "._a.png", "c.txt", "d.tar.png")
    assert list(match_files(tmp_path, "{name}.*", ("name",)).values()) == [
        "a.TIF",
        "b.jpeg",
        "d.tar.png",
    ]


def test_literal_parts_are_no_wildcards(tmp_path):
    touch(tmp_path, "[x]/1.png", "x/1.png", "[x]/1Xpng")
    assert list(match_files(tmp_path, "[x]/{name}.png", ("name",)).values()) == ["[x]/1.png"]


def test_two_files_of_one_scene_are_refused(tmp_path):
    touch(tmp_path, "a.png", "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
        match_files(tmp_path, "{name}.*", ("name",))


def test_a_missing_root_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="not a folder"):
        match_files(tmp_path / "none", "{name}.*", ("name",))


def test_a_file_that_both_patterns_match_belongs_to_the_more_specific_one(tmp_path):
    for name in ("a", "a_mask", "b", "b_mask"):
        (tmp_path / f"{name}.png").touch()
    fields = ("name",)
    images, masks = match_pairs(tmp_path, "{name}.png", "{name}_mask.png", fields)
    assert (list(images.values()), list(masks.values())) == (
        ["a.png", "b.png"],
        ["a_mask.png", "b_mask.png"],
    )
    assert match_pairs(tmp_path, "{name}_mask.png", "{name}.png", fields) == (masks, images)
    assert match_pairs(tmp_path, "{name}.png", None, fields) == (
        {(name,): f"{name}.png" for name in ("a", "a_mask", "b", "b_mask")},
        {},
    )
