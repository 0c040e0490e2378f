"""`rsmtdf data init`: flags, prompts at a terminal, and a table of guesses."""

import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.data import init as data_init
from cli.data.commands import app
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.manifest import load_manifest


@pytest.fixture
def root(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(8):
        image = np.full((4, 6, 3), 20 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
        mask = np.resize(np.arange(3, dtype=np.uint8), (4, 6))
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def run(*words, typed=None):
    return CliRunner().invoke(app, [*map(str, words)], input=typed, env={"COLUMNS": "160"})


def test_it_shows_its_guesses_and_the_check_passes(root):
    result = run("init", root)
    assert result.exit_code == 0, result.output
    for word in (
        "images/{name}.png",
        "masks/{name}.png",
        "6 x 4 px",
        "3 bands of uint8",
        "indices",
        "by chance",
    ):
        assert word in result.output
    path = root / "manifest.yaml"
    assert f"rsmtdf data check {path} --root {root}" in result.output
    assert run("check", path, "--root", root).exit_code == 0


def test_several_values_may_be_of_one_class(root):
    assert run("init", root, "--values", "0=land,1=road,2=land", "--yes").exit_code == 0
    path = root / "manifest.yaml"
    manifest = load_manifest(str(path))
    assert manifest.class_names == ("land", "road")
    assert manifest.mask_encoding.values == {0: "land", 1: "road", 2: "land"}
    assert run("check", path, "--root", root).exit_code == 0
    again = ("--overwrite", "--yes")
    words = ("--values", "0=land,1=road", "--ignore", "2", "--classes", "road=#FF0000,land")
    assert run("init", root, *words, *again).exit_code == 0
    assert load_manifest(str(path)).classes[0].color == "#FF0000"
    for values, message in (
        ("0=land,1=road", "the masks also hold 2"),
        ("#FF0000=land", "the masks hold numbers: 0, 1, 2"),
        ("0=land,0=road,1=a,2=b", "each value once"),
        ("land", "expected VALUE=CLASS"),
    ):
        result = run("init", root, "--values", values, *again)
        assert isinstance(result.exception, DataError | ConfigError)
        assert message in str(result.exception)
    assert run("init", root, "--values", "a=land", *again).exit_code == 2


def test_flags_replace_prompts(root, tmp_path):
    words = ["--classes", "road, roof", "--ignore", "0", "--out", tmp_path / "mine.yaml", "--yes"]
    assert run("init", root, *words).exit_code == 0
    manifest = load_manifest(str(tmp_path / "mine.yaml"))
    assert manifest.class_names == ("road", "roof")
    assert (manifest.mask_encoding.offset, manifest.mask_encoding.ignore) == (1, (0,))
    listed = tmp_path / "classes.txt"
    listed.write_text("a\nb\nc\n")
    assert run("init", root, "--classes-from", listed, "--ignore", "none").exit_code == 0
    assert load_manifest(str(root / "manifest.yaml")).class_names == ("a", "b", "c")


def test_a_negative_value_may_be_ignored(root):
    rasters = pytest.importorskip("tests.rasters")
    for number in range(8):
        (root / "masks" / f"{number}.png").unlink()
        values = np.resize(np.array([0, 1, -9999], np.int16), (1, 4, 6))
        rasters.write_tiff(root / "masks" / f"{number}.tif", values)
    assert isinstance(run("init", root).exception, DataError)
    result = run("init", root, "--ignore=-9999")
    assert result.exit_code == 0, result.output
    manifest = load_manifest(str(root / "manifest.yaml"))
    assert (manifest.class_names, manifest.mask_encoding.ignore) == (
        ("background", "foreground"),
        (-9999,),
    )
    assert run("check", root / "manifest.yaml", "--root", root).exit_code == 0


def test_patterns_may_be_named_if_folder_names_identify_no_masks(root):
    (root / "images").rename(root / "A")
    (root / "masks").rename(root / "B")
    patterns = ["--images", "A/{name}.png", "--masks", "B/{name}.png"]
    assert run("init", root, *patterns).exit_code == 0
    manifest = load_manifest(str(root / "manifest.yaml"))
    assert (manifest.images, manifest.masks) == ("A/{name}.png", "B/{name}.png")
    assert run("check", root / "manifest.yaml", "--root", root).exit_code == 0


@pytest.fixture
def colored(root):
    """Masks of a green, a yellow and a blue stripe per row of pixels."""
    colors = np.array([(0, 128, 0), (255, 255, 0), (0, 0, 255)], np.uint8)
    for number in range(8):
        Image.fromarray(np.resize(colors, (4, 6, 3))).save(root / "masks" / f"{number}.png")
    return root


def test_names_assigned_to_colors_by_order_are_shown_with_a_warning(colored):
    result = run("init", colored, "--classes", "water,field,forest", "--yes")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if "%" in line and "#" in line]
    pairs = [(row[2], next(word for word in row if word.startswith("#"))) for row in rows]
    assert pairs == [("water", "#0000FF"), ("field", "#008000"), ("forest", "#FFFF00")]
    assert "warning: the names were assigned to the mask colors" in result.stderr
    corrected = "water=#0000FF,field=#FFFF00,forest=#008000"
    again = run("init", colored, "--classes", corrected, "--overwrite", "--yes")
    assert again.exit_code == 0, again.output
    assert "warning" not in again.stderr
    classes = load_manifest(str(colored / "manifest.yaml")).classes
    assert ",".join(f"{spec.name}={spec.color}" for spec in classes) == corrected


def test_at_a_terminal_colors_are_shown_before_the_prompt_for_names(colored, monkeypatch):
    monkeypatch.setattr(data_init, "_at_terminal", lambda: True)
    result = run("init", colored, typed="none\nwater,field=#FFFF00,forest\ny\n")
    assert result.exit_code == 0, result.output
    before, _, after = result.stdout.partition("Class names in this order")
    assert all(color in before for color in ("#0000FF", "#008000", "#FFFF00"))
    classes = load_manifest(str(colored / "manifest.yaml")).classes
    assert [spec.color for spec in classes] == ["#0000FF", "#FFFF00", "#008000"]
    assert "forest" in after.partition("Write")[0], "the table before the question to write"
    assert "warning: the names were assigned" in result.stderr


def test_at_a_terminal_it_prompts(root, monkeypatch):
    monkeypatch.setattr(data_init, "_at_terminal", lambda: True)
    result = run("init", root, typed="0\nroad,roof\ny\n")
    assert result.exit_code == 0, result.output
    manifest = load_manifest(str(root / "manifest.yaml"))
    assert manifest.class_names == ("road", "roof")
    assert manifest.mask_encoding.ignore == (0,)


def test_names_that_do_not_fit_are_prompted_for_again(root, monkeypatch):
    monkeypatch.setattr(data_init, "_at_terminal", lambda: True)
    result = run("init", root, typed="none\nroad,roof\nroad,roof,tree\ny\n")
    assert result.exit_code == 0, result.output
    assert "2 names for 3 classes" in result.output
    assert load_manifest(str(root / "manifest.yaml")).class_names == ("road", "roof", "tree")


def test_a_declined_confirmation_writes_no_file(root, monkeypatch):
    monkeypatch.setattr(data_init, "_at_terminal", lambda: True)
    result = run("init", root, typed="\n\nn\n")
    assert result.exit_code == 1
    assert not (root / "manifest.yaml").exists()


def test_an_existing_file_is_kept_and_refused_before_reading_data(root):
    (root / "manifest.yaml").write_text("mine: 1\n")
    (root / "masks" / "0.png").write_bytes(b"no image")
    assert isinstance(run("init", root).exception, ConfigError)
    assert (root / "manifest.yaml").read_text() == "mine: 1\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--classes", "a", "--classes-from", "b.txt"],
        ["--ignore", "sky"],
        ["--masks", "masks/{name}.png"],
    ],
)
def test_flags_that_make_no_sense_are_refused(root, words):
    assert run("init", root, *words).exit_code == 2


