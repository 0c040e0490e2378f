import pytest
from typer.testing import CliRunner

from cli.data import app
from pipeline.demo_scenes import draw_scenes
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.manifests.scenes import find_pairs, split_pairs
from rsmtdf_core.manifests.schema import load_manifest


@pytest.fixture
def root(tmp_path):
    draw_scenes(tmp_path, 10, 64, seed=0)
    return tmp_path


def check(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)], env={"COLUMNS": "120"})


def test_a_sound_dataset_ends_with_status_0_and_its_counts(root):
    result = check("synthetic", "--root", root)
    assert result.exit_code == 0, result.output
    assert "no problems found" in result.output
    for word in ("train", "val", "test", "water", "building", "ignored"):
        assert word in result.output


def test_a_wrong_file_is_named_and_ends_with_status_1(root):
    (root / "masks" / "0003.png").write_bytes(b"no image")
    result = check("synthetic", "--root", root)
    assert result.exit_code == 1
    assert "masks/0003.png" in result.output
    assert "1 problems" in result.output


def test_a_users_mistake_reaches_the_main_command(root):
    assert isinstance(check("syntetic", "--root", root).exception, ConfigError)


def test_the_root_is_needed():
    assert check("synthetic").exit_code == 2


def test_pictures_and_unlabeled_images_are_told(root, tmp_path):
    manifest = load_manifest("synthetic")
    train = split_pairs(manifest, find_pairs(manifest, root))["train"]
    (root / train[0].mask).unlink()
    result = check("synthetic", "--root", root, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert f"without labels in train: 1 images: {train[0].image}" in result.output
    assert (tmp_path / "out" / "samples.png").is_file()


def test_copies_in_two_splits_end_with_status_1(root):
    images = sorted((root / "images").iterdir())
    for image in images:
        image.write_bytes(images[0].read_bytes())
    result = check("synthetic", "--root", root)
    assert result.exit_code == 1
    assert "the same bytes as" in result.output
