"""`rsmtdf start` shows each choice with its reason, writes the config, and runs it on request."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import pipeline.start
from cli import start as cli_start
from cli.main import app
from pipeline.demo.scenes import draw_scenes
from pipeline.start.choosing import choose
from pipeline.start.settings import proposal
from pipeline.start.text import config_text
from pipeline.start.values import Choice, Timing
from tests.pipeline.start.drawn import CHIPS, EVERYTHING, LAPTOP

NAMED = (
    Choice(key="name", value="mine"),
    Choice(key="data.manifest", value="m.yaml"),
    Choice(key="data.root", value="data"),
)


@pytest.fixture
def calls(monkeypatch):
    """The calls of the parts, which measure and train nothing."""
    seen = SimpleNamespace(proposed=[], run=[])

    def propose(manifest, root, **options):
        seen.proposed.append((manifest, root, options))
        timing = Timing(step=0.5, teacher=0.05)
        result = proposal(
            choose(CHIPS, LAPTOP, EVERYTHING), CHIPS, timing, LAPTOP, options["hours"]
        )
        result = result.model_copy(update={"choices": (*NAMED, *result.choices)})
        return result, config_text(result)

    def run_all(path, proposed, **options):
        seen.run.append((path, options))
        return pipeline.start.StartReport(proposed, path, Path("runs/mine"))

    monkeypatch.setattr(pipeline.start, "propose", propose)
    monkeypatch.setattr(pipeline.start, "run_all", run_all)
    return seen


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "manifest.yaml").touch()
    return tmp_path


def call(*words, typed=None):
    return CliRunner().invoke(app, ["start", *map(str, words)], input=typed, env={"COLUMNS": "160"})


def test_choices_are_shown_with_their_reasons_and_written(folder, calls):
    done = call(folder, "--hours", 2, "--yes")
    assert done.exit_code == 0, done.output
    for text in (
        "tf_efficientnet_lite0",
        "quick on a CPU",
        "views.crop",
        "224",
        "about: extraction",
    ):
        assert text in done.output
    assert f"rsmtdf extract-features {folder / 'config.yaml'}" in done.output
    assert f"rsmtdf train {folder / 'config.yaml'}" in done.output
    [(manifest, root, options)] = calls.proposed
    assert (manifest, root, options["hours"]) == (folder / "manifest.yaml", folder, 2)
    assert "# quick" not in (folder / "config.yaml").read_text()
    assert "encoder: tf_efficientnet_lite0    # pretrained" in (folder / "config.yaml").read_text()
    assert calls.run == []
    again = call(folder, "--yes")
    assert again.exit_code == 1
    assert "exists already" in str(again.exception)


def test_a_folder_without_a_manifest_gets_one(tmp_path, calls):
    draw_scenes(tmp_path / "data", 8, 32, seed=1)
    config = tmp_path / "mine.yaml"
    done = call(tmp_path / "data", "--out", config, "--classes", "a,b,c,d,e", "--yes")
    assert done.exit_code == 0, done.output
    assert calls.proposed[0][0] == tmp_path / "mine-manifest.yaml"
    assert "images/{name}.png" in calls.proposed[0][0].read_text()


def test_run_trains_with_the_written_config(folder, calls):
    done = call(folder, "--out", folder / "mine.yaml", "--run", "--yes", "--overwrite")
    assert done.exit_code == 0, done.output
    [(path, options)] = calls.run
    assert path == folder / "mine.yaml"
    assert options["overwrite"]
    assert "rsmtdf predict runs/mine IMAGES" in done.output


def test_at_a_terminal_it_prompts_for_time_and_confirmation(folder, calls, monkeypatch):
    monkeypatch.setattr(cli_start, "_at_terminal", lambda: True)
    declined = call(folder, typed="3\nn\n")
    assert declined.exit_code == 1
    assert not (folder / "config.yaml").exists()
    assert calls.proposed[0][2]["hours"] == 3
    accepted = call(folder, typed="\ny\ny\n")
    assert accepted.exit_code == 0, accepted.output
    assert calls.proposed[1][2]["hours"] == cli_start.HOURS
    assert [path for path, _ in calls.run] == [folder / "config.yaml"]
