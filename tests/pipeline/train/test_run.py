import json
import multiprocessing
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import pipeline.train.checkpoints
import pipeline.train.validation
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.predict import predict
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import (
    ConfigError,
    DataError,
    RunError,
    StoreDamagedError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.runs.checkpoint import newest_checkpoint
from rsmtdf_core.runs.folder import LOCK_FORMAT, open_run
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.teachers.teacher import live_teachers


def _weights(run, which="student"):
    newest = max((run / "checkpoints").iterdir())
    return load_file(newest / f"{which}.safetensors")


def test_both_stages_end_in_scores_and_pictures(make_config, scenes, tmp_path):
    config = make_config()
    extract(config)
    report = train(config)
    assert report.steps == 8
    assert report.random_teachers == ("vit", "cnn")
    assert live_teachers() == 0
    scores, folder = evaluate(report.run)
    assert 0 <= scores.scores.miou <= 1
    assert scores.images == 2
    assert scores.random_teachers == ("vit", "cnn")
    for name in ("report.json", "scores.csv"):
        assert (folder / name).stat().st_size > 0
    for name in ("panel.png", "confusion.png", "curves.png", "legend.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 50
    image = min((scenes / "images").iterdir())
    (path,) = predict(report.run, [image], tmp_path / "maps")
    with Image.open(path) as ids, Image.open(image) as pixels:
        assert ids.size == pixels.size
        assert np.asarray(ids).max() < 6


def test_the_same_config_gives_the_same_bits_whatever_the_workers(make_config):
    config = make_config("objective.method=fixmatch", "optimiser.epochs=1")
    first = train(config, config.runtime.runs / "first").run
    other = make_config("objective.method=fixmatch", "optimiser.epochs=1", "runtime.workers=1")
    second = train(other, config.runtime.runs / "second").run
    assert all(torch.equal(a, _weights(second)[k]) for k, a in _weights(first).items())


@pytest.mark.parametrize("method", ["supervised", "fixmatch"])
def test_methods_without_teachers_need_no_cache(make_config, method):
    config = make_config(f"objective.method={method}", "optimiser.epochs=1")
    report = train(config)
    assert report.random_teachers == ()
    assert not config.runtime.cache_folder.exists()
    assert not any("translators" in name for name in _weights(report.run))


@pytest.mark.parametrize("policy", ["strong", "weak"])
def test_other_policies_train_and_are_called_approximate(make_config, policy):
    config = make_config(f"views.teacher_sees={policy}", "optimiser.epochs=1")
    extract(config)
    report = train(config)
    assert "approximate" in report.approximations[0]
    assert policy in report.approximations[0]
    assert evaluate(report.run)[0].approximations == report.approximations


def test_no_teacher_is_in_a_checkpoint(make_config):
    config = make_config("optimiser.epochs=1")
    extract(config)
    run = load_run(train(config).run)
    expected = set(run.student.state_dict())
    assert set(_weights(run.folder.path, "ema")) == set(_weights(run.folder.path)) == expected
    assert {name.split(".")[0] for name in expected} == {"encoder", "head", "translators", "fusion"}


def test_missing_features_are_refused_with_the_command(make_config):
    with pytest.raises(StoreNotFoundError, match="rsmtdf extract-features"):
        train(make_config())


def test_missing_views_are_refused_with_the_command(make_config):
    extract(make_config("views.unlabeled_views=1"))
    with pytest.raises(StoreIncompleteError, match="rsmtdf extract-features"):
        train(make_config())


def test_another_teacher_is_refused_field_by_field(make_config):
    extract(make_config())
    with pytest.raises(StoreNotFoundError, match=r"tap\.block: expected 1, found 2"):
        train(make_config("teachers.cnn.block=1"))


def test_a_flipped_bit_is_found_when_its_record_is_read(make_config):
    config = make_config()
    report = extract(config)
    shard = report.stores[0].path / "c" / "0" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    for offset in range(100, 100 + 20 * 3000, 3000):
        data[offset] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="checksum"):
        train(config)


def test_an_image_changed_after_extraction_is_refused(make_config, scenes, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(scenes, copy)
    config = make_config(f"data.root={copy}")
    extract(config)
    changed = copy / plan_experiment(config).plan.scenes[0].image
    with Image.open(changed) as image:
        image.rotate(180).save(changed)
    with pytest.raises(StoreIncompleteError, match="1 scenes have other bytes"):
        train(config)
    # Only the views that show the scene are made again, whatever their teacher.
    assert {store.new for store in extract(config).stores} == {4}
    train(config)


def join_children():
    """Wait for the loader's processes, which have been asked to end."""
    for child in multiprocessing.active_children():
        child.join()


@pytest.mark.parametrize("workers", [0, 1])
def test_pixels_that_are_not_those_the_teachers_saw_are_refused(make_config, monkeypatch, workers):
    config = make_config(f"runtime.workers={workers}")
    extract(config)
    from rsmtdf_core.views import render

    original = render.render_image
    monkeypatch.setattr(render, "render_image", lambda *args: original(*args) ^ 1)
    with pytest.raises(
        StoreMismatchError, match="differs from the crop that the teachers saw"
    ) as caught:
        train(config)
    assert "Traceback" not in str(caught.value)
    assert caught.value.where.startswith("scene ")
    assert "image library" in caught.value.remedy, "extraction has all of these views"
    # While the error is kept.
    join_children()


@pytest.mark.parametrize("ends", ["loader", "step"])
def test_loader_processes_end_with_the_training_even_if_its_error_is_kept(
    make_config, monkeypatch, ends
):
    def fail(*_args):
        raise KeyError("a mistake in the code")

    at = {
        "loader": "rsmtdf_core.views.render.render_image",
        "step": "rsmtdf_core.training.methods.supervised.Supervised.__call__",
    }[ends]
    monkeypatch.setattr(at, fail)
    with pytest.raises(KeyError) as caught:
        train(make_config("objective.method=supervised", "runtime.workers=2"))
    assert caught.value.__traceback__ is not None
    join_children()


def test_a_run_is_not_overwritten_unless_asked(make_config):
    config = make_config("objective.method=supervised", "optimiser.epochs=1")
    train(config)
    with pytest.raises(RunError, match="--resume"):
        train(config)
    train(config, overwrite=True)


def test_a_changed_config_is_not_resumed(make_config):
    config = make_config("objective.method=supervised", "optimiser.epochs=1")
    run = train(config).run
    with pytest.raises(RunError, match="lr"):
        train(
            make_config("objective.method=supervised", "optimiser.epochs=1", "optimiser.lr=1"),
            run,
            resume=True,
        )


def test_a_diverging_loss_stops_the_run(make_config):
    config = make_config("objective.method=supervised", "optimiser.lr=1e30")
    with pytest.raises(RunError, match=r"optimiser\.lr"):
        train(config)


def test_a_split_without_masks_cannot_be_scored(make_config, scenes, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(scenes, copy)
    config = make_config("objective.method=supervised", "optimiser.epochs=1", f"data.root={copy}")
    run = train(config).run
    for scene in plan_experiment(config).dataset.splits["test"]:
        (copy / scene.mask).unlink()
    with pytest.raises(DataError, match="no scene with a mask"):
        evaluate(run)


SUPERVISED = ("objective.method=supervised", "optimiser.epochs=2")


def test_a_failing_validation_loses_no_step_and_is_repeated(make_config, monkeypatch):
    config = make_config(*SUPERVISED)
    whole = train(config, config.runtime.runs / "whole")
    part = config.runtime.runs / "part"

    def fail(*_args):
        raise DataError("a mask is gone")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.validation, "count_confusion", fail)
        with pytest.raises(DataError):
            train(config, part)
    assert newest_checkpoint(part / "checkpoints")[0] is not None
    resumed = train(config, part, resume=True)
    assert (resumed.best_miou, resumed.best_epoch) == (whole.best_miou, whole.best_epoch)
    first, second = (
        [line for line in open_run(run.run).read_metrics() if "miou" in line]
        for run in (whole, resumed)
    )
    assert first == second


def test_a_resumed_run_knows_its_best_and_keeps_it(make_config, monkeypatch):
    config = make_config(*SUPERVISED)

    class Killed(BaseException):
        pass

    def die(_keeper, history):
        if history:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.checkpoints.Keeper, "keep_best", die)
        with pytest.raises(Killed):
            train(config)
    folder = open_run(config.run_folder)
    first = max((folder.path / "checkpoints").iterdir()).name
    with monkeypatch.context() as patch:
        # A later epoch with a score of 0 must not replace the best.
        wrong = PixelCounts(np.eye(6, dtype=int)[::-1], np.zeros(6, int))
        patch.setattr(pipeline.train.validation, "count_confusion", lambda *_: wrong)
        report = train(config, resume=True)
    assert report.best_epoch == 1
    assert [path.name for path in folder.best.iterdir()] == [first]


def test_a_run_keeps_its_manifest_and_its_checkpoints_name_their_features(make_config):
    config = make_config("optimiser.epochs=1")
    extract(config)
    run = open_run(train(config).run)
    assert load_manifest(str(run.manifest)) == load_manifest("synthetic")
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    lock = run.path / "cache.lock.json"
    content = LOCK_FORMAT.unsealed(json.loads(lock.read_text()), lock)
    assert content == {"format": 1, **checkpoint.state["parent"]}
    lock.write_text(lock.read_text().replace("vit", "bit", 1))
    with pytest.raises(StoreDamagedError, match="fingerprint"):
        LOCK_FORMAT.unsealed(json.loads(lock.read_text()), lock)


def test_a_run_is_not_resumed_on_other_images(make_config, scenes, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(scenes, copy)
    config = make_config(*SUPERVISED, f"data.root={copy}")
    train(config)
    changed = copy / plan_experiment(config).plan.scenes[0].image
    with Image.open(changed) as image:
        image.rotate(180).save(changed)
    with pytest.raises(RunError, match="other views or features: plan"):
        train(config, resume=True)


def test_a_training_that_cannot_start_leaves_no_folder_and_deletes_no_run(make_config):
    wrong = make_config(*SUPERVISED, "student.encoder=test_vit", "evaluation.inference.window=70")
    with pytest.raises(ConfigError, match=r"evaluation\.inference\.window=64"):
        train(wrong)
    assert not wrong.run_folder.exists()
    run = train(make_config(*SUPERVISED)).run
    with pytest.raises(ConfigError, match="not a multiple of the student's patch of 16 px"):
        train(wrong, overwrite=True)
    assert newest_checkpoint(run / "checkpoints")[0] is not None


def test_one_process_trains_in_one_precision_after_another(make_config):
    with pytest.raises(RunError, match="cannot train in fp16"):
        train(make_config(*SUPERVISED, "runtime.precision=fp16"))
    for precision in ("fp32", "bf16"):
        config = make_config(*SUPERVISED, f"runtime.precision={precision}")
        train(config, config.runtime.runs / precision)


def test_an_incomplete_environment_of_processes_is_named(make_config, monkeypatch):
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(RunError, match="MASTER_ADDR") as caught:
        train(make_config(*SUPERVISED))
    assert "torchrun" in caught.value.remedy


@pytest.mark.slow
def test_two_processes_train_one_run(config_file, make_config):
    config = make_config("optimiser.epochs=1")
    extract(config)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = ["-m", "cli.main", "train", str(config_file), "--set", "optimiser.epochs=1"]
    done = subprocess.run(
        [*command, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = open_run(config.run_folder)
    assert [path.name for path in run.path.parent.iterdir()] == [run.path.name]
    assert len(list(run.tensorboard.iterdir())) == 1
    lines = run.read_metrics()
    assert [line["step"] for line in lines if "loss" in line] == [0, 1]
    assert sum("miou" in line for line in lines) == 1
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000002"]
    assert newest_checkpoint(run.checkpoints)[0] is not None
