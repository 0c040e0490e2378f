"""`data init` writes a manifest that the dataset passes, with the user's class names and ignored values."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.check import check_data
from pipeline.data.init import (
    Looked,
    NamedClass,
    draft,
    look,
    parse_classes,
    read_classes,
    write_manifest,
)
from pipeline.data.init.naming import assigned_by_order, name_classes
from pipeline.data.init.text import manifest_text
from rsmtdf_core.errors import ConfigError, DataError, MissingFileError
from rsmtdf_core.scenes.guessing import Layout, MaskGuess, SplitGuess
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.pixel_masks import ClassSpec
from rsmtdf_core.scenes.split_settings import SplitSpec
from rsmtdf_core.words import readable


def draw(root, values, scenes=8, kind="L", folder=""):
    """Scenes of 12 x 10 px whose masks are striped with `values`."""
    for name in ("images", "masks"):
        (root / folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(scenes):
        image = np.random.default_rng([number, *folder.encode()]).integers(
            0, 256, (10, 12, 3), np.uint8
        )
        Image.fromarray(image).save(root / folder / "images" / f"s {number}.png")
        stripes = np.resize(np.array(values, np.uint8), (10, 12, *np.shape(values)[1:]))
        mask = Image.fromarray(stripes if kind != "1" else stripes.astype(bool))
        mask.save(root / folder / "masks" / f"s {number}.png")


def manifest_for(root, classes=None, ignore=None):
    path = root / "manifest.yaml"
    result = draft(look(root), path, classes, ignore)
    write_manifest(result, path, overwrite=True)
    return load_manifest(str(path))


RGB = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 0, 0)]


@pytest.mark.parametrize(
    ("values", "kind", "encoding", "classes", "ignore"),
    [
        ([0, 1, 2], "L", "indices", 3, []),
        ([1, 2, 3, 255], "L", "indices", 3, [255]),
        ([0, 255], "L", "colors", 2, []),
        ([0, 1], "1", "indices", 2, []),
        (RGB, "RGB", "colors", 4, ["#000000"]),
    ],
)
def test_the_dataset_passes_its_manifest(tmp_path, values, kind, encoding, classes, ignore):
    draw(tmp_path, values, kind=kind)
    manifest = manifest_for(tmp_path)
    assert manifest.mask_encoding.encoding == encoding
    assert list(manifest.mask_encoding.ignore) == ignore
    assert len(manifest.classes) == classes
    checked = check_data(manifest, tmp_path)
    assert checked.problems == ()
    assert checked.notes == ()
    assert sum(split.scenes for split in checked.splits) == 8
    ignored = sum(split.ignored for split in checked.splits)
    assert (ignored > 0) == bool(ignore)


def test_folders_and_missing_masks_pass_too(tmp_path):
    for area in ("north", "south", "east"):
        draw(tmp_path / "areas", [0, 1, 2], scenes=3, folder=area)
    assert check_data(manifest_for(tmp_path / "areas"), tmp_path / "areas").problems == ()
    draw(tmp_path / "partly", [0, 1, 2], scenes=20)
    for number in range(0, 20, 3):
        (tmp_path / "partly" / "masks" / f"s {number}.png").unlink()
    checked = check_data(manifest_for(tmp_path / "partly"), tmp_path / "partly")
    assert checked.problems == ()
    assert [split.labeled > 0 for split in checked.splits] == [True, True, True]
    draw(tmp_path / "bare", [0], scenes=3)
    for mask in (tmp_path / "bare" / "masks").iterdir():
        mask.unlink()
    assert check_data(manifest_for(tmp_path / "bare"), tmp_path / "bare").problems == ()


def test_the_comments_have_shares_and_the_check_command(tmp_path):
    draw(tmp_path, [0, 0, 0, 1])
    text = draft(look(tmp_path), tmp_path / "manifest.yaml").text
    assert "rsmtdf data check" in text
    assert "# 75.00 % of the pixels" in text
    assert "# 25.00 % of the pixels" in text
    gray = tmp_path / "gray"
    draw(gray, [0, 0, 0, 255])
    assert "# 75.00 % of the pixels" in draft(look(gray), gray / "manifest.yaml").text


def test_names_are_given_in_the_order_of_the_values(tmp_path):
    draw(tmp_path, [1, 2, 3])
    manifest = manifest_for(tmp_path, [NamedClass(name) for name in ("road", 'a "wood"', "no: 3")])
    assert manifest.class_names == ("road", 'a "wood"', "no: 3")
    more = manifest_for(tmp_path, [NamedClass(str(number)) for number in range(6)])
    assert len(more.classes) == 6, "classes that no mask has may be named after the others"


def test_a_file_gives_colors_their_names_in_its_order(tmp_path):
    draw(tmp_path, RGB[:3])
    listed = tmp_path / "classes.txt"
    listed.write_text(
        "# a comment\n\nwater, #0000ff\r\nbuilding #FF0000\nforest;#00FF00\nsnow #FFFFFF\n"
    )
    named = read_classes(listed)
    manifest = manifest_for(tmp_path, named)
    assert manifest.class_names == ("water", "building", "forest", "snow")
    assert manifest.classes[0].color == "#0000FF"
    assert check_data(manifest, tmp_path).problems == ()
    with pytest.raises(ConfigError, match="#00FF00, which no class has"):
        draft(look(tmp_path), tmp_path / "manifest.yaml", named[:2])
    assert manifest_for(tmp_path, named[:2], ["#00FF00"]).class_names == ("water", "building")


def test_names_that_do_not_fit_the_masks_are_refused(tmp_path):
    draw(tmp_path, [0, 1, 2])
    with pytest.raises(
        ConfigError, match="2 names for 3 classes: the masks hold 0, 1, 2"
    ) as caught:
        draft(look(tmp_path), tmp_path / "m.yaml", [NamedClass("a"), NamedClass("b")])
    assert "--classes" in caught.value.remedy
    with pytest.raises(ConfigError, match="must differ"):
        draft(look(tmp_path), tmp_path / "m.yaml", [NamedClass("a")] * 3)
    draw(tmp_path / "colors", RGB[:2])
    with pytest.raises(ConfigError, match="3 names for 2 classes"):
        draft(look(tmp_path / "colors"), tmp_path / "m.yaml", [NamedClass(name) for name in "abc"])


COLORS = st.integers(0, 2**24 - 1).map(lambda code: f"#{code:06X}")
NAMES = st.text("abc=# é1", min_size=1, max_size=6).map(str.strip).filter(lambda name: name)


@given(
    names=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    colors=st.lists(COLORS, min_size=6, max_size=6, unique=True),
    paired=st.lists(st.booleans(), min_size=6, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_a_color_that_a_person_named_is_never_given_to_another_class(names, colors, paired, order):
    named = [
        NamedClass(name, color if has_color else None)
        for name, color, has_color in zip(names, colors, paired, strict=False)
    ]
    order.shuffle(named)
    masks = MaskGuess("colors", tuple(sorted(colors[: len(names)])), (), "")
    specs = name_classes(masks, named)
    assert [spec.name for spec in specs] == [spec.name for spec in named]
    assert sorted(spec.color for spec in specs) == list(masks.classes), "each color once"
    for spec, given_class in zip(specs, named, strict=True):
        assert given_class.color in (None, spec.color)
    without = [
        spec.color
        for spec, given_class in zip(specs, named, strict=True)
        if given_class.color is None
    ]
    assert without == sorted(without), "the rest in the order of the colors"
    assert assigned_by_order(masks, named) == (len(without) > 1)


@given(
    st.lists(
        st.tuples(st.text("ab é1", min_size=1).filter(str.strip), st.none() | COLORS), min_size=1
    )
)
def test_pairs_are_read_as_they_were_written(pairs):
    text = " , ".join(
        name if color is None else f"{name}= {color.lower()}" for name, color in pairs
    )
    assert parse_classes(text) == [NamedClass(name.strip(), color) for name, color in pairs]


@pytest.mark.parametrize("text", ["water=#00F", "water=#0000FG", "=#0000FF", "a,b = #"])
def test_a_pair_without_a_whole_color_is_refused(text):
    with pytest.raises(ConfigError, match="expected NAME=#RRGGBB"):
        parse_classes(text)


def test_names_without_a_color_take_the_remaining_colors(tmp_path):
    draw(tmp_path, RGB[:3])
    path = tmp_path / "manifest.yaml"
    result = draft(look(tmp_path), path, parse_classes("water=#0000ff,building,forest=#00FF00"))
    assert [spec.color for spec in result.manifest.classes] == ["#0000FF", "#FF0000", "#00FF00"]
    assert result.cautions == (), "one color for one name is no guess"
    with pytest.raises(ConfigError, match="2 names without a color for 1 classes"):
        draft(look(tmp_path), path, parse_classes("water=#0000FF,a,b,forest=#00FF00"))


def test_an_assignment_by_order_is_shown_and_noted_in_the_file(tmp_path):
    draw(tmp_path / "colors", RGB[:3])
    draw(tmp_path / "indices", [0, 1, 2])
    names = parse_classes("water,field,forest")
    path = tmp_path / "manifest.yaml"
    result = draft(look(tmp_path / "colors"), path, names)
    (caution,) = result.cautions
    corrected = caution.partition("--classes '")[2].rstrip("'")
    assert parse_classes(corrected) == [
        NamedClass(spec.name, spec.color) for spec in result.manifest.classes
    ]
    assert "in the order of the color values" in result.text
    assert [row.value for row in result.class_rows] == ["#0000FF", "#00FF00", "#FF0000"]
    for root, classes in (
        (tmp_path / "colors", parse_classes(corrected)),
        (tmp_path / "colors", None),
        (tmp_path / "indices", names),
    ):
        checked = draft(look(root), path, classes)
        assert checked.cautions == ()
        assert "in the order of the color values" not in checked.text
    assert [row.value for row in checked.class_rows] == [0, 1, 2]


def test_files_without_classes_are_refused(tmp_path):
    empty = tmp_path / "classes.txt"
    empty.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="names no class"):
        read_classes(empty)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_classes(tmp_path / "absent.txt")


def test_images_that_cannot_be_learnt_from_are_named(tmp_path):
    draw(tmp_path, [0, 1])
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(tmp_path / "images" / "s 1.png")
    with pytest.raises(
        DataError, match="1 of 8 images are of more than 8 bits, others of 8 bits"
    ) as caught:
        look(tmp_path)
    assert "s 1.png" in caught.value.where
    (tmp_path / "images" / "s 1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        look(tmp_path)


def test_a_manifest_is_never_overwritten_unasked(tmp_path):
    draw(tmp_path, [0, 1])
    result = draft(look(tmp_path), tmp_path / "manifest.yaml")
    (tmp_path / "manifest.yaml").write_text("mine: 1\n")
    with pytest.raises(ConfigError, match="exists already"):
        write_manifest(result, tmp_path / "manifest.yaml")
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text()) == {"mine": 1}
    with pytest.raises(ConfigError, match="ends in"):
        write_manifest(result, tmp_path / "manifest.txt")
    with pytest.raises(MissingFileError, match="folder is missing"):
        write_manifest(result, tmp_path / "absent" / "manifest.yaml")


@pytest.mark.parametrize("name", ["loveda", "potsdam", "vaihingen", "deepglobe"])
def test_genuine_samples_pass_the_manifests_that_are_guessed(shared, tmp_path, name):
    root = shared / "data" / f"{name}_sample"
    path = tmp_path / "manifest.yaml"
    write_manifest(draft(look(root), path), path)
    assert check_data(load_manifest(str(path)), root).problems == ()


def test_rasters_of_many_bands_get_a_choice_of_bands_that_the_dataset_passes(tmp_path):
    rasters = pytest.importorskip("tests.rasters")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(8):
        values = rasters.ramp(4, 20, 30) + np.uint16(number)
        rasters.write_tiff(tmp_path / "images" / f"{number}.tif", values)
        rasters.write_tiff(
            tmp_path / "masks" / f"{number}.tif", values[:1].astype(np.uint8) % 3, nodata=255
        )
    manifest = manifest_for(tmp_path)
    assert manifest.bands is not None
    assert manifest.bands.indices == (1, 2, 3)
    assert manifest.bands.scale is not None
    assert manifest.bands.scale[2][0] == pytest.approx(3010, abs=30)
    assert check_data(manifest, tmp_path, tmp_path / "check").problems == ()
    assert (tmp_path / "check" / "samples.png").is_file()


ANY_TEXT = st.text(st.characters(exclude_categories=(), exclude_characters="\0"), max_size=40)
FILE_NAMES = st.binary(max_size=40).map(lambda name: os.fsdecode(name.replace(b"\0", b"")))
SPOKEN_FOR = st.sampled_from(["NO", "off", "null", "~", "1e3", "2024-01-01", "0x1F", "1_000", "y"])


@settings(deadline=None)
@given(title=FILE_NAMES | SPOKEN_FOR, names=st.lists(ANY_TEXT | SPOKEN_FOR, min_size=2, max_size=2))
def test_every_name_is_read_back_from_the_yaml_as_it_was(title, names):
    layout = Layout(
        ("images/{name}.png",), "masks/{name}.png", (({"name": names[0]}, True),), (), (), ""
    )
    looked = Looked(Path(title), layout, Counter(), Counter(), None, None)
    masks = MaskGuess("indices", (0, 1), (), "")
    splits = SplitGuess({"train": SplitSpec(where={"name": tuple(names)})}, "")
    specs = [ClassSpec(name=name or "empty", color="#000000") for name in names]
    text = manifest_text(looked, Path(title), specs, masks, splits)
    values = yaml.safe_load(text.encode())
    assert values["title"] == readable(Path(title).resolve().name)
    assert isinstance(values["name"], str)
    assert [spec["name"] for spec in values["classes"]] == [name or "empty" for name in names]
    assert values["splits"]["train"]["where"]["name"] == names


def test_a_few_images_of_8_bits_among_others_are_named(tmp_path):
    rasters = pytest.importorskip("tests.rasters")
    (tmp_path / "images").mkdir()
    for number in range(40):
        kind = np.uint8 if number in (17, 23) else np.uint16
        values = rasters.ramp(3, 9, 9, kind) + kind(number)
        rasters.write_tiff(tmp_path / "images" / f"{number:02}.tif", values)
    with pytest.raises(
        DataError, match="2 of 40 images are of 8 bits, others of more than 8 bits"
    ) as caught:
        look(tmp_path)
    assert caught.value.where.endswith("17.tif")
    assert "--scale" in caught.value.remedy


def test_a_fill_value_that_no_file_declares_is_named_with_the_command_that_declares_it(tmp_path):
    rasters = pytest.importorskip("tests.rasters")
    draw(tmp_path, [0, 1])
    for number in range(8):
        (tmp_path / "images" / f"s {number}.png").unlink()
        values = rasters.ramp(3, 10, 12, np.int16) + np.int16(number)
        values[:, :3] = -9999
        rasters.write_tiff(tmp_path / "images" / f"s {number}.tif", values)
    guesses = draft(look(tmp_path), tmp_path / "m.yaml").guesses
    (why,) = (why for subject, _, why in guesses if subject == "bands")
    assert "gdal_edit.py -a_nodata -9999" in why


def test_masks_that_no_name_identifies_are_refused(tmp_path):
    draw(tmp_path, [0, 1, 2])
    (tmp_path / "images").rename(tmp_path / "A")
    (tmp_path / "masks").rename(tmp_path / "B")
    with pytest.raises(DataError, match=r"B/s 0.png looks like a mask") as caught:
        look(tmp_path)
    assert "--masks" in caught.value.remedy
    assert look(tmp_path, patterns=(["A/{name}.png"], None)).layout.masks is None


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0, 40, 200], {0: "low", 40: "high", 200: "low"}),
        (RGB[:3], {"#FF0000": "low", "#00FF00": "high", "#0000FF": "low"}),
    ],
)
def test_named_values_are_merged_whatever_they_are(tmp_path, values, names):
    draw(tmp_path, values)
    path = tmp_path / "manifest.yaml"
    proposal = draft(look(tmp_path), path, None, None, names)
    write_manifest(proposal, path)
    manifest = load_manifest(str(path))
    assert manifest.class_names == ("low", "high")
    assert dict(manifest.mask_encoding.values) == names
    [train, *_] = check_data(manifest, tmp_path).splits
    assert train.pixels["low"] == 2 * train.pixels["high"] > 0
