"""Runs of earlier versions can be resumed, scored, listed and compared like new ones.

Versions add keys, and what was written before a key was there lacks it. So every key that has its default is taken out
of all that a run wrote: whichever of them came last, an earlier version would have written no more.
"""

import shutil
from pathlib import Path

import pytest
import yaml

import data_manifests
from pipeline.config import ExperimentConfig
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.runs import read_run
from pipeline.runs.compare import compare
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.report import read_report
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.runs.checkpoint import checkpoints_in, load_checkpoint
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.settings import Settings

SETTINGS = ("optimiser.epochs=2", "runtime.keep_checkpoints=9")
# The newest keys of each file at the time of writing.
LATE = {
    "config.yaml": {"scales", "flips", "blend"},
    "manifest.yaml": {"protocols", "parent", "labeled", "notes", "by", "match", "max_distance"},
    "report.json": {"scales", "flips", "blend", "others"},
}


def keys(values: object) -> set[str]:
    """The keys of nested values, without the path to them."""
    inner = values.values() if isinstance(values, dict) else values
    names = set(values) if isinstance(values, dict) else set()
    return names.union(*map(keys, inner)) if isinstance(values, dict | list) else names


def without_defaults(path: Path, settings: Settings) -> dict[str, object]:
    """Return these settings as an earlier version would have written them."""
    values = settings.model_dump(mode="json", exclude_defaults=True)
    assert not LATE[path.name] & keys(values)
    return values


def age(run: Path) -> None:
    """Remove every key with a default value from the files of a run, and renew the seals."""
    folder, record = open_run(run), read_run(run)
    for path, settings in ((folder.config, record.config), (folder.manifest, record.manifest)):
        path.write_text(yaml.safe_dump(without_defaults(path, settings)))
    write_json(folder.marker, {"format": folder.facts["format"]})
    for path in run.glob("evaluation/*/report.json"):
        values = without_defaults(path, read_report(path).model_copy(update={"notes": ()}))
        write_json(path, {"fingerprint": fingerprint(values), **values})


def earlier(config: ExperimentConfig) -> Path:
    """A scored run as an earlier version would have left it."""
    run = train(config, config.runtime.runs / "begun").run
    evaluate(run)
    age(run)
    return run


@pytest.mark.parametrize("method", ["fixmatch", "rs-mtdf"])
def test_it_goes_on_to_the_same_end(make_config, method):
    config = make_config(*SETTINGS, f"objective.method={method}", "runtime.cache_pixels=true")
    extract(config)
    run = earlier(config)
    *_, first, last = checkpoints_in(run / "checkpoints")
    ended = load_checkpoint(last).fingerprint
    shutil.rmtree(last)
    shutil.rmtree(run / "best")
    again = train(config, run, resume=True)
    assert (again.status, again.steps) == ("finished", 8)
    assert load_checkpoint(first).state["step"] == 4, "it did not start again"
    assert load_checkpoint(last).fingerprint == ended
    assert (read_run(run).status, read_run(run).total) == ("finished", 8)


def test_it_is_scored_as_it_was(make_config):
    run = earlier(make_config(*SETTINGS, "objective.method=fixmatch"))
    before = read_report(run / "evaluation" / "test-ema" / "report.json")
    after, _ = evaluate(run)
    assert after.model_copy(update={"notes": before.notes}) == before


def test_it_is_listed_and_compared_with_new_runs(make_config, tmp_path):
    first, second = (
        make_config(*SETTINGS, "objective.method=fixmatch", f"seed={seed}") for seed in (0, 1)
    )
    begun, today = earlier(first), train(second).run
    evaluate(today)
    comparison = compare([begun, today], None, "test")
    assert [len(group.runs) for group in comparison.groups] == [2], "one configuration, two seeds"
    assert [sentence for sentence in comparison.warnings if str(begun) not in sentence] == []
    page = report([begun, today], tmp_path / "page.html", scenes=1)
    assert page.panels > 0
    written = read_json(begun / "evaluation" / "test-ema" / "report.json", RunError)
    assert f"fingerprint {written['fingerprint']}" in page.path.read_text()


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("evaluation.inference.blend=hann", "evaluation.inference.blend: expected uniform"),
        ("evaluation.inference.scales=[0.5, 1.0]", "evaluation.inference.scales: expected"),
        ("optimiser.ema=0.5", "optimiser.ema: expected 0.9"),
    ],
)
def test_a_setting_that_is_another_now_is_refused_by_name(make_config, override, key):
    settings = (*SETTINGS, "objective.method=fixmatch", "optimiser.max_steps=1")
    run = earlier(make_config(*settings))
    with pytest.raises(RunError) as caught:
        train(make_config(*settings, override), run, resume=True)
    assert key in caught.value.what


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"unscored": ["soil"]}, "manifest.unscored: expected [], found"),
        (
            {"splits": {"train": {"share": [0, 0.7], "by": "crop"}, "val": {"share": [0.7, 0.85]}}},
            "manifest.splits.train.by: expected parent, found crop",
        ),
        ({"title": "Scenes", "notes": ["drawn"], "protocols": {"dwl_counts_ignored": True}}, None),
    ],
)
def test_a_manifest_that_is_another_now_is_refused_but_for_its_words(
    make_config, tmp_path, change, key
):
    path = tmp_path / "own.yaml"
    values = yaml.safe_load(Path(data_manifests.__file__).with_name("synthetic.yaml").read_text())
    path.write_text(yaml.safe_dump(values))
    config = make_config(
        "objective.method=fixmatch", "optimiser.max_steps=1", f"data.manifest={path}"
    )
    run = earlier(config)
    path.write_text(yaml.safe_dump(values | change))
    if key is None:
        train(config, run, resume=True)
        assert read_run(run).manifest.notes == ("drawn",)
        return
    with pytest.raises(RunError) as caught:
        train(config, run, resume=True)
    assert key in caught.value.what
