import pytest

import pipeline.demo.run
from pipeline.demo.run import run_demo
from pipeline.reporter import Silent


class _ReachedError(Exception):
    pass


def test_the_demo_on_real_scenes_names_the_files_it_was_given(tmp_path, monkeypatch):
    def stop(config, reporter):
        raise _ReachedError(config)

    monkeypatch.setattr(pipeline.demo.run, "extract", stop)
    with pytest.raises(_ReachedError) as reached:
        run_demo(tmp_path / "out", tmp_path / "dubai", tmp_path / "weights", Silent())
    (config,) = reached.value.args
    assert config.data.root == tmp_path / "dubai"
    named = {config.student.weights, *(teacher.weights for teacher in config.teachers)}
    assert named == {
        str(tmp_path / "weights" / pipeline.demo.run.DINO),
        str(tmp_path / "weights" / pipeline.demo.run.LITE0),
    }
    assert config.runtime.cache_folder == tmp_path / "out" / "cache"


def test_the_demo_on_drawn_scenes_names_random_weights(tmp_path, monkeypatch):
    def stop(config, reporter):
        raise _ReachedError(config)

    monkeypatch.setattr(pipeline.demo.run, "SCENES", 4)
    monkeypatch.setattr(pipeline.demo.run, "extract", stop)
    with pytest.raises(_ReachedError) as reached:
        run_demo(tmp_path, None, None, Silent())
    (config,) = reached.value.args
    assert {teacher.weights for teacher in config.teachers} == {"random"}
    assert len(list((config.data.root / "images").iterdir())) == 4