def test_bands_and_their_range_may_be_named(root):
    rasters = pytest.importorskip("tests.rasters")
    for number in range(8):
        (root / "images" / f"{number}.png").unlink()
        rasters.write_tiff(
            root / "images" / f"{number}.tif", rasters.ramp(4, 4, 6) + np.uint16(100 * number)
        )
    assert run("init", root, "--bands", "4,3,2", "--scale", "0,5000").exit_code == 0
    bands = load_manifest(str(root / "manifest.yaml")).bands
    assert bands is not None
    assert bands.indices == (4, 3, 2)
    assert bands.scale == ((0, 5000),) * 3
    assert run("check", root / "manifest.yaml", "--root", root).exit_code == 0


def test_the_check_command_can_be_pasted_if_names_have_spaces(root, tmp_path):
    spaced = root.rename(tmp_path.parent / f"{tmp_path.name} my data")
    result = run("init", spaced)
    assert result.exit_code == 0, result.output
    words = shlex.split(result.output.rpartition("check it: rsmtdf data ")[2])
    assert words == ["check", str(spaced / "manifest.yaml"), "--root", str(spaced)]
    assert run(*words).exit_code == 0


def cut_off(path):
    noise = np.random.default_rng(0).integers(0, 3, (200, 200), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def saved(pixels):
    return lambda path: Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("file", "spoil", "message", "named"),
    [
        ("masks/3.png", cut_off, "cannot be read", "masks/3.png"),
        ("masks/3.png", lambda path: path.write_bytes(b""), "cannot be read", "masks/3.png"),
        # One mask in colors decides the encoding of all masks.
        ("masks/3.png", saved(np.zeros((4, 6, 3), np.uint8)), "mask with colors", "masks/0.png"),
        ("masks/3.png", saved(np.full((4, 6), 1000, np.uint16)), "too far apart", "masks/3.png"),
        (
            "images/3.png",
            saved(np.zeros((4, 6), np.uint16)),
            "1 of 8 images are of more than 8 bits",
            "images/3.png",
        ),
        ("images/3.png", lambda path: path.write_text("404"), "cannot be read", "images/3.png"),
        (
            "images/3.jpg",
            saved(np.zeros((4, 6, 3), np.uint8)),
            "belong to one scene",
            "images/3.jpg",
        ),
    ],
    ids=["truncated", "empty", "RGB", "far id", "16 bits", "text", "duplicate id"],
)
def test_a_wrong_file_is_named_and_no_manifest_is_written(root, file, spoil, message, named):
    spoil(root / file)
    error = run("init", root).exception
    assert isinstance(error, DataError)
    assert message in str(error)
    assert named in str(error)
    assert error.remedy
    assert not (root / "manifest.yaml").exists()
