from dataclasses import replace

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from pipeline.data.prepare import BENCHMARKS
from rsmtdf_core.errors import ConfigError, DataError


def data(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def root(tmp_path, monkeypatch):
    """DeepGlobe with two of three expected images."""
    changed = replace(BENCHMARKS["deepglobe"], size=(600, 600), counts={"": 3})
    monkeypatch.setitem(BENCHMARKS, "deepglobe", changed)
    (tmp_path / "data").mkdir()
    for number in (1, 2):
        Image.new("RGB", (600, 600), "#205080").save(tmp_path / "data" / f"{number}_sat.jpg")
        Image.new("RGB", (600, 600), "#FF0000").save(tmp_path / "data" / f"{number}_mask.png")
    return tmp_path / "data"


def test_prepare_shows_the_scenes_and_the_next_command(root, tmp_path):
    to = tmp_path / "to"
    result = data("prepare", "deepglobe", "--from", root, "--to", to, "--partial")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "2 images below" in text
    assert f"rsmtdf data check {to / 'deepglobe.yaml'} --root {root}" in text
    assert "720,000 mask pixels match no class" in text
    assert "expected 3 images, found 2" in text
    checked = data("check", to / "deepglobe.yaml", "--root", root)
    assert "720,000 pixels of 2 masks match no class and are ignored" in checked.output


def test_missing_files_reach_the_main_command(root, tmp_path):
    result = data("prepare", "deepglobe", "--from", root, "--to", tmp_path / "to")
    assert isinstance(result.exception, DataError)
    assert "expected 3 images, found 2" in str(result.exception)


def test_padding_without_crops_is_refused(root, tmp_path):
    arguments = ("--from", root, "--to", tmp_path / "to", "--padding-label", "dwl")
    assert isinstance(data("prepare", "deepglobe", *arguments).exception, ConfigError)


@pytest.mark.parametrize(("name", "site"), [("potsdam", "isprs.org"), ("deepglobe", "codalab.org")])
def test_download_names_the_source_of_a_benchmark_that_needs_a_login(tmp_path, name, site):
    result = data("download", name, "--to", tmp_path / "to")
    assert result.exit_code == 0, result.output
    assert site in result.output
    assert f"rsmtdf data prepare {name} --from {tmp_path / 'to'}" in result.output
    assert not (tmp_path / "to").exists()


def test_help_teaches_the_options():
    for verb, words in {
        "prepare": ("--splits", "--crops", "--padding-label", "--partial", "windows of the"),
        "download": ("--to", "md5"),
    }.items():
        result = data(verb, "--help")
        for word in words:
            assert word in result.output
