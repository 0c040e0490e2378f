"""The demo names the files that it was given; on drawn scenes it trains without and with its teacher."""

import pytest

import pipeline.demo.run
from pipeline.config import load_config
from pipeline.demo.run import TEACHER, run_demo
from pipeline.reporter import Silent
from pipeline.runs import read_run


class _ReachedError(Exception):
    pass


def test_the_demo_on_real_scenes_names_the_files_it_was_given(tmp_path, monkeypatch):
    def stop(config, **_):
        raise _ReachedError(config)

    for stage in ("train", "extract"):
        monkeypatch.setattr(pipeline.demo.run, stage, stop)
    with pytest.raises(_ReachedError) as reached:
        run_demo(tmp_path / "out", tmp_path / "dubai", tmp_path / "weights", Silent())
    (config,) = reached.value.args
    assert config.data.root == tmp_path / "dubai"
    assert config.objective.method == "supervised"
    assert config.student.weights == str(tmp_path / "weights" / pipeline.demo.run.LITE0)
    assert config.runtime.cache_folder == tmp_path / "out" / "cache"


@pytest.mark.slow
def test_the_demo_on_drawn_scenes_trains_without_and_with_its_teacher(tmp_path, monkeypatch):
    def shorter(name, overrides):
        short = ["optimiser.max_steps=2", "optimiser.epochs=1", "evaluation.every=1"]
        if "objective.pretrain={}" not in overrides:
            short.append("objective.pretrain.steps=2")
        return load_config(name, [*overrides, *short])

    monkeypatch.setattr(pipeline.demo.run, "SCENES", 20)
    monkeypatch.setattr(pipeline.demo.run, "SCENE_SIDE", 96)
    monkeypatch.setattr(pipeline.demo.run, "load_config", shorter)
    result = run_demo(tmp_path, None, None, Silent())
    assert (result.folder / "panel.png").is_file()
    for report in (result.report, result.alone):
        assert report.run in result.page.read_text()
    config = read_run(result.run).config
    (teacher,) = config.teachers
    assert (tmp_path / "teacher.safetensors").read_bytes() == TEACHER.read_bytes()
    assert teacher.weights == str(tmp_path / "teacher.safetensors")
    baseline = read_run(result.run.parent / result.alone.run).config
    assert not baseline.teachers
    assert baseline.data == config.data
    assert baseline.optimiser == config.optimiser
