"""`rsmtdf.start` writes manifest and config without prompting."""

import pytest

import pipeline.start
import rsmtdf
from pipeline.demo.scenes import draw_scenes
from pipeline.start.choosing import choose
from pipeline.start.settings import proposal
from pipeline.start.values import Timing
from rsmtdf_core.errors import ConfigError
from tests.pipeline.start.drawn import CHIPS, EVERYTHING, LAPTOP


@pytest.fixture
def proposed(monkeypatch):
    """The arguments of proposals, which are not measured."""
    seen = []

    def propose(*paths, **options):
        seen.append((*paths, options))
        timing = Timing(step=0.5, teacher=0.05)
        draft = choose(CHIPS, LAPTOP, EVERYTHING)
        return proposal(draft, CHIPS, timing, LAPTOP, options["hours"]), "name: mine\n"

    monkeypatch.setattr(pipeline.start, "propose", propose)
    return seen


def test_a_folder_gets_a_manifest_and_a_config(tmp_path, proposed):
    draw_scenes(tmp_path / "data", 8, 32, seed=1)
    names = "a,b,c,d,roof"
    report = rsmtdf.start(tmp_path / "data", tmp_path / "mine.yaml", classes=names, hours=2)
    manifest = tmp_path / "mine-manifest.yaml"
    assert "roof" in manifest.read_text()
    assert report.config.read_text() == "name: mine\n"
    assert (report.run, report.scores) == (None, None)
    [(given, root, options)] = proposed
    assert (given, root, options["hours"]) == (manifest, tmp_path / "data", 2)
    with pytest.raises(ConfigError, match="exists already"):
        rsmtdf.start(tmp_path / "data", tmp_path / "mine.yaml")
    rsmtdf.start(tmp_path / "data", tmp_path / "mine.yaml", overwrite=True)
    assert [each[0] for each in proposed] == [manifest, manifest]
