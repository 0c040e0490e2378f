"""Options that several verbs share become settings and files."""

from pathlib import Path

import pytest

from cli.options import copy_file, read_bands, read_config, read_runtime
from pipeline.config import load_config
from rsmtdf_core.errors import ConfigError, WriteError
from rsmtdf_core.scenes.bands import BandSettings


def test_bands_and_scale_are_lists():
    assert read_bands(None, None) is None
    assert read_bands("4,3,2", None) == BandSettings(indices=(4, 3, 2))
    assert read_bands("1,2,3,8", "0,3000") == BandSettings(indices=(1, 2, 3, 8), scale=[0, 3000])


@pytest.mark.parametrize(("bands", "scale"), [("4,3", None), ("a,b,c", None), (None, "0")])
def test_wrong_bands_name_the_options(bands, scale):
    with pytest.raises(ConfigError) as caught:
        read_bands(bands, scale)
    assert "--bands, --scale" in str(caught.value)


def test_a_cache_overrides_that_of_the_config(tmp_path):
    config = read_config("demo", ["seed=3"])
    assert config == load_config("demo", ["seed=3"])
    moved = read_config("demo", ["seed=3"], tmp_path)
    assert moved.runtime.cache_folder == tmp_path
    assert moved.model_copy(update={"runtime": config.runtime}) == config
    assert read_runtime(tmp_path).cache_folder == tmp_path


def test_a_copy_never_replaces_a_file(tmp_path):
    source = Path(__file__)
    copy_file(source, tmp_path / "new" / "mine.yaml")
    assert (tmp_path / "new" / "mine.yaml").read_bytes() == source.read_bytes()
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        copy_file(source, tmp_path / "mine.yaml")
    assert caught.value.where == str(tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    with pytest.raises(WriteError):
        copy_file(source, tmp_path)
