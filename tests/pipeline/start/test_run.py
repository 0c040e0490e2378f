"""From a folder to a config that trains, without weights or network."""

from pathlib import Path

import pytest

import data_manifests
from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.start import manifest_of, propose, require_free_config, run_all, write_config
from pipeline.start import run as start_run
from rsmtdf_core.errors import ConfigError

MANIFEST = Path(data_manifests.__file__).with_name("synthetic.yaml")


@pytest.fixture
def scenes(tmp_path):
    draw_scenes(tmp_path / "scenes", 14, 72, seed=3)
    for mask in sorted((tmp_path / "scenes" / "masks").iterdir())[::3]:
        mask.unlink()
    return tmp_path / "scenes"


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(start_run, "find_weights", lambda folder: {})


@pytest.mark.slow
def test_a_proposal_is_written_and_trains(scenes, tmp_path, offline):
    proposed, text = propose(MANIFEST, scenes, hours=1e-3, cache=tmp_path / "cache")
    path = tmp_path / "mine.yaml"
    write_config(text, path)
    config = load_config(str(path))
    assert config.name == "scenes"
    assert config.views.crop == proposed.value("views.crop") == 64
    assert config.runtime.cache == tmp_path / "cache"
    assert config.student.weights == "random"
    assert any("random weights" in caution for caution in proposed.cautions)
    with pytest.raises(ConfigError, match="exists already"):
        write_config(text, path)
    runs = f"\nruntime:\n  runs: {tmp_path / 'runs'}\n"
    short = text.replace("\noptimiser:\n", "\noptimiser:\n  max_steps: 2\n")
    write_config(short.replace("\nruntime:\n", runs), path, overwrite=True)
    report = run_all(path, proposed)
    assert report.run == tmp_path / "runs" / f"scenes-{proposed.method}-seed0"
    assert report.scores is not None
    assert report.scores.images > 0


def test_hours_are_positive(scenes):
    for hours in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="above 0"):
            propose(MANIFEST, scenes, hours=hours)


def test_the_manifest_is_that_of_the_folder_or_next_to_the_config(tmp_path):
    root, config = tmp_path / "data", tmp_path / "mine.yaml"
    root.mkdir()
    assert manifest_of(root, config) == tmp_path / "mine-manifest.yaml"
    assert manifest_of(root, root / "config.yaml") == root / "manifest.yaml"
    (root / "manifest.yaml").touch()
    assert manifest_of(root, config) == root / "manifest.yaml"


def test_a_config_that_exists_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match="--overwrite"):
        require_free_config(tmp_path / "config.yaml", overwrite=False)
    require_free_config(tmp_path / "config.yaml", overwrite=True)
