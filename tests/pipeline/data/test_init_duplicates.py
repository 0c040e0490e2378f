"""Images that two proposed splits share are told, and the manifest is written all the same."""

import shutil

from typer.testing import CliRunner

from cli.main import app
from pipeline.demo.scenes import draw_scenes
from rsmtdf_core.scenes.manifest import load_manifest


def test_copies_in_two_splits_are_told_and_do_not_stop_init(tmp_path):
    draw_scenes(tmp_path, 3, 64, seed=0)
    for folder in ("images", "masks"):
        for path in sorted((tmp_path / folder).iterdir()):
            for copy in range(6):
                shutil.copy(path, path.with_stem(f"{path.stem}-{copy}"))
    arguments = ["data", "init", str(tmp_path), "--yes"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "in two splits" in " ".join(result.output.split())
    assert load_manifest(str(tmp_path / "manifest.yaml")).splits
