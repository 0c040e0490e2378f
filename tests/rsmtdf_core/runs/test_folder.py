import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.roles import ConfigSettings, Result, Scoring, Speed
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.runs.starting import prepare_run
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import dump_yaml


class Runtime(ConfigSettings):
    precision: Result[str] = "fp32"
    workers: Speed[int] = 0


class Inference(ConfigSettings):
    batch: Speed[int] = 4
    window: Scoring[int] = 64
    blend: Scoring[str] = "uniform"


class Evaluation(ConfigSettings):
    inference: Inference = Inference()


class Config(ConfigSettings):
    """The keys of a config that a run folder uses, and another key."""

    lr: Result[float] = 5e-6
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = Runtime()


class Manifest(Settings):
    name: str = "one"
    title: str = "One"
    notes: tuple[str, ...] = ()


def _config(lr: float = 5e-6, **runtime: object) -> Config:
    return Config(lr=lr, runtime=Runtime(**runtime))


def _scored(**inference: object) -> Config:
    return Config(evaluation=Evaluation(inference=Inference(**inference)))


def _written(settings: Settings) -> str:
    """The text of a settings file in a run folder: the checksum, then the settings."""
    text = dump_yaml(settings)
    return f"# sha256: {hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _prepare(path, config=None, manifest=None, *, resume=False, overwrite=False) -> RunFolder:
    folder = RunFolder(path)
    prepare_run(
        folder, config or _config(), manifest or Manifest(), resume=resume, overwrite=overwrite
    )
    return folder


def test_a_new_run_keeps_its_config_and_manifest(tmp_path):
    _prepare(tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.config.read_text() == _written(_config())
    assert run.manifest.read_text() == _written(Manifest())


def test_overwriting_deletes_a_run(tmp_path):
    run = _prepare(tmp_path)
    run.log({"step": 1})
    _prepare(tmp_path, _config(lr=1.0), overwrite=True)
    assert run.read_metrics() == []
    assert run.config.read_text() == _written(_config(lr=1.0))


@pytest.mark.parametrize("name", ["config.yaml", "thesis.tex"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path, name, overwrite):
    (tmp_path / name).write_text("precious")
    with pytest.raises(RunError, match="not a run folder"):
        _prepare(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(RunError, match="no run here"):
        open_run(tmp_path)


def test_paths_and_speed_may_change_and_are_kept(tmp_path):
    run = _prepare(tmp_path)
    _prepare(tmp_path, _config(workers=4), resume=True)
    assert run.config.read_text() == _written(_config(workers=4))


@pytest.mark.parametrize(
    ("config", "manifest", "change"),
    [
        (_config(lr=0.5), Manifest(), r"lr: expected 5e-06, found 0\.5"),
        (_config(precision="bf16"), Manifest(), r"runtime\.precision: expected fp32, found bf16"),
        (_config(), Manifest(name="two"), r"manifest\.name: expected one, found two"),
    ],
)
def test_settings_that_decide_the_result_may_not_change(tmp_path, config, manifest, change):
    run = _prepare(tmp_path)
    with pytest.raises(RunError, match=change):
        _prepare(tmp_path, config, manifest, resume=True)
    assert run.config.read_text() == _written(_config())


def test_every_key_that_differs_is_named(tmp_path):
    _prepare(tmp_path)
    with pytest.raises(RunError) as caught:
        _prepare(tmp_path, _config(0.5, precision="bf16"), Manifest(name="two"), resume=True)
    for key in ("lr", "runtime.precision", "manifest.name"):
        assert f"{key}: expected" in caught.value.what


def test_how_many_windows_are_predicted_at_a_time_may_change(tmp_path):
    run = _prepare(tmp_path, _scored(batch=4))
    _prepare(tmp_path, _scored(batch=2), resume=True)
    assert run.config.read_text() == _written(_scored(batch=2))
    with pytest.raises(RunError, match=r"evaluation\.inference\.window"):
        _prepare(tmp_path, _scored(batch=2, window=32), resume=True)


def test_words_of_the_manifest_may_change_and_are_kept(tmp_path):
    run = _prepare(tmp_path)
    changed = Manifest(title="First", notes=("by hand",))
    _prepare(tmp_path, manifest=changed, resume=True)
    assert run.manifest.read_text() == _written(changed)


def test_a_key_that_came_after_the_run_has_its_default_there(tmp_path):
    run = _prepare(tmp_path)
    run.config.write_text(yaml.safe_dump({"evaluation": {"inference": {"window": 64}}}))
    run.manifest.write_text("{name: one, title: One}")
    with pytest.raises(RunError, match=r"inference\.blend: expected uniform, found hann"):
        _prepare(tmp_path, _scored(blend="hann"), resume=True)
    _prepare(tmp_path, _scored(), resume=True)
    assert run.config.read_text() == _written(_scored())


def test_a_key_that_this_version_does_not_know_is_named(tmp_path):
    run = _prepare(tmp_path)
    run.config.write_text("lr: 5.0e-6\nmomentum: 0.9\n")
    with pytest.raises(ConfigError, match="unknown key 'momentum'") as caught:
        _prepare(tmp_path, resume=True)
    assert caught.value.where == str(run.config)


def test_a_kill_while_a_run_is_deleted_leaves_one_that_can_be(tmp_path, monkeypatch):
    run = _prepare(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    gone = []

    def die(path):
        gone.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            _prepare(tmp_path, overwrite=True)
    assert gone == [tmp_path / "checkpoints"]
    assert run.marker.is_file()
    _prepare(tmp_path, overwrite=True)
    assert not (tmp_path / "checkpoints").exists()


def test_a_kill_before_the_first_file_leaves_a_startable_folder(tmp_path, monkeypatch):
    def die(*_paths, **_words):
        raise SystemExit

    with monkeypatch.context() as patch:
        # As after a kill, without any cleanup.
        patch.setattr(Path, "replace", die)
        patch.setattr(Path, "unlink", die)
        with pytest.raises(SystemExit):
            _prepare(tmp_path)
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["run.json.tmp"]
    _prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.yaml",
        "manifest.yaml",
        "run.json",
    ]


def test_notes_are_added_to_earlier_facts(tmp_path):
    run = RunFolder(tmp_path)
    prepare_run(run, _config(), Manifest(), resume=False, overwrite=False, initial={"path": "x"})
    run.note(status="finished", steps=8)
    assert run.facts == {
        "format": 1,
        "status": "finished",
        "steps": 8,
        "initial": {"path": "x"},
    }


def test_lines_of_steps_that_are_computed_again_are_dropped_with_a_torn_one(tmp_path):
    run = _prepare(tmp_path)
    for step in range(4):
        run.log({"step": step})
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "lo')
    run.forget_after(3)
    run.log({"step": 3, "again": True})
    assert [line["step"] for line in run.read_metrics()] == [0, 1, 2, 3]
    assert run.metrics.read_text().count("\n") == 4


def test_a_missing_run_to_resume_makes_no_folder(tmp_path):
    with pytest.raises(RunError, match="no run to resume"):
        _prepare(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_format_is_refused(tmp_path):
    run = _prepare(tmp_path)
    run.marker.write_text('{"format": 99}\n')
    with pytest.raises(RunError, match="format 1 of the run, found 99"):
        open_run(tmp_path)


def test_a_folder_of_runs_is_not_a_run_and_the_error_names_one_in_it(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    with pytest.raises(RunError) as caught:
        open_run(tmp_path)
    assert str(tmp_path / "a") in str(caught.value.remedy)
    with pytest.raises(RunError, match="no run here"):
        open_run(tmp_path / "nothing")
