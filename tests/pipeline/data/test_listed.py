"""A manifest that lists its scenes: training uses those labels, and all scores mention it."""

from pathlib import Path

import yaml
from typer.testing import CliRunner

import data_manifests
from cli.main import app
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.reporter import Silent
from pipeline.runs import list_runs
from pipeline.train.run import train
from rsmtdf_core.scenes.manifest import load_manifest


def listed_manifest(folder: Path) -> Path:
    """Windows of drawn scenes: train and test have windows of the same rasters."""
    values = yaml.safe_load(Path(data_manifests.__file__).with_name("synthetic.yaml").read_text())
    lists = {
        "train": ["0000@0,0", "0000@0,36", "0001@0,0", "0001@36,0"],
        "labeled": ["0000@0,36"],
        "val": ["0002@0,0"],
        "test": ["0000@36,36", "0003@0,0"],
    }
    for name, scenes in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{scene}\r\n" for scene in scenes))
    values["window"] = {"size": 36, "stride": 36}
    values["splits"] = {name: {"scenes": f"{name}.txt"} for name in ("train", "val", "test")}
    values["labeled"] = "labeled.txt"
    values["notes"] = ["windows were chosen by hand"]
    path = folder / "listed.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def test_reports_note_shared_tiles_and_the_labeled_scenes(make_config, tmp_path):
    path = listed_manifest(tmp_path)
    config = make_config(
        f"data.manifest={path}", "objective.method=fixmatch", "optimiser.max_steps=1"
    )
    run = train(config).run
    # The run keeps the contents of the lists, even if the files change.
    path.with_name("test.txt").unlink()
    kept = load_manifest(str(run / "manifest.yaml"))
    assert kept.labeled == ("0000@0,36",)
    report, _ = evaluate(run)
    rule = "split of manifest synthetic: train = 4 listed scenes; test = 2 listed scenes"
    assert report.images == 2
    assert report.notes == (
        f"{rule}; 1 training scene listed as labeled",
        "by crop: test crops share parent tiles with training crops (1 of 2)",
        "windows were chosen by hand",
    )
    (summary,) = list_runs(run.parent).runs
    assert summary.labeled == 0.25


class Messages(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def test_a_share_of_labels_without_effect_is_warned_of(config_file, make_config, tmp_path):
    manifest = f"data.manifest={listed_manifest(tmp_path)}"
    settings = (manifest, "objective.method=fixmatch", "optimiser.max_steps=1")
    sentence = "data.labeled: 0.25 has no effect, as the manifest synthetic lists its labeled scenes, 1 of them"
    recorder = Messages()
    train(make_config(*settings), reporter=recorder)
    assert recorder.warnings == [sentence]
    assert plan_experiment(make_config()).cautions == (), "here it has"
    result = CliRunner().invoke(app, ["config", "show", str(config_file), "--set", manifest])
    assert result.exit_code == 0
    assert sentence in result.stderr
    assert "labeled: 0.25" in result.stdout

    recorder.warnings.clear()
    extract(make_config(manifest, "views.unlabeled_views=1"), reporter=recorder)
    assert recorder.warnings == [sentence]

    config_file.write_text(config_file.read_text().replace(", labeled: 1/4", ""))
    assert plan_experiment(make_config(manifest)).cautions == (), "nobody had set it"
