"""A run trained with relative paths is scored, used, exported and reported from any folder."""

import os
import shutil

from typer.testing import CliRunner

from cli.main import app
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.validation import dump_yaml

CONFIG = """
name: t
data: {manifest: m.yaml, root: scenes, labeled: 1/2}
views: {crop: 64}
teachers: []
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
objective: {method: supervised}
optimiser: {epochs: 1, batch: 2}
evaluation: {inference: {mode: slide, window: 64}}
runtime: {device: cpu, workers: 0, cache: cache, runs: runs}
"""


def call(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_is_used_from_another_folder(scenes, tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    home.mkdir()
    shutil.copytree(scenes, home / "scenes")
    (home / "m.yaml").write_text(dump_yaml(load_manifest("synthetic")))
    (home / "c.yaml").write_text(CONFIG)
    monkeypatch.chdir(home)
    call("train", "c.yaml", "--run", "runs/r")
    (home / "m.yaml").unlink()  # the run has it
    monkeypatch.chdir(elsewhere)
    run = os.path.relpath(home / "runs" / "r")
    call("evaluate", run)
    assert list((home / "runs" / "r" / "evaluation").glob("*/*.json"))
    call("predict", run, os.path.relpath(home / "scenes" / "images"), "--out", "maps")
    assert len(list((elsewhere / "maps").glob("*-panel.png"))) == 14
    call("report", run, "--out", "page.html")
    call("export", run, "--out", "exported")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["exported", "maps", "page.html"]
    assert sorted(path.name for path in home.iterdir()) == ["c.yaml", "runs", "scenes"]
